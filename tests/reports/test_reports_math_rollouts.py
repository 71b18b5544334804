"""Import and export of other tools' files: an independent reader, round trips, the published traces, hostile files."""

import json
import os
from pathlib import Path

import math_rollouts_reader as reader
import pytest

import cotlab as ct
from cotlab.errors import DataError, UserError
from cotlab.measures import chain_rollouts, measure_steps, published_importance
from cotlab.measures.similarity import ExactText
from cotlab.reports import StudyView, chain_report, export_math_rollouts, export_pivotal_tokens
from cotlab.runs import Run, verify_run
from cotlab.runs.imports import import_run
from cotlab.sampling import draw_forced, find_chain, resample, revisit

SHARED = Path(__file__).parents[3] / "shared" / "data" / "thought-anchors"
needs_traces = pytest.mark.skipif(not SHARED.is_dir(), reason="the published traces are not here")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A run of ours with forced answers."""
    path = tmp_path_factory.mktemp("ours") / "run"
    resample(model="markov:staircase", question="Climb.", answer="7", base=("random",), n=30, run=path)
    with revisit(path) as again:
        draw_forced(again.sampler({"kind": "edit"}), find_chain(again.run, None), 12, again.settings)
        again.score()
    return path


@pytest.fixture(scope="module")
def exported(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "traces"
    with Run.open(study) as run:
        export_math_rollouts(run, out)
    return out


def test_an_independent_reader_reads_our_export(study, exported):
    ((name, trace),) = reader.read(exported).items()
    assert name.startswith("markov-staircase/temperature_1.0_top_p_1.0/")
    with Run.open(study) as run:
        (chain,) = run.chains()
        data = chain_rollouts(run, chain, scorer_id="answers")
        assert trace["chunks"] == [step.text.strip() for step in chain.steps]
        assert set(trace["solutions"]) == set(data.sampled())
        for k, rows in trace["solutions"].items():
            own = [path for path in data.members(k) if path.passage.origin == k]
            assert len(rows) == len(own) == 30
            assert [row["is_correct"] for row in rows] == [path.passage.outcome == "correct" for path in own]
            assert trace["labelled"][k]["accuracy"] == pytest.approx(reader.accuracy(rows))
            assert rows[0]["prefix_without_chunk"] == data.kept(k).strip()
        assert {len(rows) for rows in trace["forced"].values()} == {12}
        assert trace["forced"][0][0]["full_cot"].startswith("Climb.\n<think>\n</think>\n")


@pytest.mark.parametrize("layout", ["local", "parquet"])
def test_what_we_export_comes_back(study, tmp_path, layout):
    with Run.open(study) as run:
        export_math_rollouts(run, tmp_path / "out", layout=layout)
    done = import_run("math-rollouts", tmp_path / "out", tmp_path / "again")
    assert done.chains == 1 and verify_run(tmp_path / "again") == []
    with Run.open(study) as ours, Run.open(tmp_path / "again") as theirs:
        (chain,), (back,) = ours.chains(), theirs.chains()
        assert [s.text.strip() for s in back.steps] == [s.text.strip() for s in chain.steps]
        numbers = [
            [row.resampling_importance_kl.value for row in published_importance(data, ExactText())]
            for data in (
                chain_rollouts(ours, chain, scorer_id="answers"),
                chain_rollouts(theirs, back, scorer_id="answers"),
            )
        ]
        assert numbers[0] == pytest.approx(numbers[1], abs=1e-9)
        forced = [
            [one.estimate.value for one in measure_steps(run, one, "forced-answer", scorer_id="answers")]
            for run, one in ((ours, chain), (theirs, back))
        ]
        assert len(forced[1]) > 0
        rollout = next(r for r in theirs.rollouts() if r.provenance == "imported:math-rollouts")
        assert rollout.token_ids is None and rollout.logprobs is None
        export_math_rollouts(theirs, tmp_path / "third")
    first = reader.read(tmp_path / "out") if layout == "local" else None
    third = reader.read(tmp_path / "third")
    if first is not None:
        (one,), (other,) = first.values(), third.values()
        assert one["solutions"] == other["solutions"]
        assert one["chunks"] == other["chunks"] and one["base_solution"] == other["base_solution"]
        assert [{**row, "function_tags": []} for row in one["labelled"]] == [
            {**row, "function_tags": []} for row in other["labelled"]
        ]


@needs_traces
def test_the_published_traces_come_back_as_they_were(tmp_path):
    model = "deepseek-r1-distill-llama-8b"
    done = import_run("math-rollouts", SHARED / model, tmp_path / "run")
    assert done.chains == 3 and any("first sentence" in note for note in done.notes)
    assert verify_run(tmp_path / "run") == []
    with Run.open(tmp_path / "run") as run:
        export_math_rollouts(run, tmp_path / "web", layout="web")
        for chain in run.chains():
            report = chain_report(run, chain, StudyView("answers"))
            assert report.outcome in ("correct", "wrong") and report.answer
            assert all(step.category is not None and step.alternatives for step in report.steps)
            assert all(step.value_before.value is None and step.value_before.reason for step in report.steps)
        html = ct.write_report(
            ct.report_data(run, run.chains(), StudyView("answers"), title="t", command="c", seed=0),
            tmp_path / "report.html",
        )
        assert html.stat().st_size > 100_000
        assert ct.build_tree(run, scorer_id="answers").number_of_nodes() > 300
    compared = 0
    for theirs in sorted((SHARED / model).glob("*/problem_*/*.json")):
        (ours,) = (tmp_path / "web").glob(f"*/*/{theirs.relative_to(SHARED / model)}")
        want, got = json.loads(theirs.read_text()), json.loads(ours.read_text())
        if theirs.name == "summary.json":
            for key in ("top_influential_steps", "top_dependent_steps"):
                for a, b in zip(want.pop(key), got.pop(key), strict=True):
                    name = next(name for name in a if name.startswith("avg_"))
                    assert a[name] == pytest.approx(b[name])
            assert want == pytest.approx(got)
        else:
            assert want == got
        compared += 1
    assert compared == 18


@needs_traces
def test_two_models_are_two_runs(tmp_path):
    with pytest.raises(DataError, match="2 models"):
        import_run("math-rollouts", SHARED, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def trace(root: Path) -> Path:
    """A small sound trace to spoil."""
    folder = root / "model" / "temperature_0.6_top_p_0.95" / "correct_base_solution" / "problem_1"
    (folder / "chunk_0").mkdir(parents=True)
    (folder / "problem.json").write_text('{"problem": "1+1?", "gt_answer": "2"}')
    (folder / "base_solution.json").write_text(
        '{"prompt": "1+1? <think>\\n", "solution": "One. Two.</think> 2", "answer": "2", "is_correct": true}'
    )
    (folder / "chunks.json").write_text('{"chunks": ["One and one.", "They are two."]}')
    (folder / "chunks_labeled.json").write_text(
        '[{"chunk": "One and one.", "chunk_idx": 0, "function_tags": ["problem_setup"], "depends_on": []}]'
    )
    row = {
        "chunk_removed": "One and one.",
        "prefix_without_chunk": "",
        "chunk_resampled": "Hm.",
        "rollout": "Hm. So 2.",
    }
    (folder / "chunk_0" / "solutions.json").write_text(
        json.dumps([{**row, "answer": "2", "is_correct": True}, {**row, "error": "timeout"}])
    )
    return folder


def test_a_sound_trace_is_read_and_what_failed_is_missing(tmp_path):
    trace(tmp_path / "in")
    import_run("math-rollouts", tmp_path / "in", tmp_path / "run")
    with Run.open(tmp_path / "run") as run:
        (chain,) = run.chains()
        assert len(chain_rollouts(run, chain, scorer_id="answers").draws(0)) == 1
        assert [attempt.error for attempt in run.attempts()] == ["timeout"]
        assert chain.role == "first-right" and run.settings()[next(iter(run.settings()))].temperature == 0.6


def test_repeated_chunks_that_their_code_removed_leave_the_chain(tmp_path):
    folder = trace(tmp_path / "in")
    (folder / "chunk_1").mkdir()
    (folder / "chunk_1" / "solutions.json").write_text(
        json.dumps([{"prefix_without_chunk": "", "rollout": "Two.", "answer": "2", "is_correct": True}])
    )
    done = import_run("math-rollouts", tmp_path / "in", tmp_path / "run")
    assert any("repeated chunks" in note for note in done.notes)


HOSTILE = {
    "problem.json": ["[]", '{"problem": 3}', "{", '{"problem": NaN}', "[" * 100_000],
    "base_solution.json": ['{"is_correct": "yes"}', '{"prompt": []}', "\x00"],
    "chunks.json": ['{"chunks": "One"}', '{"chunks": [1]}', '{"chunks": []}', '{"chunks": [""]}', '{"chunks": null}'],
    "chunks_labeled.json": [
        "{}",
        '[{"chunk_idx": -1}]',
        '[{"chunk_idx": 99999999999999999999999999}]',
        '[{"chunk_idx": 1.5}]',
        '[{"chunk_idx": true}]',
        '[{"chunk_idx": 0}, {"chunk_idx": 0}]',
        '[{"chunk_idx": 0, "accuracy": "high"}]',
        '[{"chunk_idx": 0, "accuracy": 1e999}]',
        '[{"chunk_idx": 0, "function_tags": [7]}]',
        '[{"chunk_idx": 7}]',
    ],
    "chunk_0/solutions.json": ["{}", "[3]", '[{"rollout": 3}]', '[{"is_correct": 1}]', "\xff"],
    "chunk_7/solutions.json": ["[]"],
    "chunks_resampled.json": ["[]", '{"x": []}', '{"9": []}', '{"0": [1]}'],
    "step_importance.json": ["{}", '[{"source_chunk_idx": 5, "target_impacts": []}]', '[{"source_chunk_idx": 0}]'],
}


@pytest.mark.parametrize(("file", "content"), [(name, text) for name, texts in HOSTILE.items() for text in texts])
def test_hostile_files_are_one_line_and_leave_nothing(tmp_path, file, content):
    path = trace(tmp_path / "in") / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError) as caught:
        import_run("math-rollouts", tmp_path / "in", tmp_path / "run")
    assert len(str(caught.value)) < 700 and "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists() and os.listdir(tmp_path) == ["in"]


def test_links_out_of_the_folder_and_large_files_are_refused(tmp_path, monkeypatch):
    folder = trace(tmp_path / "in")
    (tmp_path / "secret.json").write_text('{"problem": "secret"}')
    (folder / "problem.json").unlink()
    (folder / "problem.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(DataError, match="link out of"):
        import_run("math-rollouts", tmp_path / "in", tmp_path / "run")
    (folder / "problem.json").unlink()
    (folder / "problem.json").write_text(" " * 5_000)
    monkeypatch.setattr("cotlab.runs.imports.sources.MAX_BYTES", 4_000)
    with pytest.raises(DataError, match="more than the 4,000"):
        import_run("math-rollouts", tmp_path / "in", tmp_path / "run")


@pytest.mark.parametrize("path", ["../../etc/passwd.json", "/etc/passwd.json", "a\x00b.json", "a\\..\\b.json"])
def test_parquet_paths_stay_inside(tmp_path, path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"path": [path], "content": ["{}"]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="leads out of"):
        import_run("math-rollouts", tmp_path / "x.parquet", tmp_path / "run")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: p / "nowhere", "nothing at"),
        (lambda p: p / "x\0y", "nothing at"),
        (lambda p: (p / "empty").mkdir() or p / "empty", "no trace"),
        (lambda p: (p / "a.txt").write_text("x") and p / "a.txt", "no folder"),
        (lambda p: (p / "a.parquet").write_text("x") and p / "a.parquet", "Parquet"),
    ],
)
def test_paths_that_hold_nothing_are_one_line(tmp_path, make, said):
    with pytest.raises(DataError, match=said):
        import_run("math-rollouts", make(tmp_path), tmp_path / "run")
    with pytest.raises(DataError, match="no import format"):
        import_run("nothing", tmp_path, tmp_path / "run")


def test_exports_that_cannot_be_are_one_line(study, tmp_path):
    with Run.open(study) as run:
        with pytest.raises(UserError, match="no layout"):
            export_math_rollouts(run, tmp_path / "a", layout="cube")
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "x").write_text("")
        with pytest.raises(UserError, match="already holds"):
            export_math_rollouts(run, tmp_path / "full")


def test_pivotal_tokens_go_out_and_come_back(study, tmp_path):
    with Run.open(study) as run:
        out = export_pivotal_tokens(run, tmp_path / "pivotal.jsonl", threshold=0.1)
        with pytest.raises(UserError, match="already"):
            export_pivotal_tokens(run, out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert rows and all(abs(row["delta"]) >= 0.1 for row in rows)
    assert all(row["delta"] == pytest.approx(row["prob_after"] - row["prob_before"]) for row in rows)
    assert all(row["context"].startswith("Climb.") for row in rows)
    import_run("pivotal-tokens", out, tmp_path / "run")
    assert verify_run(tmp_path / "run") == []
    with Run.open(tmp_path / "run") as run:
        assert [chain.steps[0].text for chain in run.chains()] == [row["label"] for row in rows]
        again = export_pivotal_tokens(run, tmp_path / "again.jsonl", scorer_id="pivotal-tokens/1")
    assert [json.loads(line) for line in again.read_text().splitlines()] == rows


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no rows"),
        ("{", "line 1"),
        ('{"label": "a", "context": "b", "delta": "x"}', "delta"),
        ('{"label": "a"}', "context"),
        ('{"label": "", "context": "b"}', "empty"),
        ('{"label": "a", "context": "b", "position": 99999999999999999999999}', "64 bits"),
        ("[]", "expected an object"),
    ],
)
def test_hostile_pivotal_tokens_are_one_line(tmp_path, content, said):
    (tmp_path / "x.jsonl").write_text(content)
    with pytest.raises(DataError, match=said):
        import_run("pivotal-tokens", tmp_path / "x.jsonl", tmp_path / "run")
    assert not (tmp_path / "run").exists()

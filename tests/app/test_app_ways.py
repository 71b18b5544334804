"""Further ways through the app: kinds of branches, probes, imports, search, a run of an older format."""

from __future__ import annotations

import gzip
import json
import sqlite3
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from app.conftest import APP, HOSTILE, REPORT
from app.pages import branched, imported, page, param, press, shown, wait_for
from streamlit.testing.v1 import AppTest

from cotlab.reports import export_pivotal_tokens
from cotlab.reports.text import format_estimate
from cotlab.runs import Run
from cotlab.runs.database import APPLICATION_ID
from cotlab.sampling import list_jobs, reading_file
from cotlab.stats import Estimate
from cotlab.trees import SaidAt, begun_at, said_at, value
from cotlab.trees.conditions import ConditionIds

FIXTURE = Path(__file__).parents[1] / "fixtures" / "run_format_1.sql"


def fill_area(label: str, text: str) -> Callable[[AppTest], None]:
    def fill(at: AppTest) -> None:
        next(area for area in at.text_area if area.label == label).set_value(text)
        next(n for n in at.number_input if n.label == "Rollouts of each arm").set_value(10)

    return fill


@pytest.mark.parametrize(
    ("way", "label", "text", "kind"),
    [
        ("insert", "Say this before the step", "Wait, let me check that again.", "insert"),
        ("force", "Ends the thoughts and begins the answer", "", "force-answer"),
        ("hint", "Put this behind the question", "A friend says it is 12.", "prompt"),
    ],
)
def test_other_edits_are_drawn_told_and_in_the_tree(
    root: Path, tiny_run: str, way: str, label: str, text: str, kind: str
) -> None:
    at = branched(root, way, "3", fill_area(label, text), run=tiny_run)
    (job,) = list_jobs(root)
    assert job.asked["edits"][0]["kind"] == kind and job.asked["keep"] == 3
    result = job.progress().result
    with Run.open(root / tiny_run) as run:
        condition = ConditionIds(result["settings_id"], result["engine_card_id"])
        after = begun_at(run, result["prefix_id"], scorer_id="answers", condition=condition)
        said = run.prompt_text(result["prefix_id"]) + run.kept_text(result["prefix_id"])
        drawn = next(iter(run.rollouts(prefix_id=result["prefix_id"])))
        rows = [row for row in run.find_text(drawn.text, most=1_000)[0] if row.rollout_id == drawn.id]
        assert said_at(run, rows) == [SaidAt(job.asked["chain_id"], 3, 3, True)]
    assert len(after) == 10 and text in said
    assert format_estimate(value(after).estimate) in shown(at) and text in shown(at)
    assert ("effect against control" in shown(at)) == (way != "force")
    at = page("chain", run=tiny_run, step="3", branch=result["prefix_id"])
    assert not at.exception and "10 after this change" in shown(at)


def test_a_hidden_step_is_a_branch_beside_its_controls_and_in_the_tree(root: Path, tiny_run: str) -> None:
    from cotlab.interventions import AttentionSuppression

    def fill(at: AppTest) -> None:
        numbers = {one.label: one for one in at.number_input}
        numbers["Rollouts of each arm"].set_value(10)
        numbers["Other steps hidden"].set_value(1)
        numbers["Steps kept"].set_value(5)
        next(box for box in at.text_input if box.label == "Layers and heads").set_value("1, 2.0")

    at = branched(root, "suppress", "3", fill, run=tiny_run)
    (job,) = list_jobs(root)
    found = job.progress().result
    with Run.open(root / tiny_run) as run:
        chain = next(one for one in run.chains() if one.id == job.asked["chain_id"])
        its = AttentionSuppression.of_step(chain, 3, heads=("1", "2.0"))
        rows = [
            row for row in run.rollouts(prefix_id=chain.prefix(5).id, bodies=False) if row.intervention_id == its.id
        ]
    assert len(rows) == 10 and all(row.steered_tokens for row in rows)
    assert found["hidden"]["intervention_id"] == its.id and [arm["step"] for arm in found["controls"]] != [3]
    assert "V, nothing hidden" in shown(at) and "effect against control" in shown(at) and "(control)" in shown(at)
    assert format_estimate(Estimate(**found["hidden"]["shift"]), signed=True) in shown(at)
    assert "step 3 was hidden from step 4 on, in 1, 2.0; 5 steps were kept" in shown(at)
    at = page("chain", run=tiny_run, step="5", branch=f"{chain.prefix(5).id}/{its.id}")
    assert not at.exception and not at.error and "10 after this change" in shown(at)
    at = page("branch", run=tiny_run, step="3").get("button_group")[0].set_value("suppress").run()
    next(box for box in at.text_input if box.label == "Layers and heads").set_value("two")
    assert "head &#39;two&#39; not understood" in shown(press(at, "Draw")) or "head 'two' not understood" in shown(at)


def test_a_saved_probe_is_read_along_the_chain_as_the_probe_says(root: Path, tiny_run: str) -> None:
    from cotlab.models import resolve_model
    from cotlab.whitebox import Inside
    from cotlab.whitebox.jobs import spans_of
    from cotlab.whitebox.probe import Probe, ProbeCard

    tiny = resolve_model("tiny")
    inside = Inside.open("tiny")
    width = json.loads((tiny.path / "config.json").read_bytes())["hidden_size"]
    weight = np.random.default_rng(0).normal(size=width) / width
    probe = Probe(weight, 0.1, ProbeCard("<b>reachable</b>", "resid_post:2", "by hand", "tiny", tiny.revision))
    probe.save(root / "probes" / "reachable.safetensors")
    at = page("inside", run=tiny_run, step="2")
    box = next(box for box in at.multiselect if box.label == "Probes")
    box.set_value([str(root / "probes" / "reachable.safetensors")])
    at = press(at, "Read the inside")
    assert not at.exception and not at.error, shown(at)
    wait_for(root)
    (job,) = list_jobs(root)
    assert job.progress().state == "done", job.progress().error
    with Run.open(root / tiny_run) as run:
        chain = next(one for one in run.chains() if one.id == job.asked["chain_id"])
    (line,) = json.loads(reading_file(root / tiny_run, chain.id).read_bytes())["probes"]
    ids = (*chain.prompt_ids, *chain.response_ids)
    states = probe_states(inside, ids, [end - 1 for _, end in spans_of(chain)])
    assert line["label"] == "<b>reachable</b>"
    assert line["probability"] == pytest.approx((1 / (1 + np.exp(-(states @ weight + 0.1)))).tolist(), abs=1e-4)
    at = page("inside", run=tiny_run, step="2")
    assert not at.exception and not at.error
    assert any("last token of each step" in caption.value for caption in at.caption)


def probe_states(inside: object, ids: tuple[int, ...], places: list[int]) -> np.ndarray:
    """[places, d_model] after layer 2, as transformers itself tells them."""
    import torch
    from transformers import AutoModelForCausalLM

    from cotlab.models import resolve_model

    model = AutoModelForCausalLM.from_pretrained(resolve_model("tiny").path, dtype=torch.float32)
    caught: list[torch.Tensor] = []
    hook = model.model.layers[2].register_forward_hook(
        lambda module, args, out: caught.append(out[0] if isinstance(out, tuple) else out)
    )
    with torch.no_grad():
        model(torch.tensor([ids]))
    hook.remove()
    return caught[0].reshape(len(ids), -1)[places].numpy().astype(np.float64)


def test_a_run_of_an_older_format_is_shown_and_left_alone(root: Path) -> None:
    old = root / "old"
    old.mkdir()
    (old / "run.json").write_text((root / "stairs" / "run.json").read_text())
    connection = sqlite3.connect(old / "run.sqlite")
    connection.executescript(FIXTURE.read_text())
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()
    before = (old / "run.sqlite").read_bytes()
    at = page("chain", run="old")
    assert not at.exception and not any("format" in code.value for code in at.code), shown(at)
    assert (old / "run.sqlite").read_bytes() == before


def store() -> dict[str, object]:
    """A Forking Fast store of one question."""
    branch = {"t": 0, "tok_id": 5, "tok_p": 0.6, "is_base": True, "answers": list("AABB"), "cont_lens": [3] * 4}
    other = {**branch, "tok_id": 6, "tok_p": 0.2, "is_base": False, "answers": ["A", "Other", "Other", "C"]}
    return {
        "meta": {"model": "m", "question": "Which?", "choices": ["x", "y"], "answer_letter": "A"},
        "base": {"gen_ids": [5, 8, 7], "token_texts": ["ĠSo", "Ċ", "x"], "finish_reason": "stop"},
        "categories": ["A", "B", "C", "Other"],
        "branches": [branch, other],
        "config": {"cont_temperature": 0.6, "base_max_tokens": 20, "cont_max_tokens": 9},
    }


def test_a_forking_fast_store_is_imported_and_its_outcome_curve_is_shown(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "row000.json.gz").write_bytes(gzip.compress(json.dumps(store()).encode()))
    at = imported(root, "forking-fast", str(folder), "forking")
    assert not at.exception and not at.error, shown(at)
    wait_for(root)
    assert "forking: imported" in shown(page("runs"))
    at = page("chain", run="forking")
    assert not at.exception and not at.error
    assert "came without text and token ids" in shown(at) and "gold answer A" in shown(at)
    branches = at.dataframe[-1].value  # the first token: 4 draws behind each of two next tokens
    assert branches["next token"].tolist() == ["“So” (the chain's)", "token 6"]
    assert branches["answers"].tolist() == ["A 50%, B 50%", "A 25%, C 25%, no answer 50%"]
    assert branches["value"].str.contains("4 rollouts").all(), "4 rollouts are too few for a value, and it says so"
    at = page("branch", run="forking", step="0")
    assert not at.exception and any("steps of this chain are tokens" in code.value for code in at.code)


FORKING = Path(__file__).parents[3] / "shared" / "data" / "forking-fast"


@pytest.mark.skipif(not FORKING.exists(), reason="the stores of Forking Fast are not here")
def test_a_published_store_shows_the_curve_and_forks_that_the_measure_finds(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cotlab.measures import chain_curve
    from cotlab.runs.imports.forking_fast import import_forking_fast

    import_forking_fast(FORKING / "deepseek" / "row003.json.gz", root / "fast")
    with Run.open(root / "fast") as run:
        chain = run.chains()[0]
        places, curve = chain_curve(run, chain, scorer_id="forking-fast")
    right = curve.categories.index("B")
    fork = places[curve.forks[0].place + 1].position
    at = page("chain", run="fast", step=str(fork))
    assert not at.exception and not at.error, shown(at)
    turns = at.dataframe[0].value
    assert turns["before token"].tolist() == [places[one.place + 1].position for one in curve.changes]
    assert turns["total variation"].tolist() == [format_estimate(one.size) for one in curve.changes]
    assert at.select_slider[0].value == fork and f"After {fork} tokens" in shown(at)
    monkeypatch.syspath_prepend(str(APP))
    from parts.token_chain import _read

    points = _read(root / "fast", (0,), chain.id, "").points()
    assert [one.position for one in points] == [one.position for one in places]
    assert [one.value.value for one in points] == pytest.approx(curve.smooth[:, right].tolist())
    first = curve.raw[0, right]
    assert first == sum(o == "correct" for o in places[0].branches[0].draws.outcome_names()) / 200
    nearest = places[3].position
    at = at.select_slider[0].set_value(nearest).run()
    assert not at.exception and param(at, "step") == str(nearest)


def test_pivotal_tokens_are_imported_and_shown(root: Path, tmp_path: Path) -> None:
    with Run.open(root / "stairs") as run:
        export_pivotal_tokens(run, tmp_path / "pivotal.jsonl", threshold=0.05)
    rows = [json.loads(line) for line in (tmp_path / "pivotal.jsonl").read_text().splitlines()]
    assert rows
    at = imported(root, "pivotal-tokens", str(tmp_path / "pivotal.jsonl"), "pivotal")
    assert not at.exception and not at.error, shown(at)
    wait_for(root)
    assert "pivotal: imported" in shown(page("runs"))
    at = page("chain", run="pivotal", step="0")
    assert not at.exception, at.exception
    with Run.open(root / "pivotal") as run:
        assert [chain.steps[0].text for chain in run.chains()] == [row["label"] for row in rows]


def test_search_finds_every_rollout_that_says_it_and_names_where(root: Path) -> None:
    with Run.open(root / "stairs") as run:
        chain = run.chains()[0]
        words = chain.steps[2].text.strip()
        said = [one for one in run.rollouts() if words.lower() in one.text.lower()]
        kept = {chain.prefix(k).id: k for k in reversed(range(len(chain.steps) + 1))}
    assert said
    at = page("chain", run="stairs", step="1")
    at = next(box for box in at.text_input if box.label == "Words").set_value(words.upper()).run()
    assert not at.exception and f"{len(said):,} rollouts say it" in shown(at)
    frame = at.dataframe[0].value
    assert len(frame) == min(50, len(said))
    assert frame["begins after"].tolist() == [kept[one.prefix_id] for one in said[:50]]
    for step, one in zip(frame["step"], said, strict=False):
        lines = one.text.splitlines()
        first = next(i for i, line in enumerate(lines) if words.lower() in line.lower())
        assert step == kept[one.prefix_id] + first
    at = next(box for box in at.text_input if box.label == "Words").set_value("nobody says this").run()
    assert "No rollout of this run says it" in shown(at) and param(at, "step") == "1"


@pytest.mark.parametrize("text", HOSTILE)
def test_search_takes_every_text(root: Path, hostile: Callable[[Path], None], text: str) -> None:
    hostile(root / "a-hostile")
    with Run.open(root / "a-hostile") as run:
        found, n = run.find_text(text.upper() if text.isascii() else text)
        assert n == sum(text.lower() in one.text.lower() for one in run.rollouts()) > 0
        assert all(row.said.lower() == text.lower() for row in found)


def test_the_report_of_a_run_is_told_in_brief_and_taken_along(root: Path) -> None:
    from cotlab.reports import ReportPlan, study_report

    at = press(page("runs", run="stairs"), "Report")
    assert not at.exception and not at.error, shown(at)
    brief = study_report(ReportPlan((root / "stairs",))).brief
    assert brief and all(one.split(" (")[0] in shown(at) for one in brief)
    assert "Save the report" in [button.label for button in at.get("download_button")]


def test_the_report_of_a_hostile_run_is_text(root: Path, hostile: Callable[[Path], None]) -> None:
    from cotlab.reports import ReportPlan, render_study, study_report

    hostile(root / "a-hostile")
    at = press(page("runs", run="a-hostile"), "Report")
    assert not at.exception and not at.error, shown(at)
    body = "\n".join(element.proto.body for element in at.get("html"))
    assert "<script" not in body and "<img" not in body and "\0" not in body and "\u202e" not in body
    made = render_study(study_report(ReportPlan((root / "a-hostile",))))
    assert "<img" not in made and made.count("<script") == 1 and len(made.encode()) < 2_000_000


def test_an_experiment_shows_what_its_results_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    from cotlab.reports import read_experiment

    folder = APP.parents[1] / "experiments" / "lucky"
    results = read_experiment(folder)
    at = page("experiments", experiment="lucky")
    assert not at.exception and not at.error, shown(at)
    assert results.question in shown(at) and results.method in shown(at)
    frames = [frame.value for frame in at.dataframe]
    kinds = [
        [one for one in results.estimates if one.evidence == kind] for kind in ("observed", "caused", "correlated")
    ]
    for rows, frame in zip([rows for rows in kinds if rows], frames, strict=False):
        assert frame["what"].tolist() == [one.name for one in rows]
        for one, told in zip(rows, frame["estimate"], strict=True):
            assert told == one.reason if one.value is None else "[" in told or one.low is None
    planted = next(frame for frame in frames if "planted" in frame)
    assert planted["planted"].tolist() == [one.name for one in results.recovered]
    assert planted[""].tolist() == ["found" if one.ok else "NOT FOUND" for one in results.recovered]
    nulls = next(frame for frame in frames if "found something" in frame)
    assert nulls["found something"].tolist() == [f"{one.found} of {one.n}" for one in results.null_rate]
    assert [image.label for image in at.get("download_button")] == ["This experiment as one page"]
    captions = {one.caption for image in at.get("image") for one in image.proto.imgs}
    assert captions == set(results.figures)


@pytest.mark.parametrize("text", HOSTILE)
def test_an_experiment_with_hostile_names_is_text(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cotlab.reports import Experiment, Finding, write_experiment

    name = text.encode("utf-8", "replace").decode()[:5_000]
    monkeypatch.syspath_prepend(str(APP))
    import parts.library

    monkeypatch.setattr(parts.library, "experiments_folder", lambda: tmp_path)
    told = {"question": name, "model": name, "problems": name, "method": name, "warnings": (name,), "limits": (name,)}
    told |= {"commands": (name,), "versions": {name: name}, "estimates": (Finding.of(name, Estimate(0.5), group=name),)}
    (tmp_path / "theirs").mkdir()
    write_experiment(Experiment(name=name, **told), tmp_path / "theirs")
    at = page("experiments")
    assert not at.exception and not at.error and "Nothing was planted" in shown(at)
    body = "\n".join(element.proto.body for element in at.get("html"))
    assert "<script" not in body and "<img" not in body and "\0" not in body and "\u202e" not in body
    (tmp_path / "theirs" / "results.json").write_text('{"format": "cotlab-experiment/9"}')
    at = page("experiments")
    assert not at.exception and "holds no results of cotlab-experiment/1" in shown(at)


def test_hostile_names_in_figures_are_text(
    root: Path, hostile: Callable[[Path], None], hostile_inside: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile(root / "hostile")
    hostile_inside(root)
    for name, asked in (("inside", {"run": "hostile", "step": "0"}), ("steering", {"report": "hostile-report"})):
        at = page(name, **asked)
        assert not at.exception and not at.error, shown(at)
        body = "\n".join(element.proto.body for element in at.get("html"))
        assert "<script" not in body and "<img" not in body
    monkeypatch.syspath_prepend(str(APP))
    from parts import figures

    drawn: list[str] = []
    monkeypatch.setattr(figures, "figure", lambda svg, key: drawn.append(svg))
    monkeypatch.setattr(figures.st, "download_button", lambda *args, **kwargs: False)
    numbers, curve = [[0.5] * len(HOSTILE)] * 2, [(0.0, 0.5, 0.1, 0.9), (0.2, 0.6, None, None)]
    for text in HOSTILE:
        tips = list(HOSTILE)
        figures.show_figure(figures.heat_map(numbers, [text] * 2, unit=text, told=text, tips=tips), "a")
        figures.show_figure(figures.arcs(numbers, step=0, most=9, told=text, tips=tips), "b")
        figures.show_figure(figures.step_curve([(text, numbers[0])], marked=0, told=text, tips=tips), "c")
        figures.show_figure(figures.dose_curve([(text, curve)], told=text, name=text), "d")
    allowed = {"svg", "title", "g", "rect", "line", "text", "path", "circle", "polyline"}
    for svg in drawn:
        for element in ET.fromstring(svg).iter():
            assert element.tag.rpartition("}")[2] in allowed
            assert not any(name.startswith("on") or "href" in name for name in element.attrib)
    assert len(drawn) == 4 * len(HOSTILE) and REPORT.exists()

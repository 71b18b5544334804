"""Every page of the workbench on a real run, as Streamlit runs it; the component itself is tested in a browser."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from app.conftest import HOSTILE
from app.pages import branched, imported, page, param, press, shown, wait_for
from streamlit.testing.v1 import AppTest

from cotlab.interventions import HookPoint, SteeringVector, VectorCard, save_vector
from cotlab.measures import step_effect
from cotlab.runs import Run, RunIdentity
from cotlab.sampling import BranchConfig, list_jobs, start_job
from cotlab.trees import chain_draws, conditions_of

PAGES = ("runs", "chain", "branch", "compare", "inside", "steering", "features", "new", "experiments", "doctor")


@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens_on_a_run_and_says_something(root: Path, name: str) -> None:
    at = page(name, run="stairs") if name != "runs" else page(name)
    assert not at.exception
    assert len(shown(at)) > 60


def test_runs_says_what_a_run_holds(root: Path) -> None:
    at = page("runs")
    frame = at.dataframe[0].value
    with Run.open(root / "stairs") as run:
        told = run.summary()
    row = frame[frame["run"] == "stairs"].iloc[0]
    assert (row["rollouts"], row["chains"], row["state"]) == (told.rollouts, 1, "whole")
    assert row["right"] == pytest.approx(told.accuracy["answers/1"])


def test_a_link_leads_to_the_step_and_a_widget_changes_the_link(root: Path) -> None:
    at = page("chain", run="stairs", step="2")
    with Run.open(root / "stairs") as run:
        chain = run.chains()[0]
    assert param(at, "chain") == chain.id and param(at, "step") == "2"
    assert any(element.value == "Step 2" for element in at.subheader)
    assert chain.steps[2].text.strip() in shown(at)
    strength = next(box for box in at.selectbox if box.label == "Colour strength")
    at = strength.set_value("after").run()
    assert param(at, "metric") == "after" and param(at, "step") == "2"
    assert not at.exception


def test_a_link_to_a_branch_shows_its_rollouts_alone(root: Path) -> None:
    import cotlab as ct

    with Run.open(root / "stairs") as run:
        chain = run.chains()[0]
        tree = ct.build_tree(run, chain, scorer_id="answers")
        at_root = chain.prefix(0).id
        node = max(
            (n for n in tree.successors(at_root) if tree.nodes[n]["kind"] == "branch"),
            key=lambda n: tree.nodes[n]["visits"],
        )
        visits, text = tree.nodes[node]["visits"], tree.edges[at_root, node]["text"]
    at = page("chain", run="stairs", chain=chain.id, step="0", branch=node)
    assert not at.exception
    assert text.strip() in shown(
        at
    ) and f"{visits:,} that keep 0 steps and then say this, in these words or others" in shown(at)
    assert any(number.label == f"Rollout, 1 to {visits}" for number in at.number_input)
    at = press(at, "Grow branch")
    assert not at.exception and param(at, "grown") == node


def test_a_run_that_only_asks_questions_says_where_its_answers_are(root: Path) -> None:
    with Run.create(root / "asked", RunIdentity("m", "tok", "r1", "<think>", "</think>")) as run:
        at = page("chain", run="asked")
        assert "This run has no chain yet" in shown(at)
        run.add_study({"kind": "views"}, 0)
    at = page("chain", run="asked")
    assert not at.exception and "holds answers to questions and no chain. “Report”" in shown(at)


def test_a_note_is_kept_in_the_run(root: Path) -> None:
    at = page("chain", run="stairs", step="1")
    next(area for area in at.text_area if area.label == "Note").input("here it forks")
    at = press(at, "Keep note")
    assert not at.exception
    with Run.open(root / "stairs") as run:
        assert [(n.text, n.subject) for n in run.notes()] == [("here it forks", run.chains()[0].prefix(1).id)]
    assert "here it forks" in shown(page("chain", run="stairs", step="1"))


def test_compare_tells_the_effect_that_the_measure_tells(root: Path) -> None:
    from cotlab.reports.text import format_estimate

    with Run.open(root / "stairs") as run:
        chain = run.chains()[0]
        draws = chain_draws(run, chain, scorer_id="answers")
    at = page("compare", run="stairs", chain=chain.id, step="1", other=f"stairs|{chain.id}|2|")
    assert not at.exception
    assert format_estimate(step_effect(draws[1], draws[2]), signed=True) in shown(at)
    at = press(at, "Swap")
    assert (param(at, "step"), param(at, "other")) == ("2", f"stairs|{chain.id}|1|")
    assert format_estimate(step_effect(draws[2], draws[1]), signed=True) in shown(at)


def test_branch_draws_in_its_own_process_and_the_run_has_them(root: Path) -> None:
    at = page("branch", run="stairs", step="1")
    next(number for number in at.number_input if number.label == "Rollouts to draw").set_value(7)
    at = press(at, "Draw")
    assert not at.exception
    (job,) = list_jobs(root)
    until = time.monotonic() + 250
    while job.alive() and time.monotonic() < until:
        time.sleep(0.2)
    assert job.progress().state == "done", job.progress().error
    with Run.open(root / "stairs") as run:
        chain = run.chains()[0]
        assert len(chain_draws(run, chain, scorer_id="answers", pooled=False)[1]) == 47
    at = page("branch", run="stairs", step="1")
    assert "What came of it" in shown(at) and "47 rollouts begin here" in shown(at)


def fill_replace(at: AppTest) -> None:
    next(area for area in at.text_area if area.label == "Say this in its place").set_value("Stop here.")


def fill_delete(at: AppTest) -> None:
    assert any(number.label == "Steps kept" for number in at.number_input)


@pytest.mark.parametrize(("way", "fill"), [("replace", fill_replace), ("delete", fill_delete)])
def test_an_edit_ends_with_its_effect_and_lands_in_the_tree(
    root: Path, way: str, fill: Callable[[AppTest], None]
) -> None:
    from cotlab.reports.text import format_estimate
    from cotlab.trees import ConditionIds, begun_at

    at = branched(root, way, "1", fill)
    told, (job,) = shown(at), list_jobs(root)
    result = job.progress().result
    with Run.open(root / "stairs") as run:
        chain = run.chains()[0]
        condition = ConditionIds(result["settings_id"], result["engine_card_id"])
        before = chain_draws(run, chain, scorer_id="answers", condition=condition)[job.asked["keep"]]
        after = begun_at(run, result["prefix_id"], scorer_id="answers", condition=condition)
        effect = step_effect(before, after)
    assert len(after) == 40 and format_estimate(effect, signed=True) in told
    assert "effect against control" in told and "effect against unedited" in told
    at = page("chain", run="stairs", step="1", branch=result["prefix_id"])
    assert not at.exception and "40 after this change" in shown(at)


def test_what_cannot_be_edited_is_one_line_and_starts_nothing(root: Path) -> None:
    at = page("branch", run="stairs", step="1")
    at = at.get("button_group")[0].set_value("insert").run()
    assert "the text is empty" in shown(press(at, "Draw"))
    at = at.get("button_group")[0].set_value("steer").run()
    assert "no vector is chosen" in shown(press(at, "Draw"))
    assert not list_jobs(root)


def filled(name: str, n: int) -> AppTest:
    """The page of a new study, filled in."""
    at = page("new")
    at = at.get("button_group")[0].set_value("question").run()
    next(area for area in at.text_area if area.label == "Question").input("Climb the stairs")
    texts = {box.label: box for box in at.text_input}
    texts["Gold answer"].set_value("7")
    texts["Model"].set_value("markov:staircase")
    texts["Name of the run"].set_value(name)
    next(box for box in at.selectbox if box.label == "Steps are").set_value("lines")
    next(number for number in at.number_input if number.label == "Rollouts from every step").set_value(n)
    return press(at, "Start")


def test_a_new_study_is_started_seen_on_another_page_and_stopped(root: Path) -> None:
    at = filled("../outside", 20)
    assert "is no name for a run" in shown(at) and not list_jobs(root)
    at = filled("mine", 50_000)
    assert not at.exception
    (job,) = list_jobs(root)
    assert job.alive() and job.run == root / "mine" and job.asked["question"] == "Climb the stairs"
    press(page("runs"), "Stop")
    until = time.monotonic() + 250
    while job.alive() and time.monotonic() < until:
        time.sleep(0.2)
    assert job.progress().state == "stopped", job.log()
    at = page("runs")
    assert not at.exception and "stopped; what was sampled is kept" in shown(at)


@pytest.mark.parametrize(
    ("name", "told"), [("runs", "stairs: done, 0 rollouts sampled"), ("new", "Start"), ("branch", "What came of it")]
)
def test_what_came_of_a_job_is_shown_while_its_process_still_leaves(root: Path, name: str, told: str) -> None:
    """An interpreter with PyTorch takes seconds to end on a busy machine: pages ran anew all that time, without end."""
    with Run.open(root / "stairs") as run:
        chain = run.chains()[0]
        (condition,) = conditions_of(run, chain)
    ids = {"settings_id": condition.settings_id, "engine_card_id": condition.engine_card_id}
    job = start_job(root, BranchConfig.of(run=root / "stairs", prefix_id=chain.prefix(1).id, n=2, **ids))
    wait_for(root)
    assert job.progress().state == "done", job.log()
    with open(job.folder / "job.lock", "rb") as process:
        fcntl.flock(process, fcntl.LOCK_EX)
        at = page(name, **({"run": "stairs", "step": "1"} if name == "branch" else {}))
    assert not at.exception
    assert told in shown(at) or told in [button.label for button in at.button]


def test_a_transcript_is_pasted_and_becomes_a_chain(root: Path) -> None:
    at = page("new")
    at = at.get("button_group")[0].set_value("transcript").run()
    texts = {box.label: box for box in at.text_input}
    texts["Model"].set_value("markov:staircase")
    texts["Name of the run"].set_value("pasted")
    at = press(at, "Start")
    assert "has no question" in shown(at) and not list_jobs(root)


@pytest.mark.parametrize(
    "name", ["corrupt", "newer", "newer-tables", "leads-out", "../outside", "nowhere", "a\0b", "/etc"]
)
@pytest.mark.parametrize("where", ["chain", "compare"])
def test_a_run_that_cannot_be_opened_is_one_clear_line(broken: Path, name: str, where: str) -> None:
    at = page(where, run=name)
    assert not at.exception
    if where == "chain":
        assert at.error and len(at.code) == 1 and "\n" not in at.code[0].value
    assert "outside" not in [box.value for box in at.selectbox]


def test_damaged_runs_are_listed_with_what_is_wrong(broken: Path) -> None:
    frame = page("runs").dataframe[0].value.set_index("run")
    assert frame.loc["stairs", "state"] == "whole"
    assert "damaged" in frame.loc["corrupt", "state"] and "update cotlab" in frame.loc["newer", "state"]
    assert "leads-out" not in frame.index


@pytest.mark.parametrize("name", ["runs", "chain", "branch", "compare", "inside"])
def test_hostile_text_is_text(root: Path, hostile: Callable[[Path], None], name: str) -> None:
    hostile(root / "a-hostile")
    at = page(name, run="a-hostile", step="0")
    assert not at.exception
    body = "\n".join(element.proto.body for element in at.get("html"))
    assert "<script" not in body and "<img" not in body and "\0" not in body and "\u202e" not in body
    assert len(body) < 400_000
    if name not in ("runs", "inside"):
        assert HOSTILE[0].replace("<", "&lt;").replace(">", "&gt;") in body
    for step in range(len(HOSTILE)):
        assert not page(name, run="a-hostile", step=str(step)).exception if name == "chain" else True


SHARED = Path(__file__).parents[3] / "shared" / "data" / "thought-anchors"


@pytest.mark.skipif(not SHARED.exists(), reason="the traces of Thought Anchors are not here")
def test_published_traces_are_imported_and_shown_with_where_they_came_from(root: Path) -> None:
    folder = SHARED / "deepseek-r1-distill-llama-8b"
    at = imported(root, "math-rollouts", str(folder), "anchors")
    assert not at.exception and not at.error, shown(at)
    wait_for(root)
    at = page("runs")
    assert "anchors: imported" in shown(at) and "only the first sentence" in shown(at)
    at = page("chain", run="anchors", step="3")
    assert not at.exception and "text without token ids" in shown(at)
    assert "the answers of its rollouts are not known" in shown(at) and "no gold answer" not in shown(at)
    from parts.study import study
    from parts.view import view_of

    with Run.open(root / "anchors") as run:
        chain = run.chains()[0].id
    told = view_of(study(root / "anchors", (0,), chain, "", None, 1, ""), "", -1, "").header
    assert told["curve_told"].endswith("as published") and all(e["low"] is None for _, e in told["curve"][:-1])
    at = page("chain", run="anchors", step="3", metric="published-accuracy")
    assert not at.exception


def test_an_import_that_cannot_be_is_one_clear_line(root: Path, tmp_path: Path) -> None:
    at = imported(root, "forking-fast", str(tmp_path / "nowhere"), "theirs")
    assert "nothing is at" in shown(at) and not list_jobs(root)
    at = imported(root, "forking-fast", str(tmp_path), "../outside")
    assert "is no name for a run" in shown(at) and not list_jobs(root)
    (tmp_path / "bad.jsonl").write_text("no json\n")
    at = imported(root, "pivotal-tokens", str(tmp_path / "bad.jsonl"), "theirs")
    assert not at.exception and not at.error
    wait_for(root)
    (job,) = list_jobs(root)
    assert job.progress().state == "failed" and "bad.jsonl" in str(job.progress().error)
    assert not (root / "theirs").exists()


@pytest.mark.parametrize("metric", ["resampling-kl", "resampling-tv", "counterfactual-delta-v", "different", "over"])
def test_a_measure_of_the_catalogue_colours_the_steps_as_the_catalogue_says(root: Path, metric: str) -> None:
    from parts.metrics import METRICS
    from parts.study import study

    from cotlab.measures import measure_steps

    with Run.open(root / "stairs") as run:
        chain = run.chains()[0]
        name, _, form = metric.partition("-")
        measure = {"different": "different-trajectories", "over": "overdeterminedness"}.get(name, name)
        told = measure_steps(run, chain, measure, scorer_id="answers", metric=form or "delta-v")  # type: ignore[arg-type]
    found = METRICS[metric].of(study(root / "stairs", (0,), chain.id, "", None, 1, ""))
    by_step = {one.step: one.estimate for one in told}
    assert [e.value for e in found][: len(by_step)] == [by_step[k].value for k in sorted(by_step)]
    assert not page("chain", run="stairs", step="1", metric=metric).exception


def test_the_inside_of_a_chain_is_read_in_a_job_and_shown_as_the_white_box_says(root: Path, tiny_run: str) -> None:

    from cotlab.sampling import reading_file
    from cotlab.whitebox import Inside, read_lens, step_attention
    from cotlab.whitebox.jobs import spans_of

    at = page("inside", run=tiny_run, step="2")
    assert "Nothing of this chain was read yet" in shown(at)
    at = press(at, "Read the inside")
    assert not at.exception and not at.error, shown(at)
    wait_for(root)
    (job,) = list_jobs(root)
    assert job.progress().state == "done", job.progress().error
    with Run.open(root / tiny_run) as run:
        chain = next(one for one in run.chains() if one.id == job.asked["chain_id"])
    told = json.loads(reading_file(root / tiny_run, chain.id).read_bytes())
    inside, ids, spans = Inside.open("tiny"), (*chain.prompt_ids, *chain.response_ids), spans_of(chain)
    (start, end), lens = spans[2], read_lens(inside, ids)
    assert told["lens_kl"][1][2] == pytest.approx(float(lens.kl[1, start:end].mean()), abs=1e-5)
    found = step_attention(inside, ids, spans)
    assert told["attention"][5][2] == pytest.approx(float(found[:, :, 5, 2].mean()), abs=1e-6)
    at = page("inside", run=tiny_run, step="2")
    assert not at.exception and not at.error
    assert {button.label for button in at.get("download_button")} == {"SVG"} and len(at.get("download_button")) >= 4
    reading_file(root / tiny_run, chain.id).write_text('{"format": "cotlab-inside/9"}')
    at = page("inside", run=tiny_run)
    assert not at.exception and "is no reading" in shown(at)


def test_a_run_without_tokens_has_no_inside_and_says_so(root: Path) -> None:
    at = press(page("inside", run="stairs"), "Read the inside")
    wait_for(root)
    (job,) = list_jobs(root)
    assert not at.exception and job.progress().state == "failed"
    assert "markov" in str(job.progress().error)


def noise(file: Path) -> SteeringVector:
    """A vector of the tiny reasoner that means nothing."""
    from cotlab.models import resolve_model

    tiny = resolve_model("tiny")
    width = json.loads((tiny.path / "config.json").read_bytes())["hidden_size"]
    rows = np.random.default_rng(0).normal(size=(1, width)).astype(np.float32)
    card = VectorCard(model="tiny", revision=tiny.revision, mean_norms=(10.0,))
    vector = SteeringVector((HookPoint("resid_post", 2),), rows, card)
    save_vector(vector, file)
    return vector


def test_a_vector_branches_a_chain_beside_its_controls(root: Path, tiny_run: str) -> None:
    noise(root / "noise.safetensors")
    at = page("branch", run=tiny_run, step="1")
    at = at.get("button_group")[0].set_value("steer").run()
    next(n for n in at.number_input if n.label == "Rollouts of each arm").set_value(5)
    next(n for n in at.number_input if n.label == "Random vectors").set_value(1)
    next(box for box in at.selectbox if box.label == "Vector").set_value(str(root / "noise.safetensors"))
    at = press(at, "Draw")
    assert not at.exception and not at.error, shown(at)
    wait_for(root)
    (job,) = list_jobs(root)
    assert job.progress().state == "done", job.progress().error
    at = page("branch", run=tiny_run, step="1")
    at = at.get("button_group")[0].set_value("steer").run()
    assert "wrong sign" in shown(at) and "random 1" in shown(at) and "V, no steering" in shown(at)


def test_a_report_shows_its_curves_and_texts_and_a_bad_one_is_a_line(root: Path) -> None:
    from cotlab.whitebox import StudyPlan, steer_report

    assert "No behaviour report" in shown(page("steering"))
    plan = StudyPlan("backtracking", "resid_post:2", doses=(0.2,), n_problems=5, n=1, n_random=2)
    vector = noise(root / "noise.safetensors")
    result = steer_report(plan, root / "back", engine="transformers", vector=vector, max_tokens=80)
    at = page("steering", report="back")
    assert not at.exception and not at.error, shown(at)
    assert result.verdict[:40] in shown(at) and at.get("download_button")
    assert any(number.label == "Pair, 1 to 5" for number in at.number_input)
    (root / "bad").mkdir()
    (root / "bad" / "report.json").write_text('{"behaviour": "<script>alert(1)</script>"}')
    at = page("steering", report="bad")
    assert not at.exception and at.error and "is no behaviour report" in shown(at)
    (root / "worse").mkdir()
    (root / "worse" / "report.json").write_text("nothing")
    assert page("steering", report="worse").error and not page("steering", report="../bad").exception


def test_a_hint_before_kept_steps_is_drawn_scored_and_in_the_tree(root: Path, tiny_run: str) -> None:
    from cotlab.interventions import AddToPrompt
    from cotlab.measures import edited_prefixes
    from cotlab.sampling import EditConfig, start_job

    with Run.open(root / tiny_run) as run:
        chain = run.chains()[0]
        hint = AddToPrompt(" A friend says 12.", run.problems()[chain.problem_id].question)
    start_job(root, EditConfig.of(run=root / tiny_run, chain_id=chain.id, keep=3, edits=[hint.to_json()], n=2))
    wait_for(root)
    (job,) = list_jobs(root)
    assert job.progress().state == "done", job.progress().error
    made = job.progress().result["prefix_id"]
    with Run.open(root / tiny_run) as run:
        assert (3, made) in [(keep, prefix) for keep, prefix, _ in edited_prefixes(run, chain)]
        assert "A friend says 12." in run.prompt_text(made)
        assert run.kept_text(made) == "".join(step.text for step in chain.steps[:3])

"""Readers of activations: the right token, the model's own tokens, one pass a response; what monitors make of them."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cotlab.chains.prefix import Prefix
from cotlab.errors import DataError, UserError
from cotlab.interventions.hook_points import HookPoint
from cotlab.measures import shown_rows
from cotlab.problems import Arm
from cotlab.runs import Run
from cotlab.sampling import StudyConfig, sample_arms
from cotlab.whitebox import ActivationMonitor, AnswerLens, EndReader, Inside, LensMonitor, answer_logprobs, common_stub

POINT = HookPoint("resid_post", 2)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "arms"
    config = StudyConfig.of(problems="solve", n_problems=8, n=1, model="tiny", engine="transformers", run=path)
    sample_arms(config, [Arm(), Arm("friend"), Arm("friend", right=True)])
    return path


def test_it_reads_the_last_token_of_what_is_shown(path):
    inside = Inside.open("tiny")
    with Run.open(path) as run:
        rows = shown_rows(run, "shaped")
        reader = EndReader(run, inside, [HookPoint("resid_post", 0), POINT], counts=(0, 2))
        row = rows[0]
        rollout = run.rollout(row.rollout_id)
        prompt, ids = run.prefix(rollout.prefix_id).token_ids, rollout.token_ids
        for shown in (row, row.first(2), row.first(0)):
            kept = next(
                k for k in range(len(ids) + 1) if len("".join(inside.tokenizer.pieces(ids[:k]))) >= len(shown.text)
            )
            wanted = inside.read(prompt + ids[:kept], [POINT])[POINT][-1].numpy()
            assert np.allclose(reader.read([shown], POINT)[0], wanted, atol=1e-4)
        assert set(reader._seen) == {(row.rollout_id, row.first(count).text) for count in (0, 2, 999)}


def test_edited_thoughts_are_read_as_they_now_stand(path):
    inside = Inside.open("tiny")
    with Run.open(path) as run:
        row = shown_rows(run, "shaped")[0]
        edited = row.changed(lambda sentence: "" if sentence == row.steps[0] else sentence)
        reader = EndReader(run, inside, [POINT])
        prompt = run.prefix(run.rollout(row.rollout_id).prefix_id).token_ids
        wanted = inside.read(prompt + tuple(inside.tokenizer.encode(edited.text)), [POINT])[POINT][-1].numpy()
        assert np.allclose(reader.read([edited], POINT)[0], wanted, atol=1e-4)


def test_edited_thoughts_stand_behind_the_tag_that_the_response_opened_them_with(path):
    """Where the template does not open the thoughts, the response does: without its tag they read as an answer."""
    inside = Inside.open("tiny")
    with Run.open(path) as run:
        row = shown_rows(run, "shaped")[0]
        rollout, tag = run.rollout(row.rollout_id), run.identity.think_open
        prompt = run.prefix(rollout.prefix_id).token_ids
        opened = SimpleNamespace(
            identity=run.identity,
            prefix=run.prefix,
            rollout=lambda _: replace(rollout, text=f"{tag}\n{rollout.text.lstrip()}"),
        )
        edited = row.changed(lambda sentence: "" if sentence == row.steps[0] else sentence)
        reader = EndReader(opened, inside, [POINT])
        said = tuple(inside.tokenizer.encode(f"{tag}\n{edited.text}"))
        wanted = inside.read(prompt + said, [POINT])[POINT][-1].numpy()
        assert np.allclose(reader.read([edited], POINT)[0], wanted, atol=1e-4)
        bare = inside.read(prompt + tuple(inside.tokenizer.encode(edited.text)), [POINT])[POINT][-1].numpy()
        assert not np.allclose(bare, wanted, atol=1e-2)
    assert reader.tokens.opening("no tag") == "" and reader.tokens.opening(f" {tag} \n so") == f" {tag} \n "


def test_it_learns_and_scores_as_any_monitor(path):
    with Run.open(path) as run:
        rows = shown_rows(run, "shaped")
        monitor = ActivationMonitor(EndReader(run, Inside.open("tiny"), [POINT]), POINT)
        scores = monitor(rows, rows)
        labels = np.array([row.label for row in rows])
        assert scores[labels].mean() > 0 > scores[~labels].mean(), "on what it learned from"


def test_the_mean_along_the_sentences_is_that_of_the_ends_of_each(path):
    with Run.open(path) as run:
        row = shown_rows(run, "shaped")[0]
        reader = EndReader(run, Inside.open("tiny"), [POINT])
        ends = [reader.read([row.first(k)], POINT)[0] for k in range(1, len(row.steps) + 1)]
        fresh = EndReader(run, reader.inside, [POINT])
        assert np.allclose(fresh.along([row], POINT)[0], np.mean(ends, axis=0), atol=1e-4)
        with pytest.raises(ValueError, match="shows nothing"):
            reader.along([row.first(0)], POINT)


def test_the_lens_at_the_last_layer_is_the_model_itself(path):
    """Σ log p(token | what came before), by a forward pass of the whole; an answer of several tokens, and its end."""
    inside = Inside.open("tiny")
    with Run.open(path) as run:
        row = shown_rows(run, "shaped")[0].first(2)
        reader, stub = EndReader(run, inside, [POINT]), common_stub(run, inside)
        assert stub.startswith("</think>") and stub.endswith("\\boxed{")
        shown = reader.tokens.shown(row)
        answers = ["7", "12", "25"]
        found = answer_logprobs(inside, shown, stub, answers)
        assert found.shape == (3, inside.shape.n_layers)
        for answer, by_layer in zip(answers, found, strict=True):
            before = shown.token_ids + tuple(inside.tokenizer.encode(stub))
            ids = before + tuple(inside.tokenizer.encode(answer + "}"))
            said = inside.logits(ids).float().log_softmax(-1)
            wanted = sum(float(said[at - 1, ids[at]]) for at in range(len(before), len(ids)))
            assert by_layer[-1] == pytest.approx(wanted, abs=1e-3)
        only = answer_logprobs(inside, shown, stub, answers, [2])
        assert np.allclose(only[:, 0], found[:, 2], atol=1e-4)
        with pytest.raises(DataError, match="empty"):
            answer_logprobs(inside, shown, stub, [" "])


@pytest.mark.parametrize(("stub", "rest"), [(" so \\boxed{", ""), (" so \\boxed", "{"), (" so \\", "boxed{")])
def test_answers_are_weighed_within_the_box_however_a_tokenizer_cuts_it(stub, rest):
    """Where it joins the brace to the answer ("{(") the tokens differ before it: by the chain rule over the whole."""
    inside = Inside.open("tiny")
    shown, stub = Prefix(tuple(inside.tokenizer.encode("We add.\n")), 1), f"</think>\n\n{stub}"
    answers, opened = ["(4 + 7) * 5", "12", "1"], stub + rest
    found = answer_logprobs(inside, shown, stub, answers, [3])[:, 0]
    wanted = []
    for answer in answers:
        ids = shown.token_ids + tuple(inside.tokenizer.encode(opened + answer + "}"))
        said = inside.logits(ids).float().log_softmax(-1)
        wanted.append(sum(float(said[at - 1, ids[at]]) for at in range(len(shown.token_ids), len(ids))))
    assert np.allclose(np.diff(found), np.diff(wanted), atol=1e-3)


def test_the_stub_of_a_run_opens_the_box_whatever_its_answers_begin_with(tmp_path):
    config = StudyConfig.of(problems="countdown", n_problems=4, n=1, model="tiny", engine="transformers", run=tmp_path)
    sample_arms(config, [Arm(), Arm("friend")])
    with Run.open(tmp_path) as run:
        assert common_stub(run, Inside.open("tiny")).endswith("\\boxed{")


def test_whole_thoughts_lean_to_the_answer_that_they_came_to(path):
    with Run.open(path) as run:
        rows = shown_rows(run, "used")
        lens = AnswerLens(run, Inside.open("tiny"), layers=[0, 3])
        scores = LensMonitor(lens, 3)([], rows)
        for row, score in zip(rows, scores, strict=True):
            assert (score > 0) == (not row.correct), (
                "negatives of this task are right, positives gave the hinted answer"
            )
        assert np.array_equal(LensMonitor(lens, 0)([], rows), lens.leans(rows)[:, 0])
        hinted, other = lens.answers(rows[0])
        shaped = AnswerLens(run, lens.inside, "shaped")
        assert shaped.answers(rows[0]) == (other, hinted)


def test_the_lens_says_why_it_has_nothing_to_read(tmp_path):
    config = StudyConfig.of(problems="solve", n_problems=2, n=1, model="tiny", engine="transformers", run=tmp_path)
    sample_arms(config, [Arm(), Arm("friend", right=True)])
    with Run.open(tmp_path) as run:
        rows, lens = shown_rows(run, "shaped"), AnswerLens(run, Inside.open("tiny"), "shaped")
        assert "no two answers to lean to" in lens.lacking(rows)
        with pytest.raises(UserError, match="2 of 2 problems"):
            LensMonitor(lens, 3)([], rows)

"""Studies of views on a small random LLaVA: what is asked, read and drawn, once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from vision_small import their_inputs, their_model, vlm_folder

from cotlab.cli import vision_asking
from cotlab.engines.hf import TransformersEngine
from cotlab.errors import UserError
from cotlab.measures import yes_no_rows
from cotlab.problems import BLAME_VIEWS, LOOK_VIEWS, OWN, View
from cotlab.runs import Run
from cotlab.sampling import PUBLISHED_RULES, StudyConfig, odds_id, plan_views, sample_views

YES, NO = 261, 262
ASKED = {"problems": "scenes", "n_problems": 12, "n": 2, "engine": "transformers", "max_tokens": 3}


@pytest.fixture(scope="module")
def model(vision_root: Path) -> Path:
    """The small LLaVA, whose tokenizer has Yes and No as tokens."""
    from transformers import AutoTokenizer

    folder = vision_root / "answers"
    shutil.copytree(vlm_folder(vision_root, "llava"), folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["Yes", "No"])
    assert tokenizer.convert_tokens_to_ids(["Yes", "No"]) == [YES, NO]
    tokenizer.save_pretrained(folder)
    return folder


def config(model: Path, run: Path, **other: object) -> StudyConfig:
    return StudyConfig.of(**{**ASKED, "model": str(model), "run": run, **other})


@pytest.fixture(scope="module")
def done(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("views") / "run"
    views = list(dict.fromkeys((*LOOK_VIEWS, *BLAME_VIEWS)))
    sample_views(config(model, run), views)
    return run


def test_every_question_is_there_under_every_view_that_it_can_have(model: Path, done: Path) -> None:
    plan = plan_views(config(model, done), LOOK_VIEWS)
    with Run.open(done) as run:
        rows = yes_no_rows(run)
        prefixes = {row.id: row for row in run.prefixes()}
        scorers = set(run.scorers())
    assert {row.view for row in rows} == {*LOOK_VIEWS, *BLAME_VIEWS}
    for problem, views in plan.shown:
        here = {row.view: row for row in rows if row.problem == problem.id}
        assert {one.view for one in views} <= set(here)
        assert {view: row.truth for view, row in here.items() if view in LOOK_VIEWS} == {v.view: v.truth for v in views}
        assert all(len(row.said) == 2 and row.image == problem.images[0].id for row in here.values())
    masked = sum(problem.answer == "No" for problem, _ in plan.shown)
    assert {view: sum(counts.values()) for view, counts in plan.left_out.items()} == dict.fromkeys(
        ("masked", "elsewhere"), masked
    )
    unseen = {row.problem for row in rows if row.view == View("none")}
    shared = {problem.question for problem, _ in plan.shown}
    assert len(unseen) == len(plan.shown) > len(shared)  # one prompt for a question without image, for all that ask it
    assert sum(row.kind == "root" for row in prefixes.values()) == len(plan.shown)
    assert {"answers/1", *(f"{rule}/1" for rule in PUBLISHED_RULES)} <= scorers


def test_odds_are_those_of_the_model(model: Path, done: Path) -> None:
    theirs = their_model(model)
    with Run.open(done) as run:
        (card,) = run.engine_cards()
        found = {score.subject_id: score.value for score in run.scores("prefix", odds_id(card))}
        prefixes = list(run.prefixes())
        assert set(found) == {row.id for row in prefixes}
        for row in prefixes[:2] + prefixes[-2:]:
            with torch.no_grad():
                p = theirs(**their_inputs(model, run.prefix(row.id))).logits[0, -1].softmax(-1)
            told = found[row.id]
            read = [told["yes"], told["no"]]
            likely = set(p.topk(50).indices.tolist())
            wanted = [float(p[token]) if token in likely else 0.0 for token in (YES, NO)]
            assert read == pytest.approx(wanted, rel=1e-3, abs=1e-7)
        assert any(value["yes"] + value["no"] > 0 for value in found.values())


def test_asked_again_nothing_is_read_or_drawn(model: Path, done: Path) -> None:
    again = sample_views(config(model, done), [OWN])
    assert (again.read_now, again.sampled_now) == (0, 0)
    more = sample_views(config(model, done, n=3), [OWN])
    assert (more.read_now, more.sampled_now) == (0, more.n_prompts)
    with Run.open(done) as run:
        own = [row for row in yes_no_rows(run) if row.view == OWN]
    assert all(len(row.said) == 3 for row in own)


def test_another_seed_does_not_mix_into_a_run(model: Path, done: Path) -> None:
    with pytest.raises(UserError, match="was sampled with seed 0, not 1"):
        sample_views(config(model, done, seed=1), LOOK_VIEWS)


def test_what_was_interrupted_goes_on(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    views, left = [View("masked"), View("none")], [5]
    real = TransformersEngine.next_token_probs

    def dying(self: TransformersEngine, prefix: object, most: int) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return real(self, prefix, most)  # type: ignore[arg-type]

    monkeypatch.setattr("cotlab.sampling.views.BLOCK", 2)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TransformersEngine, "next_token_probs", dying)
        sample_views(config(model, tmp_path / "run"), views)
    first = sample_views(config(model, tmp_path / "run"), views)
    assert first.read_now == first.n_prompts - 4  # two whole blocks were stored
    whole = sample_views(config(model, tmp_path / "whole"), views)
    rows = []
    for path in (first.path, whole.path):
        with Run.open(path) as run:
            rows.append(yes_no_rows(run))
    assert rows[0] == rows[1]


def test_a_budget_ends_in_order(model: Path, tmp_path: Path) -> None:
    study = sample_views(config(model, tmp_path / "run", budget="30"), [OWN, View("none")])
    assert study.stopped and 0 < study.sampled_now < 2 * study.n_prompts
    with Run.open(study.path) as run:
        asked = [bool(row.said) for row in yes_no_rows(run)]
    assert asked[0] and not asked[-1]


@pytest.mark.parametrize(
    ("views", "problems", "told"),
    [
        ([OWN, OWN], "scenes", "name each once"),
        ([], "scenes", "views are none"),
        ([OWN], "tiny", "no question of tiny shows an image"),
    ],
)
def test_a_fault_is_told_before_a_model_is_loaded(views: list[View], problems: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        sample_views(config(tmp_path / "no-model", tmp_path / "run", problems=problems), views)


def test_views_by_name() -> None:
    assert vision_asking.wanted(None, LOOK_VIEWS) == list(LOOK_VIEWS)
    assert vision_asking.wanted("own, none+description", ()) == [OWN, View("none", "description")]


def test_questions_that_no_image_makes_one_are_drawn_again_together(model: Path, tmp_path: Path) -> None:
    study = sample_views(config(model, tmp_path / "run"), [View("none")])
    with Run.open(study.path) as run:
        rows = yes_no_rows(run)
        words = {problem.id: problem.question for problem in run.problems().values()}
    unseen = [row for row in rows if row.view == View("none")]
    images: dict[str, set[str]] = {}
    for row in unseen:
        images.setdefault(words[row.problem], set()).add(row.image)
    assert any(len(its) > 1 for its in images.values())
    for row in unseen:
        same = [one for one in unseen if words[one.problem] == words[row.problem]]
        assert (row.shared is not None) == (len(images[words[row.problem]]) > 1)
        assert {one.drawn for one in same} == {row.drawn} and {one.said for one in same} == {row.said}
    assert all(row.shared is None and row.drawn == row.image for row in rows if row.view == OWN)

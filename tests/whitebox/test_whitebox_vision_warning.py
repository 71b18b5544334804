"""Whether what is not there is seen coming: planted states are told, exchanged labels and mere wording are not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from vision_asking import small

from cotlab.errors import DataError, UserError
from cotlab.interventions import HookPoint, SAECard, SparseAutoencoder
from cotlab.tiny.scenes import ask_exists, counts, draw_scenes
from cotlab.whitebox.vision import (
    Habit,
    WarningExamples,
    WarningPlan,
    judge_warning,
    warning_study,
    word_examples,
    yes_examples,
)
from cotlab.whitebox.vision.warning import exchanged_labels

FIRST, SECOND = HookPoint("resid_post", 0), HookPoint("resid_post", 1)
WIDTH = 12


@pytest.fixture(scope="module")
def asking(tmp_path_factory):
    return small(tmp_path_factory.mktemp("warning"))


def made(seed=0, n_cases=40, strength=3.0, by_word=False):
    """Cases of three places, of which one is wrong; behind layer 1 one direction says so, layer 0 holds the case."""
    rng = np.random.default_rng(seed)
    cases = np.repeat([f"case {i}" for i in range(n_cases)], 3)
    wrong = np.tile([True, False, False], n_cases)
    rows = rng.standard_normal((2, len(cases), WIDTH))
    rows[0] += np.repeat(3 * rng.standard_normal((n_cases, WIDTH)), 3, axis=0)
    rows[1, :, 5] += strength * wrong
    words = np.where(wrong, "moon", "star") if by_word else np.full(len(cases), "moon")
    points = {FIRST: rows[0].astype(np.float32), SECOND: rows[1].astype(np.float32)}
    odds = rng.standard_normal(len(cases))
    return WarningExamples("words", points, wrong, tuple(cases), tuple(words), odds, n_cases)


@pytest.mark.parametrize("method", ["mass-mean", "logistic"])
def test_a_planted_direction_is_told_and_its_layer_chosen(method):
    found = judge_warning(made(), method=method, n_shuffles=20)
    assert found.auc.value > 0.9 and found.auc.p == pytest.approx(1 / 21) and found.auc.low > found.auc.null_q95
    assert set(found.chosen) == {"resid_post:1"} and dict(found.by_layer)["resid_post:0"].value < 0.65
    assert found.wording.value == 0.5 and abs(found.sure.value - 0.5) < 0.2
    assert found.beyond_wording.low > 0 and found.beyond_sure.low > 0
    assert found.null.n == 20 and found.null.found <= 5


def test_words_that_tell_everything_leave_the_probe_nothing():
    found = judge_warning(made(by_word=True), n_shuffles=0)
    assert found.wording.value == 1.0 and found.beyond_wording.value <= 0 and found.auc.p is None and found.null is None


def test_a_probe_that_reads_the_cause_alone_is_not_beyond_it():
    """The first shape is there where what is said is wrong, and in half of the places where it is right."""
    rng = np.random.default_rng(0)
    cases, wrong = np.repeat([f"case {i}" for i in range(40)], 3), np.tile([True, False, False], 40)
    there = np.tile([True, True, False], 40)

    def told(sign):
        x = rng.standard_normal((len(cases), WIDTH))
        x[:, 5] += 6 * sign
        odds, words = rng.standard_normal(len(cases)), ("moon",) * len(cases)
        given = WarningExamples("yes", {FIRST: x.astype(np.float32)}, wrong, tuple(cases), words, odds, 120, there)
        return judge_warning(given, n_shuffles=0)

    cause, error = told(there), told(wrong)
    assert cause.set_off.value == error.set_off.value == 0.75
    assert cause.auc.low > 0.6 and cause.beyond_wording.low > 0 and cause.beyond_set_off.value <= 0.05
    assert cause.beyond_set_off.low < 0 < error.beyond_set_off.low
    assert "set_off" in cause.to_json() and judge_warning(made(), n_shuffles=0).set_off is None


def test_nothing_is_found_where_nothing_is():
    found = [judge_warning(made(seed, 20, strength=0.0), n_shuffles=19) for seed in range(8)]
    assert sum(one.auc.p <= 0.05 for one in found) <= 2


def test_sparse_probes_take_the_feature_that_tells():
    directions = torch.eye(WIDTH)
    sae = SparseAutoencoder(SAECard(SECOND, "relu"), directions, torch.zeros(WIDTH), directions, torch.zeros(WIDTH))
    found = judge_warning(made(), sae, k=1, n_shuffles=0)
    assert set(found.sparse_features) == {(5,)} and found.sparse.value > 0.85
    with pytest.raises(DataError, match="is at resid_post:7, states were read at resid_post:0, resid_post:1"):
        judge_warning(made(), replace_point(sae, HookPoint("resid_post", 7)), n_shuffles=0)


def replace_point(sae, point):
    return SparseAutoencoder(replace(sae.card, point=point), sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec)


def test_exchanging_keeps_the_labels_of_cases_together():
    cases, labels = np.repeat(list("abcdefgh"), 3), np.repeat([1, 1, 0, 0, 0, 0, 0, 1], 3).astype(bool)
    seen = set()
    for seed in range(40):
        mixed = exchanged_labels(labels, cases, np.random.default_rng(seed))
        by_case = [mixed[cases == name].sum() for name in "abcdefgh"]
        assert Counter(by_case) == {3: 3, 0: 5}  # whole cases, as they are of one size
        seen.add(mixed.tobytes())
    assert len(seen) > 15


def test_exchanged_labels_tell_no_cases_apart_whatever_their_sizes():
    """States say how often a case is wrong, and nothing of its places: exchanged labels must not be told by that."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(3, 14, 60)
    often = rng.random(60) < 0.4
    cases = np.repeat([f"case {i}" for i in range(60)], sizes)
    wrong = rng.random(sizes.sum()) < np.repeat(np.where(often, 0.7, 0.05), sizes)
    rows = rng.standard_normal((sizes.sum(), WIDTH))
    rows[:, 3] += 3 * np.repeat(often, sizes)
    told = WarningExamples(
        "words", {FIRST: rows.astype(np.float32)}, wrong, tuple(cases), ("",) * len(cases), np.zeros(len(cases)), 60
    )
    found = judge_warning(told, n_shuffles=25)
    assert found.auc.value > 0.7 and found.auc.p < 0.05
    assert abs(found.auc.null_mean - 0.5) < 0.04 and found.null.found <= 6


def test_the_null_counts_every_interval_above_one_half(monkeypatch):
    """All exchanged labels give an interval above one half: all are counted, whatever their ranks among each other."""
    from cotlab.stats import Estimate
    from cotlab.whitebox.vision import warning

    given = iter(np.linspace(0.6, 0.9, 500))

    def above(*what, **how):
        value = float(next(given))
        return Estimate(value, value - 0.05, value + 0.05, 40)

    monkeypatch.setattr(warning, "cluster_auc", above)
    assert judge_warning(made(strength=0.0), n_shuffles=20).null.found == 20


def test_too_few_have_a_reason():
    few = judge_warning(made(n_cases=6))
    assert few.reason == "6 are wrong, in 6 cases: a probe takes 10 of either, in 5 cases" and few.auc is None
    assert few.to_json()["reason"] == few.reason


def test_states_are_those_before_what_is_said(asking):
    """A model that says Yes to all: each question's last token, with what is right by the scene."""

    class Yes(type(asking)):
        """Says Yes to all."""

        def odds(self, logits):
            return 1.0

    always = Yes(asking.inside, asking.template, asking.closing, asking.yes, asking.no)
    scenes = [s for s in draw_scenes(60, 0) if counts(s)["circle"] and not counts(s)["moon"]][:3]
    asked = [(scene.id, scene, ask_exists(scene, shape)) for scene in scenes for shape in ("circle", "moon")]
    found = yes_examples(always, asked, [SECOND])
    assert found.wrong.tolist() == [False, True] * 3 and found.cases == tuple(one[0] for one in asked)
    for number, (_, scene, question) in enumerate(asked):
        prefix = asking.exists(scene, question.shape)
        read = asking.inside.read(prefix, [SECOND])[SECOND][-1]
        assert found.rows[SECOND][number] == pytest.approx(read.numpy(), abs=1e-5)
    assert all(word.startswith("Is there a ") for word in found.words) and found.n_asked == 6
    assert found.set_off is None
    known = yes_examples(always, asked, [SECOND], habits=[Habit("circle", "moon")])
    assert known.set_off.tolist() == [False, True] * 3
    other = [
        (scene.id, scene, ask_exists(scene, "moon")) for scene in draw_scenes(60, 0) if not counts(scene)["circle"]
    ]
    assert not yes_examples(always, other[:2], [SECOND], habits=[Habit("circle", "moon")]).set_off.any()


def test_words_are_read_at_the_token_before_them(asking, monkeypatch):
    from cotlab.whitebox.vision import warning_examples

    scene = next(s for s in draw_scenes(60, 0) if counts(s)["circle"] and not counts(s)["moon"])
    said = "Here is a circle and two moons."

    def describing(asking, problems, max_tokens):
        encode = asking.inside.tokenizer.encode
        return [asking.template.prompt(one, asking.inside.tokenizer).extend(tuple(encode(said))) for one in problems]

    monkeypatch.setattr(warning_examples, "described", describing)
    found = word_examples(asking, [("case", scene)], [SECOND])
    assert found.words == ("circle", "moon") and found.wrong.tolist() == [False, True]
    known = word_examples(asking, [("case", scene)], [SECOND], habits=[Habit("circle", "moon")])
    assert known.set_off.tolist() == [False, True]
    (whole,) = describing(asking, [warning_examples.problem_of(scene, warning_examples.DESCRIBE)], 0)
    read = asking.inside.read(whole, [SECOND])[SECOND]
    for number, word in enumerate(("circle", "moon")):
        place = whole.n_prompt + said.index(word)  # one byte is one token here
        assert found.rows[SECOND][number] == pytest.approx(read[place - 1].numpy(), abs=1e-5)
        logits = asking.inside.logits(whole).log_softmax(-1)[place - 1, whole.token_ids[place]]
        assert found.odds[number] == pytest.approx(float(logits), abs=1e-4)


def test_descriptions_are_what_the_model_says_greedily(asking):
    from cotlab.tiny.scenes import problem_of
    from cotlab.whitebox.vision.warning_examples import DESCRIBE, described

    problems = [problem_of(scene, DESCRIBE) for scene in draw_scenes(2, 0)]
    found = described(asking, problems, 4)
    for problem, whole in zip(problems, found, strict=True):
        prompt = asking.template.prompt(problem, asking.inside.tokenizer)
        assert whole.n_prompt == len(prompt.token_ids) and 1 <= len(whole.token_ids) - whole.n_prompt <= 4
        logits = asking.inside.logits(whole)[whole.n_prompt - 1 : -1]
        assert logits.argmax(-1).tolist() == list(whole.token_ids[whole.n_prompt :])


def test_the_whole_study_says_what_it_cannot_judge(asking):
    plan = WarningPlan((Habit("star", "moon"),), n_cases=2, n_scenes=8, kinds=("words",), max_tokens=3, n_shuffles=2)
    (one,) = warning_study(asking, plan).warned
    assert one.n_asked == 2 * 5 + 8 and "a probe takes 10 of either" in one.reason
    for given, told in (
        ({"kinds": ("dreams",)}, "unknown kind 'dreams'"),
        ({"n_cases": 3, "n_scenes": 0}, "at least 10"),
        ({"n_scenes": 2}, "expected 5 or more, or 0"),
        ({"k": 0}, "k is 0"),
    ):
        with pytest.raises(UserError, match=told):
            WarningPlan((Habit("star", "moon"),), **given)

"""Measures of POPE, looking and blame: published arithmetic, planted truth, coverage and null."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from cotlab.chains.answer_odds import AnswerOdds
from cotlab.measures import YesNoRow, blame_report, look_report, pope_report
from cotlab.problems import BLAME_VIEWS, LOOK_VIEWS, OWN, View
from cotlab.stats import null_rate, shuffled_within


def row(i, gold, said, split="random", image=None, view=OWN, p=None):
    odds = None if p is None else AnswerOdds(0.9 * p, 0.9 * (1 - p))
    return YesNoRow(f"q{i}", image or f"image{i // 6}", view, gold, gold, tuple(said), odds, {split: 1})


def published(pairs):
    """evaluate.py of RUCAIBox/POPE from its description: (answer, label) pairs, both yes or no."""
    hits = sum(a == "yes" and b == "yes" for a, b in pairs)
    precision = hits / sum(a == "yes" for a, _ in pairs)
    recall = hits / sum(b == "yes" for _, b in pairs)
    return {
        "accuracy": sum(a == b for a, b in pairs) / len(pairs),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall),
        "yes": sum(a == "yes" for a, _ in pairs) / len(pairs),
    }


@pytest.mark.parametrize("seed", range(5))
def test_numbers_are_the_published_ones(seed):
    rng = random.Random(seed)
    pairs = [(rng.choice(["yes", "yes", "no"]), "yes" if i % 2 == 0 else "no") for i in range(60)]
    rows = [row(i, label, [answer]) for i, (answer, label) in enumerate(pairs)]
    (found,) = pope_report(rows).splits
    for name, value in published(pairs).items():
        one = getattr(found, name)
        assert one.value == pytest.approx(value), name
        assert one.low < value < one.high
    assert sum(found.counts.values()) == 60


def test_what_was_not_read_is_neither_yes_nor_right():
    said = ["yes", None, "no", None] * 10
    rows = [row(i, "yes" if i % 4 < 2 else "no", [one]) for i, one in enumerate(said)]
    (found,) = pope_report(rows).splits
    assert found.counts == {"TP": 10, "FP": 0, "TN": 10, "FN": 0, "unread": 20}
    assert (found.accuracy.value, found.recall.value, found.precision.value) == (0.5, 0.5, 1.0)
    assert found.f1.value == pytest.approx(2 / 3) and found.unread.value == 0.5 and found.yes.value == 0.25


def test_a_question_of_several_splits_counts_in_each():
    rows = [YesNoRow(f"q{i}", f"i{i}", OWN, "no", "no", ("yes",), None, {"random": 1, "popular": 2}) for i in range(8)]
    found = {one.split: one.counts["FP"] for one in pope_report(rows).splits}
    assert found == {"random": 8, "popular": 16}


def simulated(rng, n_images, rates, spread=0.25):
    """Six questions of each split on each image, images unlike each other; rates of false yes by split."""
    rows = []
    for image in range(n_images):
        shift = rng.uniform(-spread, spread)
        for split, rate in rates.items():
            for k in range(6):
                gold = "no" if k % 2 else "yes"
                says = rng.random() < (np.clip(rate + shift, 0, 1) if gold == "no" else 0.8 + shift / 2)
                rows.append(row(f"{image}{split}{k}", gold, ["yes" if says else "no"], split, f"image{image}"))
    return rows


def test_hard_negatives_are_found_and_none_where_there_are_none():
    rng = np.random.default_rng(1)
    found = pope_report(simulated(rng, 40, {"random": 0.2, "popular": 0.25, "adversarial": 0.6})).harder
    assert found["adversarial"].low > 0.1 and found["adversarial"].q < 0.01

    def finds(rng):
        report = pope_report(simulated(rng, 25, {"random": 0.4, "adversarial": 0.4}), seed=1)
        return any(one.q is not None and one.q < 0.05 for one in report.harder.values())

    assert null_rate(finds, analysis="equal negatives", shuffles=40).keeps


def test_the_interval_of_f1_covers():
    """F1 of simulated answers lies in 95% intervals about as often as it should."""
    truth = 2 * 0.8 / (2 * 0.8 + 0.3 + 0.2)
    hits, rng = 0, np.random.default_rng(4)
    for _ in range(200):
        (found,) = pope_report(simulated(rng, 40, {"random": 0.3})).splits
        hits += found.f1.low <= truth <= found.f1.high
    assert hits >= 181  # of 200; fewer has p < 0.01 at 95%


def test_one_answer_on_many_questions_is_no_evidence():
    """Without an image 30 questions of the same words are two prompts: what these say is said twice, not 30 times."""
    rows = []
    for i in range(30):
        for view, says in ((OWN, "yes"), (View("none"), "no")):
            one = row(i, "yes", [says], view=view, p=0.9 if says == "yes" else 0.2, image=f"i{i}")
            rows.append(one if view == OWN else replace(one, shared=f"prompt {i % 2}"))
    found = look_report(rows)
    for measure in ("P(yes)", "says yes"):
        one = found.contrast(measure, "yes", "own", "none")
        assert one.difference.value is None and "2 clusters" in one.difference.reason and one.shown == 0
    unseen = next(one for one in found.seen if one.view == View("none"))
    assert (unseen.p_yes.value, unseen.says_yes.value, unseen.n) == (None, None, 30)
    assert blame_report(rows).false_no.errors["none"].value is None
    own = next(one for one in found.seen if one.view == OWN)
    assert own.says_yes.value == 1.0 and own.says_yes.low > 0.8


def test_f1_counts_answers():
    (found,) = pope_report([row(i, "yes", ["yes"], "random", f"i{i}") for i in range(9)]).splits
    assert found.f1.n == 9 and found.f1.value == 1.0


P = {  # P(yes) under each view, by right answer, of a model that looks and of one that does not
    True: {
        "yes": {"own": 0.9, "masked": 0.1, "elsewhere": 0.88, "background": 0.9, "wrong": 0.1, "none": 0.4},
        "no": {"own": 0.1, "background": 0.1, "wrong": 0.9, "none": 0.4},
    },
    False: {
        "yes": dict.fromkeys(("own", "masked", "elsewhere", "background", "wrong", "none"), 0.7),
        "no": dict.fromkeys(("own", "background", "wrong", "none"), 0.7),
    },
}


def viewed(looks, n=60, seed=0):
    rng, rows = np.random.default_rng(seed), []
    for i in range(n):
        gold = "yes" if i % 2 else "no"
        for view in LOOK_VIEWS:
            p = P[looks][gold].get(view.name)
            if p is not None:
                p = float(np.clip(p + rng.normal(0, 0.05), 0, 1))
                rows.append(row(i, gold, ["yes" if rng.random() < p else "no"], view=view, p=p, image=f"i{i // 3}"))
    return rows


def test_a_model_that_looks_is_told_from_one_that_does_not():
    seeing, blind = look_report(viewed(True)), look_report(viewed(False))
    assert seeing.looks and not blind.looks
    own = seeing.contrast("P(yes)", "yes", "elsewhere", "masked").difference
    assert own.value == pytest.approx(-0.78, abs=0.05) and own.low < -0.7 and own.null_q95 < 0.5
    assert seeing.contrast("P(yes)", "no", "own", "wrong").shown == 1
    assert seeing.contrast("says yes", "yes", "own", "masked").shown == -1
    assert all(one.shown == 0 for one in blind.contrasts)
    assert seeing.contrast("P(yes)", "yes", "own", "own+true") is None  # was not asked
    by_view = {(one.view.name, one.gold): one for one in seeing.seen}
    assert by_view["masked", "yes"].n == 30 and ("masked", "no") not in by_view


def test_views_that_do_nothing_are_seldom_found():
    rows = viewed(True, n=24)

    def finds(rng):
        order = shuffled_within([one.problem for one in rows], rng)
        mixed = [
            YesNoRow(a.problem, a.image, a.view, a.gold, None, rows[j].said, rows[j].odds)
            for a, j in zip(rows, order, strict=True)
        ]
        return any(one.shown for one in look_report(mixed).contrasts)

    assert null_rate(finds, analysis="views exchanged", shuffles=20).keeps


def blamed(right, able=True):
    """Eighty questions with the right answer no; forty of them are answered yes with the image.

    Args:
        right: Which of the forty are answered right, by number and view.
        able: Whether the other forty are answered right with the description alone.
    """
    return [
        row(i, "no", [], view=view, p=0.1 if good else 0.9, image=f"i{i // 2}")
        for i in range(80)
        for view in BLAME_VIEWS
        for good in [right(i, view.name) if i < 40 else able or view.name != "none+description"]
    ]


def test_a_model_that_cannot_use_descriptions_is_not_blamed():
    found = blame_report(blamed(lambda i, view: False, able=False)).false_yes
    assert found.language.value == found.unable.value == 1 and found.side == "not shown"


@pytest.mark.parametrize(
    ("right", "side", "shares"),
    [
        (lambda i, view: False, "language", (1, 0, 0)),
        (lambda i, view: view == "none+description", "image", (0, 1, 0)),
        (lambda i, view: "description" in view, "image", (0, 0, 1)),
        (lambda i, view: view == "none+description" and i < 20, "not shown", (0.5, 0.5, 0)),
    ],
)
def test_blame_goes_where_the_error_enters(right, side, shares):
    found = blame_report(blamed(right)).false_yes
    assert found.side == side
    got = (found.language.value, found.image_over_words.value, found.words_over_image.value)
    assert got == pytest.approx(shares)
    assert found.errors["own"].value == 0.5 and found.repaired.value == shares[2]
    if shares[2] == 1:
        assert found.beyond_dots.low > 0.5 and found.repaired_by_dots.value == 0
        by_name = {one.name: one.shown for one in found.contrasts}
        assert by_name["own+description − own+filler"] == -1 and by_name["own+filler − own"] == 0


def test_no_errors_no_blame():
    found = blame_report(blamed(lambda i, view: True)).false_yes
    assert found.side == "not shown" and found.language.value is None and found.language.reason
    assert found.errors["own"].value == 0 and found.errors["own"].high > 0


def test_odds_add_up_spellings():
    class Words:
        def decode(self, ids):
            return {0: "Yes", 1: " yes", 2: "No", 3: "yesterday", 4: " NO\n"}[ids[0]]

    odds = AnswerOdds.of([(0, 0.3), (1, 0.2), (2, 0.1), (3, 0.3), (4, 0.05)], Words())
    assert (odds.yes, odds.no) == pytest.approx((0.5, 0.15)) and odds.p_yes == pytest.approx(0.5 / 0.65)
    assert AnswerOdds(0, 0).p_yes is None and View.parse("own") == OWN

"""The published arithmetic, against a second one that works row by row as their code does on `solutions.json`."""

import math
import random
from collections import Counter

import numpy as np
import pytest

from cotlab.measures import ChainRollouts, ExactText, published_forced, published_importance
from cotlab.measures.thought_anchors import kl_answers
from cotlab.trees import Draws, Passage, RolloutPath

ANSWERS = ("7", "3", "5", None)


def rows(rng, n, said):
    answers = rng.choices(ANSWERS, weights=[4, 2, 1, 1], k=n)
    return [{"said": rng.choice(said), "answer": a or "", "is_correct": a == "7"} for a in answers]


def chain_of(solutions):
    """The same rollouts as our data: chain of three steps, resampled at each."""
    steps = ("Step A. ", "Step B. ", "Step C. ")
    found = []
    for k, chunk in enumerate(solutions):
        for i, row in enumerate(chunk):
            outcome = "correct" if row["is_correct"] else "wrong" if row["answer"] else "unparsable"
            passage = Passage(f"{k}/{i}", i, k, k, False, outcome, row["answer"] or None)
            found.append(RolloutPath(passage, (row["said"],)))
    return ChainRollouts(steps, ("p0", "p1", "p2", "p3"), tuple(found))


def their_kl(first, second):
    counts = [Counter(row["answer"] for row in part if row["answer"]) for part in (first, second)]
    kinds = set(counts[0]) | set(counts[1])
    if not counts[0] or not counts[1]:
        return 0.0
    totals = [sum(c.values()) + 1e-9 * len(kinds) for c in counts]
    terms = []
    for kind in kinds:
        p, q = ((c[kind] + 1e-9) / total for c, total in zip(counts, totals, strict=True))
        terms.append(p * math.log(p / q))
    return max(0.0, sum(terms))


def their_accuracy(part):
    answered = [row for row in part if row["answer"]]
    return sum(row["is_correct"] for row in answered) / len(answered) if answered else 0.0


@pytest.mark.parametrize("seed", range(8))
def test_every_column_is_theirs(seed):
    rng = random.Random(seed)
    solutions = [rows(rng, 40, [f"Step {name}.", "Something else.", f"Other {name}{rng.random()}."]) for name in "ABC"]
    found = published_importance(chain_of(solutions), ExactText())
    for k, row in enumerate(found):
        now = [r for r in solutions[k] if r["answer"]]
        other = [r for r in now if r["said"] != f"Step {'ABC'[k]}."]
        same = [r for r in now if r["said"] == f"Step {'ABC'[k]}."]
        assert row.chunk_idx == k
        assert row.accuracy.value == pytest.approx(their_accuracy(solutions[k]))
        assert row.different_trajectories_fraction.value == pytest.approx(len(other) / len(now))
        assert row.overdeterminedness.value == pytest.approx(1 - len({r["said"] for r in now}) / len(now))
        if k == 2:
            assert row.resampling_importance_kl.value == row.counterfactual_importance_accuracy.value == 0
            assert "no next chunk" in row.resampling_importance_kl.reason
            continue
        after = solutions[k + 1]
        assert row.resampling_importance_accuracy.value == pytest.approx(their_accuracy(after) - their_accuracy(now))
        assert row.resampling_importance_kl.value == pytest.approx(their_kl(solutions[k], after), abs=1e-7)
        assert row.counterfactual_importance_accuracy.value == pytest.approx(
            their_accuracy(other) - their_accuracy(after)
        )
        assert row.counterfactual_importance_kl.value == pytest.approx(their_kl(other, after + same), abs=1e-7)
        assert row.resampling_importance_kl.null_mean > 0


def test_no_dissimilar_rollouts_are_published_as_0():
    rng = random.Random(0)
    solutions = [rows(rng, 20, [f"Step {name}."]) for name in "ABC"]
    row = published_importance(chain_of(solutions), ExactText())[0]
    assert row.counterfactual_importance_kl.value == 0 == row.different_trajectories_fraction.value
    assert row.counterfactual_importance_kl.reason == "no dissimilar rollouts: published as 0"


def test_their_null_is_large():
    """The same distribution twice, 100 rollouts each, one rare answer: what reference tables call 0.05 to 1.3 nats."""
    rng = np.random.default_rng(0)
    draws = [
        Draws.of(
            name, ["correct"] * 100, keys=rng.choice(["7", "3", "5", "9"], 100, p=[0.9, 0.06, 0.03, 0.01]).tolist()
        )
        for name in "ab"
    ]
    ((accuracy, divergence),) = published_forced(draws)
    assert accuracy.value == 0 and 0.03 < divergence.null_mean < 1.5


def test_over_right_and_wrong_it_is_their_other_option():
    """Llama 8B, problem 6998, chunk 3: accuracies 0.81 and 0.76 of 100, published 0.007222987927843226."""
    sizes = (81, 76, 50)
    solutions = [
        [{"said": "Step.", "answer": "7" if i < right else "", "is_correct": i < right} for i in range(100)]
        for right in sizes
    ]
    row = published_importance(chain_of(solutions), ExactText(), over="right")[0]
    assert row.resampling_importance_kl.value == pytest.approx(0.007222987927843226)
    assert kl_answers(np.array([3, 0]), np.array([0, 0])) == 0

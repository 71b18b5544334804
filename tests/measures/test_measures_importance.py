from itertools import product

import numpy as np
import pytest
from markov_runs import SCORER, MarkovStudy

from cotlab.engines.markov_specs import null, staircase
from cotlab.measures import Draws, chain_draws, importance, step_effect, value_curve
from cotlab.measures.effects import effect_bounds

JUMPS = (0.0, 0.3, 0.0, -0.2, 0.0, 0.4)


@pytest.fixture(scope="module")
def staircase_draws(tmp_path_factory):
    study = MarkovStudy(tmp_path_factory.mktemp("importance") / "run", staircase(JUMPS))
    with study.run:
        chain = study.main_path(*study.problem("Q"))
        study.resample(chain, 500)
        exact = [study.engine.value(chain.prefix(k), study.settings) for k in range(len(chain.steps))]
        yield chain_draws(study.run, chain, scorer_id=SCORER), exact


def test_importance_converges_to_the_planted_jumps(staircase_draws):
    draws, exact = staircase_draws
    assert np.diff(exact)[: len(JUMPS)] == pytest.approx(JUMPS)
    found = importance(draws[:-1])
    assert [e.value for e in found[: len(JUMPS)]] == pytest.approx(JUMPS, abs=0.09)
    assert [e.q < 0.05 for e in found[: len(JUMPS)]] == [jump != 0 for jump in JUMPS]
    for estimate, jump in zip(found, JUMPS, strict=False):
        assert estimate.low <= jump <= estimate.high
        assert (abs(estimate.value) > estimate.null_q95) == (jump != 0)
        assert estimate.n1 >= 500 and estimate.n2 >= 500


def test_curve_and_importance_agree(staircase_draws):
    draws, _ = staircase_draws
    values = [v.estimate.value for v in value_curve(draws)]
    assert [e.value for e in importance(draws)] == pytest.approx(np.diff(values))


def test_pooling_does_not_bend_the_null(tmp_path):
    """All steps null, half of the rollouts shared with the next prefix: exact p is uniform or larger."""
    small, steps = 0, 0
    study = MarkovStudy(tmp_path / "run", null(length=4))
    with study.run:
        for number in range(40):
            chain = study.main_path(*study.problem(f"Q{number}"))
            study.resample(chain, 20)
            found = importance(chain_draws(study.run, chain, scorer_id=SCORER)[:5])
            small += sum(e.p <= 0.1 for e in found)
            steps += len(found)
    assert steps == 160
    assert 0.01 < small / steps < 0.17


def test_shared_rollouts_are_told_by_their_ids():
    ids = [f"r{i}" for i in range(60)]
    before = Draws.of("a", ["correct"] * 20 + ["wrong"] * 20, rollout_ids=ids[:40])
    after = Draws.of("b", ["wrong"] * 20 + ["correct"] * 20, rollout_ids=ids[20:])
    apart = Draws.of("b", ["wrong"] * 20 + ["correct"] * 20)
    shared, independent = step_effect(before, after), step_effect(before, apart)
    assert shared.value == independent.value == 0
    assert shared.high - shared.low < independent.high - independent.low
    assert shared.null_q95 < independent.null_q95


def test_missing_prefixes_give_reasons_and_no_test():
    right, none = Draws.of("a", ["correct"] * 12 + ["wrong"] * 8), Draws.of("b", [])
    wrong, few = Draws.of("c", ["wrong"] * 20), Draws.of("d", ["correct"] * 3)
    found = importance([right, none, wrong, few, right])
    assert [e.reason for e in found] == [
        "after the step: no rollouts through this prefix",
        "before the step: no rollouts through this prefix",
        "after the step: 3 rollouts, at least 10 are needed",
        "before the step: 3 rollouts, at least 10 are needed",
    ]
    assert all(e.value is None and e.p is None and e.q is None for e in found)
    assert [(e.n1, e.n2) for e in found] == [(20, 0), (0, 20), (20, 3), (3, 20)]
    spanned = importance([d for d in (right, none, wrong) if len(d)])
    assert spanned[0].value == pytest.approx(-0.6)


def test_fewer_than_two_prefixes_have_no_steps():
    assert importance([]) == () == importance([Draws.of("a", ["correct"] * 20)])


def test_bounds_are_the_extremes_over_all_ends_of_truncated_rollouts():
    """Every way that the four truncated rollouts may have ended, one of which both prefixes have."""
    ids = [f"r{i}" for i in range(10)]
    first, second = ["correct", "truncated", "truncated", "wrong", "correct"], ["truncated", "correct", "truncated"]
    before, after = Draws.of("a", first, rollout_ids=ids[:5]), Draws.of("b", second, rollout_ids=[ids[2], *ids[6:8]])
    found = []
    for ends in product((0, 1), repeat=3):
        end = dict(zip((ids[1], ids[2], ids[7]), ends, strict=True))

        def v(draws, end=end):
            right = [
                end.get(rollout, float(name == "correct"))
                for rollout, name in zip(draws.rollout_ids.tolist(), draws.outcome_names(), strict=True)
            ]
            return np.mean(right)

        found.append(v(after) - v(before))
    assert effect_bounds([before, after]) == ((pytest.approx(min(found)), pytest.approx(max(found))),)
    whole = Draws.of("c", ["correct", "wrong"])
    assert effect_bounds([whole, Draws.of("d", ["wrong"] * 4)]) == ((-0.5, -0.5),)
    assert effect_bounds([whole, Draws.of("d", ["unjudged"])]) == (None,)

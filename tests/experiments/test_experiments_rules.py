"""What counts as found or recovered: the shuffles run what is reported, and the rules can fail."""

from types import SimpleNamespace

import numpy as np
import pytest

from cotlab.measures import accuracy_at_stops, chain_curve, chain_progress
from cotlab.stats import Estimate, proportion_estimate
from cotlab.trees import Draws
from experiments.lab import Lab, read_config
from experiments.lucky import judged, reasoner
from experiments.lucky.judged import Sampled, curve_of, mixed, progress_of, read_sampled
from experiments.lucky.reasoner import StepEffect
from experiments.lucky.toys import recovers
from experiments.lucky.truth import _martingale
from experiments.rules import absent, told_apart
from experiments.toys import covered, toy_chain, toy_study


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    lab = Lab("lucky", read_config("lucky"), "tiny", "countdown", "small", tmp_path_factory.mktemp("lucky"))
    with toy_chain("staircase", toy_study(lab, "staircase", 20, share=1.0)) as found:
        yield found


def constant(value, end, seed, positions=14, n=20):
    rng = np.random.default_rng([3, seed])
    draws = [
        Draws.of(str(k), ["correct" if one < value else "wrong" for one in rng.random(n)], keys=["7"] * n)
        for k in range(positions)
    ]
    return Sampled(tuple(draws), tuple(range(positions + 1)), (end, positions, positions))


def test_the_functions_of_the_lab_are_those_of_the_command_line(toy):
    scorer = toy.study.scorer_id
    sampled = read_sampled(toy.run, toy.chain, scorer_id=scorer)
    assert progress_of(sampled) == chain_progress(toy.run, toy.chain, scorer_id=scorer)
    places, curve = chain_curve(toy.run, toy.chain, scorer_id=scorer)
    mine = curve_of(sampled)
    assert mine.categories == curve.categories
    assert mine.forks == curve.forks
    np.testing.assert_array_equal(mine.draws, curve.draws)
    assert sampled.positions == [place.position for place in places]


def test_a_chain_along_which_no_answers_were_forced_is_left_out(toy):
    answers, stopped = reasoner._forced(toy.run, toy.chain, toy.study.scorer_id)
    assert answers.positions == () and stopped.lacking == "no answers were forced"
    assert accuracy_at_stops([stopped] * 6, (1.0,))[0].reason == "in 6 of 6 chains: no answers were forced"


def test_a_shuffle_keeps_the_end_the_positions_and_the_answers(toy):
    sampled = read_sampled(toy.run, toy.chain, scorer_id=toy.study.scorer_id)
    other = mixed(sampled, np.random.default_rng(0))

    def pairs(one):
        return sorted(
            (name, str(key)) for d in one.draws for name, key in zip(d.outcome_names(), d.keys.tolist(), strict=True)
        )

    assert pairs(other) == pairs(sampled)
    assert other.end == sampled.end
    assert other.positions == sampled.positions
    assert [len(one) for one in other.draws] == [len(one) for one in sampled.draws]
    assert [one.count("correct") for one in other.draws] != [one.count("correct") for one in sampled.draws]


def test_the_null_rate_is_that_of_the_reported_functions(monkeypatch, toy):
    """The shuffle's verdicts are what `progress_of` and `curve_of` say of shuffled rollouts, with the chain's end."""
    sampled = read_sampled(toy.run, toy.chain, scorer_id=toy.study.scorer_id)
    seen = []

    def watched(one):
        seen.append(one.end)
        return judged.progress_of(one)

    monkeypatch.setattr(reasoner, "progress_of", watched)

    class Chain:
        curve = curve_of(sampled)

    Chain.sampled = sampled
    rates = reasoner.shuffled([Chain], 3, 0)
    assert len(rates) == 2
    assert seen == [sampled.end] * 3


def test_the_end_of_a_chain_gives_no_verdict_and_counts_for_insight_and_variation():
    for seed in range(4):
        found = progress_of(constant(0.87, 0.0, seed))
        assert found.verdict == "undecided" and "hardly moves" in found.reason
        assert found.share.value is None and found.change.high < 0.2
        assert found.insight_steps.value == found.positions[-1] == 14
        assert found.variation.p < 0.01 and found.variation.low > found.variation.null_q95


def test_forks_are_recovered_only_where_they_are():
    assert recovers({4}, {4})
    assert recovers({3}, {4})
    assert recovers(set(), set())
    assert not recovers({2, 5}, set())
    assert not recovers({4, 7}, {4})
    assert not recovers({1}, {1, 5})


def test_coverage_needs_power_and_may_not_be_too_low():
    assert covered("a", proportion_estimate(181, 190), least=0.9).ok
    assert covered("a", proportion_estimate(190, 190), least=0.9).ok
    assert not covered("a", proportion_estimate(36, 38), least=0.9).ok
    assert not covered("a", proportion_estimate(170, 190), least=0.9).ok
    few = covered("a", proportion_estimate(0, 0), least=0.9)
    assert few.ok is None and few.rule == "0 numbers are too few to tell coverage from 0.9: draw more rollouts"
    assert covered("a", proportion_estimate(34, 34), least=0.9).ok is None, "even 34 of 34 cannot exclude 0.9"
    assert covered("a", proportion_estimate(30, 35), least=0.9).ok is False


def test_found_takes_both_p_and_interval():
    assert told_apart(Estimate(1.0, 0.5, 1.5, n=7, p=0.01))
    assert not told_apart(Estimate(1.0, 0.5, 1.5, n=7, p=0.01), -1)
    assert not told_apart(Estimate(1.0, -0.1, 1.5, n=7, p=0.01))
    assert not told_apart(Estimate(1.0, 0.5, 1.5, n=7, p=0.2))
    assert told_apart(Estimate(-1.0, -1.5, -0.5, n=7, p=0.01), -1)


def test_none_is_shown_by_the_interval_alone():
    assert absent(Estimate(0.0, -0.19, 0.19, n=9, level=0.9))
    assert absent(Estimate(0.1, 0.01, 0.19, n=9, p=0.001)), "small and significant is still small"
    assert not absent(Estimate(0.0, -0.3, 0.1, n=9, p=1.0)), "p = 1 shows nothing"
    assert absent(Estimate(0.5, 0.41, 0.6, n=9), 0.15, centre=0.5) and not absent(
        Estimate(0.5, 0.3, 0.6, n=9), 0.15, 0.5
    )
    assert not absent(Estimate.missing("too few"))
    with pytest.raises(ValueError, match="90% or more"):
        absent(Estimate(0.0, -0.1, 0.1, n=9, level=0.8))


def martingales(seed, chains=40, steps=8, n=20):
    """Chains of V that go from .8 up or down until they are decided, with rollouts at each step."""
    rng, found = np.random.default_rng(seed), []
    for number in range(chains):
        v = [0.8]
        for _ in range(steps):
            v.append(v[-1] if v[-1] in (0.0, 1.0) else float(np.clip(v[-1] + rng.choice([-0.2, 0.2]), 0, 1).round(1)))
        end = float(rng.random() < v[-1])
        right = rng.binomial(n, v)
        draws = tuple(Draws.of(str(k), ["correct"] * r + ["wrong"] * (n - r)) for k, r in enumerate(right.tolist()))
        sampled = Sampled(draws, tuple(range(steps + 2)), (end, steps + 1, steps + 1))
        progress = progress_of(sampled)
        chain = SimpleNamespace(problem_id=f"q{number}")
        found.append(SimpleNamespace(chain=chain, sampled=sampled, draws=draws, progress=progress))
    return found


def test_theory_holds_of_chains_that_were_not_chosen():
    found = martingales(0)
    assert [row.ok for row in _martingale(found)] == [True, True]
    ends, _ = _martingale([one for one in found if one.sampled.end[0] == 0.0])
    assert not ends.ok and ends.value < -0.5, "chosen for ending wrong"
    biased = [0.25 + one.progress.variation.value for one in found]
    bent = [
        SimpleNamespace(**{**vars(one), "progress": SimpleNamespace(variation=Estimate(value))})
        for one, value in zip(found, biased, strict=True)
    ]
    assert [row.ok for row in _martingale(bent)] == [True, False]


def test_effects_reach_as_far_as_truncated_rollouts_could_take_them():
    before = Draws.of("a", ["correct"] * 5 + ["truncated"] * 2 + ["wrong"] * 3)
    after = Draws.of("b", ["correct"] * 5 + ["truncated"] * 5)
    found = StepEffect.of(3, before, after)
    assert (found.step, found.value) == (3, 0.0)
    assert (found.least, found.most) == (pytest.approx(-0.2), pytest.approx(0.5))

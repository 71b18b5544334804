"""Accuracy of forced stops over chains."""

from dataclasses import replace

import numpy as np
import pytest

import cotlab as ct
from cotlab.errors import UserError
from cotlab.measures import StoppedChain, accuracy_at_stops, gain_of_thinking, stopped_chain
from cotlab.measures.stops import left_out
from cotlab.sampling import draw_forced


def chain(problem, right, n=10, positions=None):
    return StoppedChain(problem, tuple(positions or range(len(right))), tuple(right), (n,) * len(right))


def test_accuracy_after_a_part_of_the_thoughts():
    found = [chain(str(k), (0, 0, 5, 10, 10)) for k in range(6)]
    assert [one.value for one in accuracy_at_stops(found, (0, 0.5, 0.6, 0.75, 1))] == [0, 0.5, 0.5, 1, 1]
    assert gain_of_thinking(found).value == 1
    assert gain_of_thinking(found, 0.5, 1.0).value == 0.5


def test_positions_that_were_not_sampled_count_by_the_last_one_before():
    one = chain("a", (0, 4, 10), positions=(0, 4, 10))
    assert [one.at(share) for share in (0, 0.39, 0.4, 0.99, 1)] == [0, 0, 0.4, 0.4, 1]


def test_the_interval_covers_over_problems():
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        p = rng.beta(2, 2, 15)
        found = accuracy_at_stops(
            [chain(str(k), (int(rng.binomial(10, p[k])),), positions=(0,)) for k in range(15)], (1,)
        )
        covered += found[0].low <= 0.5 <= found[0].high
    assert covered / 200 > 0.89


def test_chains_that_say_nothing_are_left_out():
    cut = StoppedChain("a", (0,), (0,), (10,), lacking="60% of 10 rollouts ran into the token limit")
    assert left_out([chain("b", (0, 10))]) is None
    assert "1 of 4 chains are left out" in left_out([cut, *[chain(p, (0, 10)) for p in "bcd"]])
    assert "up to 25%" in left_out([cut, *[chain(p, (0, 10)) for p in "bcd"]])
    found = accuracy_at_stops([cut] * 6, (1,))[0]
    assert found.value is None
    assert found.reason == "in 6 of 6 chains: 60% of 10 rollouts ran into the token limit"
    assert gain_of_thinking([cut] * 6).value is None
    known = [chain(str(k), (0, 0)) for k in range(5)]
    assert accuracy_at_stops([cut, *known], (1,))[0].n == 5
    assert accuracy_at_stops(known, (1,))[0].high > 0.3


def test_truncated_answers_widen_what_is_told():
    """4 of 10 answers after the first half ran into the limit: right or wrong is not known."""
    found = [replace(chain(str(k), (2, 3, 10)), cut=(0, 4, 0)) for k in range(8)]
    plain = [chain(str(k), (2, 3, 10)) for k in range(8)]
    best = [chain(str(k), (2, 7, 10)) for k in range(8)]
    (bare,), (least,), (most,) = (accuracy_at_stops(one, (0.5,)) for one in (found, plain, best))
    assert (bare.value, bare.low, bare.high) == (least.value, least.low, most.high)
    assert accuracy_at_stops(found, (1.0,)) == accuracy_at_stops(plain, (1.0,))
    gain, least, most = (gain_of_thinking(one, 0.0, 0.5) for one in (found, plain, best))
    assert (gain.value, gain.low, gain.high) == (pytest.approx(0.1), least.low, most.high)
    later, most, least = (gain_of_thinking(one, 0.5, 1.0) for one in (found, plain, best))
    assert (later.value, later.low, later.high) == (pytest.approx(0.7), least.low, most.high)
    assert gain_of_thinking(found, 0.0, 1.0) == gain_of_thinking(plain, 0.0, 1.0)


@pytest.mark.parametrize("n_problems", [8, 30])
@pytest.mark.parametrize("rate", [0.02, 0.1])
def test_that_thinking_gains_nothing_is_never_told_for_sure(n_problems, rate):
    """Few problems gain anything: of most studies all those that were drawn gain nothing."""
    covered, narrow, rng = 0, 0, np.random.default_rng(n_problems)
    for _ in range(150):
        right = rng.random(n_problems) < rate
        gain = gain_of_thinking([chain(str(k), (0, 10 * gained)) for k, gained in enumerate(right)])
        covered += gain.low <= rate <= gain.high
        narrow += gain.low == gain.high
    assert covered / 150 > 0.92 and not narrow


def test_forced_answers_of_a_run(tmp_path):
    study = ct.resample(
        problems="countdown",
        n_problems=1,
        n=4,
        positions="0",
        base=("random",),
        engine="transformers",
        run=tmp_path / "run",
    )
    with ct.revisit(study.path) as again:
        base = again.run.chains()[0]
        draw_forced(
            again.sampler({"kind": "forced"}), base, 4, again.settings, think_close=again.run.identity.think_close
        )
        again.score()
        found = stopped_chain(again.run, base, scorer_id=study.scorer_id)
    assert found.lacking is None
    assert found.positions[0] == 0
    assert found.positions[-1] >= len(base.steps) - 2
    assert set(found.n) == {4} and len(found.cut) == len(found.n)
    assert found.at(1.0) >= found.at(0.0)
    with ct.Run.open(study.path) as run, pytest.raises(UserError, match="no answers were forced"):
        stopped_chain(run, base, scorer_id=study.scorer_id, text="another stub")

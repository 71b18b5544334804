import numpy as np
import pytest

from cotlab.stats import jeffreys, wilson
from cotlab.stats.simulation import difference_coverage, simulate_chains, value_coverage

VALUES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
SIZES = (10, 20, 30, 50, 100, 200)


@pytest.mark.parametrize("rule", [wilson, jeffreys])
def test_intervals_of_values_cover(rule):
    found = value_coverage(VALUES, SIZES, studies=1500, rule=rule)
    assert found.covered.shape == (13, 6)
    assert 0.93 < found.mean < 0.97
    assert (found.width[:, 0] > found.width[:, -1]).all()


def test_intervals_of_differences_cover():
    found = difference_coverage(VALUES[::2], (10, 30, 100), studies=1000)
    assert 0.93 < found.mean < 0.97
    assert found.covered.min() > 0.85


@pytest.mark.slow
@pytest.mark.parametrize("pass_rate", [0.0, 0.2, 0.6])
def test_intervals_of_differences_cover_with_shared_rollouts(pass_rate):
    found = difference_coverage(VALUES, SIZES, studies=2000, pass_rate=pass_rate)
    assert 0.93 < np.nanmean(found.covered) < 0.97


def test_simulated_chains_have_the_values_asked_for():
    values = [0.3, 0.5, 0.4]
    counts = simulate_chains(values, 200, studies=300, rng=np.random.default_rng(1), pass_rate=0.5)
    assert counts.k1.shape == (300, 2)
    rates = counts.k1.sum(0) / counts.n1.sum(0), counts.k2.sum(0) / counts.n2.sum(0)
    assert rates[0] == pytest.approx([0.3, 0.5], abs=0.01)
    assert rates[1] == pytest.approx([0.5, 0.4], abs=0.01)
    assert (counts.n1[:, 0] == 200).all()
    assert counts.n_shared[:, 0].mean() == pytest.approx(100, abs=1)
    assert (counts.n_shared <= np.minimum(counts.n1, counts.n2)).all()


def test_values_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="pass_rate 0.5: take a smaller"):
        simulate_chains([0.2, 0.9], 10, studies=1, rng=np.random.default_rng(0), pass_rate=0.5)

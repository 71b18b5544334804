"""Weighted sums of proportions: the interval against simulated truth."""

import numpy as np
import pytest

from cotlab.stats import newcombe, weighted_sum


def test_a_difference_is_newcombes():
    low, high = newcombe(3, 20, 11, 30)
    found = weighted_sum([-1, 1], [3, 11], [20, 30])
    assert found.value == pytest.approx(11 / 30 - 3 / 20)
    assert (found.low, found.high) == (pytest.approx(float(low)), pytest.approx(float(high)))


def test_the_interval_covers_the_truth():
    """1,000 sums of nine proportions from 0.02 to 0.98, 20 trials each: 95% within three standard errors, or above."""
    rng, p = np.random.default_rng(0), np.linspace(0.02, 0.98, 9)
    weights = np.full(9, 1 / 9)
    truth = float(weights @ p)
    found = [weighted_sum(list(weights), rng.binomial(20, p).tolist(), [20] * 9) for _ in range(1000)]
    covered = np.mean([one.low <= truth <= one.high for one in found])
    assert 0.95 - 3 * np.sqrt(0.95 * 0.05 / 1000) <= covered <= 0.99


def test_what_cannot_be_summed():
    assert "no trials" in str(weighted_sum([1], [0], [0]).reason)
    with pytest.raises(ValueError, match="2 weights, 1 counts"):
        weighted_sum([1, 1], [0], [1])

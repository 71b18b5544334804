"""Paired differences by simulation: coverage, exact null, and too little data."""

import numpy as np
import pytest

from cotlab.stats import paired_difference


def study(rng, effect, problems=30, n=6):
    """Pairs that share a problem's rate and part of their luck."""
    clusters = np.repeat(np.arange(problems), n)
    rate = rng.beta(2, 5, size=problems)[clusters]
    sizes = rng.integers(5, 15, size=(2, len(clusters)))
    luck = rng.uniform(-0.05, 0.05, size=len(clusters))
    first = rng.binomial(sizes[0], np.clip(rate + luck, 0, 1))
    second = rng.binomial(sizes[1], np.clip(rate + luck + effect, 0, 1))
    return (first, sizes[0]), (second, sizes[1]), clusters.tolist()


def test_intervals_cover_and_the_null_holds():
    rng = np.random.default_rng(5)
    covered, false, found = 0, 0, 0
    for _ in range(150):
        null = paired_difference(*study(rng, 0.0), n_boot=400, n_exchange=199)
        covered += null.low <= 0 <= null.high
        false += null.p <= 0.05
        found += paired_difference(*study(rng, 0.08), n_boot=400, n_exchange=199).low > 0
    assert covered >= 135
    assert false <= 15
    assert found >= 120


def test_the_value_is_the_difference_of_ratios():
    first, second = ([1, 2, 3, 0, 1, 1], [2, 4, 6, 2, 2, 2]), ([2, 4, 6, 2, 2, 2], [2, 4, 6, 2, 2, 2])
    found = paired_difference(first, second, list("abcdef"))
    assert found.value == pytest.approx(1 - 8 / 18)
    assert found.n == 6 and found.p < 0.1 and found.null_q95 > 0


def test_too_few_clusters_are_a_reason():
    ones = np.ones(8)
    assert "2 clusters" in paired_difference((ones, ones), (ones, ones), [0, 1] * 4).reason
    assert paired_difference((ones, ones * 0), (ones, ones), list(range(8))).reason == "no sizes"
    with pytest.raises(ValueError, match="expected"):
        paired_difference((ones, ones), (ones, ones), list(range(7)))

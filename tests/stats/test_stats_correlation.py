"""Rank correlation: scipy as the oracle, the null where nothing is shared but the stratum, coverage of the interval."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from cotlab.stats import rank_correlation


def test_the_value_is_scipys_with_ties_too():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 5, 60).astype(float)
    y = x + rng.integers(0, 5, 60)
    found = rank_correlation(x, y, list(range(60)), n_boot=200, n_null=200)
    assert found.value == pytest.approx(spearmanr(x, y).statistic)
    assert found.low < found.value < found.high and found.p < 0.02 and found.n == 60


def test_what_strata_decide_is_nothing_found():
    """Both scores fall with the stratum and share nothing else."""
    rng, ps = np.random.default_rng(1), []
    for seed in range(40):
        strata = np.repeat(np.arange(10), 8)
        x, y = (-strata + rng.standard_normal(80) for _ in range(2))
        free = rank_correlation(x, y, list(range(80)), n_boot=20, n_null=100, seed=seed)
        held = rank_correlation(x, y, list(range(80)), strata=strata.tolist(), n_boot=20, n_null=100, seed=seed)
        assert free.p < 0.05 and held.null_mean > 0.5
        ps.append(held.p)
    assert np.mean(np.array(ps) <= 0.05) <= 0.2 and np.mean(ps) > 0.3


def test_intervals_of_clusters_cover():
    """Pairs of a cluster share what they are: drawing pairs alone would be too narrow."""
    rng, covered = np.random.default_rng(2), {"clusters": 0, "pairs": 0}
    for seed in range(60):
        label = np.repeat(np.arange(12), 10)
        x, y = (rng.standard_normal(12)[label] + 0.3 * rng.standard_normal(120) for _ in range(2))
        for name, clusters in (("clusters", label.tolist()), ("pairs", list(range(120)))):
            found = rank_correlation(x, y, clusters, n_boot=200, n_null=0, seed=seed)
            covered[name] += found.low <= 0 <= found.high
    assert covered["clusters"] >= 50 > covered["pairs"]


def test_too_little_is_a_reason():
    assert "3 clusters" in rank_correlation([1, 2, 3], [1, 2, 3], [1, 2, 3]).reason
    assert "the same everywhere" in rank_correlation([1.0] * 9, list(range(9)), list(range(9))).reason
    with pytest.raises(ValueError, match="finite"):
        rank_correlation([1.0, float("nan")], [1, 2], [1, 2])
    with pytest.raises(ValueError, match="cluster labels"):
        rank_correlation([1.0, 2.0], [1.0], [1, 2])

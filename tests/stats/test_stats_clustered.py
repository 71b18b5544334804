"""Clustered proportions: against Wilson where clusters are single, coverage where they are not; Holm by hand."""

import numpy as np
import pytest

from cotlab.stats import cluster_proportion, holm, wilson


def test_single_members_nearly_give_wilson():
    right = [True] * 30 + [False] * 170
    found = cluster_proportion(right, range(200))
    low, high = wilson(30, 200)
    assert found.value == 0.15
    assert found.low == pytest.approx(float(low), abs=0.003) and found.high == pytest.approx(float(high), abs=0.003)


@pytest.mark.parametrize("right", [0, 1])
def test_all_alike_is_as_sure_as_its_clusters_are_many(right):
    found = cluster_proportion([right] * 100, [i // 5 for i in range(100)])
    low, high = wilson(20 * right, 20)
    assert (found.low, found.high) == (pytest.approx(float(low)), pytest.approx(float(high)))


@pytest.mark.parametrize(("share", "spread"), [(0.03, 0.0), (0.1, 0.1), (0.5, 0.3), (0.95, 0.05)])
def test_it_covers(share, spread):
    """1000 studies of 40 clusters of 1 to 5 members whose rates differ (beta with that standard deviation)."""
    rng = np.random.default_rng(int(1000 * share))
    hits = 0
    for _ in range(1000):
        size = rng.integers(1, 6, 40)
        rate = np.full(40, share)
        if spread:
            scale = share * (1 - share) / spread**2 - 1
            rate = rng.beta(share * scale, (1 - share) * scale, 40)
        label = np.repeat(np.arange(40), size)
        found = cluster_proportion(rng.random(size.sum()) < rate[label], label.tolist())
        hits += found.low <= share <= found.high
    assert hits >= 930  # nominal 950; 930 is three standard errors below


def test_shares_are_surer_than_as_many_coins():
    """1000 studies of 20 clusters, each a share of 20 trials at a rate of its own: nominal 950."""
    rng, hits, widths = np.random.default_rng(5), 0, []
    for _ in range(1000):
        found = cluster_proportion(rng.binomial(20, rng.beta(8, 2, 20)) / 20, range(20))
        hits += found.low <= 0.8 <= found.high
        widths.append(found.high - found.low)
    low, high = wilson(16, 20)
    assert hits >= 930 and np.mean(widths) < 0.5 * float(high - low)


def test_clusters_that_agree_wholly_count_once_each():
    found = cluster_proportion([0.4] * 20, [i // 2 for i in range(20)])
    low, high = wilson(4, 10)
    assert (found.low, found.high) == (pytest.approx(float(low)), pytest.approx(float(high)))


def test_few_clusters_are_a_reason():
    assert "3 clusters" in cluster_proportion([1, 0, 1], [0, 1, 2]).reason
    with pytest.raises(ValueError, match="shape"):
        cluster_proportion([1, 0], [0])
    with pytest.raises(ValueError, match="in \\[0, 1\\]"):
        cluster_proportion([1.5] * 6, range(6))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == []

"""Exact intervals of a rate, and the loop of shuffled analyses."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from cotlab.stats import block_shuffles, clopper_pearson, null_rate, shuffled_within


@pytest.mark.parametrize(("k", "n"), [(0, 100), (1, 100), (5, 100), (50, 100), (100, 100), (3, 7)])
def test_clopper_pearson_is_that_of_scipy(k, n):
    theirs = binomtest(k, n).proportion_ci(method="exact")
    low, high = clopper_pearson(k, n)
    assert (float(low), float(high)) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_clopper_pearson_never_covers_less():
    n = 25
    low, high = clopper_pearson(np.arange(n + 1), n)
    for p in np.linspace(0.01, 0.99, 50):
        covered = binom.pmf(np.arange(n + 1), n, p)[(low <= p) & (p <= high)].sum()
        assert covered >= 0.95


def test_a_level_alpha_test_finds_something_in_alpha_of_the_shuffles():
    x, y = np.arange(60) % 2, np.random.default_rng(1).normal(size=60)

    def finds(rng):
        from scipy.stats import ttest_ind

        labels = x[rng.permutation(60)]
        return ttest_ind(y[labels == 0], y[labels == 1]).pvalue < 0.05

    rate = null_rate(finds, analysis="labels shuffled", shuffles=400)
    assert rate.low <= 0.05 <= rate.high
    assert rate.keeps
    assert rate == null_rate(finds, analysis="labels shuffled", shuffles=400)
    assert rate != null_rate(finds, analysis="labels shuffled", shuffles=400, seed=1)


def test_an_analysis_that_always_finds_something_is_told():
    rate = null_rate(lambda rng: True, analysis="a broken one")
    assert (rate.value, rate.found, rate.n, rate.high) == (1.0, 100, 100, 1.0)
    assert not rate.keeps
    with pytest.raises(ValueError, match="0 shuffles"):
        null_rate(lambda rng: True, analysis="none", shuffles=0)


def test_shuffled_within_keeps_groups():
    groups = ["a", "b", "a", "b", "b", "c"]
    rng = np.random.default_rng(0)
    orders = {tuple(shuffled_within(groups, rng)) for _ in range(200)}
    assert len(orders) == 2 * 6
    for order in orders:
        assert [groups[i] for i in order] == groups


def test_labels_along_blocks_are_moved_around_their_end():
    rng = np.random.default_rng(0)
    blocks = np.array([0, 1, 0, 1, 1, 0, 0, 1, 1])  # members of two rollouts, one behind the other in each
    labels = np.array([1, 0, 1, 0, 1, 0, 0, 1, 1], dtype=bool)
    turns = {b: {tuple(np.roll(labels[blocks == b], k)) for k in range((blocks == b).sum())} for b in (0, 1)}
    found = list(block_shuffles(labels, ["p"] * 9, blocks, 300, rng))
    assert len(found) == 300
    for b in (0, 1):
        assert {tuple(one[blocks == b]) for one in found} == turns[b]


def test_labels_of_whole_blocks_are_exchanged_within_clusters():
    rng = np.random.default_rng(0)
    blocks, clusters = np.repeat(np.arange(6), 3), np.repeat(["a", "b"], 9)
    labels = np.repeat([True, False, False, True, True, True], 3)
    found = np.array(list(block_shuffles(labels, clusters, blocks, 200, rng))).reshape(200, 6, 3)
    assert (found == found[:, :, :1]).all(), "all along a block"
    assert (found[:, :3, 0].sum(axis=1) == 1).all() and len(np.unique(found[:, :3, 0], axis=0)) == 3
    assert found[:, 3:].all()
    assert list(block_shuffles(labels[9:], clusters[9:], blocks[9:], 5, rng)) == [], "nothing can be exchanged"

"""AUC against scikit-learn; its interval covers when clusters are what varies, and its null is uniform."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cotlab.stats import auc, cluster_auc, cluster_auc_difference
from cotlab.stats.ranking import _null


@pytest.mark.parametrize("levels", [3, 1000])
def test_auc_is_scikit_learns_with_ties_and_weights(levels):
    rng = np.random.default_rng(levels)
    for _ in range(20):
        labels = rng.random(80) < 0.3
        labels[:2] = True, False
        scores = np.round(rng.normal(size=80) + labels, 6) if levels > 3 else rng.integers(0, levels, 80)
        weights = rng.integers(0, 4, 80).astype(float)
        weights[:2] = 1
        assert auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
        expected = roc_auc_score(labels, scores, sample_weight=weights)
        assert auc(scores, labels, weights) == pytest.approx(expected, abs=1e-12)


def study(rng, n_clusters=30, size=12, shift=1.0):
    """Members of a cluster share a score offset, so that members are no independent draws."""
    clusters = np.repeat(np.arange(n_clusters), size)
    labels = rng.random(len(clusters)) < 0.5
    scores = rng.normal(size=len(clusters)) + shift * labels + rng.normal(size=n_clusters)[clusters]
    return scores, labels, clusters.tolist()


def test_the_interval_covers():
    rng = np.random.default_rng(0)
    # Positive minus negative: shift plus two draws of noise and offset, variance 2 * (1 + 1).
    from scipy.stats import norm

    truth = norm.cdf(1 / 2)
    inside = 0
    for seed in range(300):
        estimate = cluster_auc(*study(rng), n_boot=400, n_null=0, seed=seed)
        inside += estimate.low <= truth <= estimate.high
    assert 0.91 <= inside / 300 <= 0.985


def test_p_is_uniform_where_there_is_nothing():
    rng = np.random.default_rng(1)
    p = [cluster_auc(*study(rng, 8, 6, 0.0), n_boot=50, n_null=99, seed=s).p for s in range(300)]
    assert 0.02 <= np.mean(np.array(p) <= 0.05) <= 0.085


def unlike(rng, against=0.0):
    """Problems of two kinds: many positives and high scores, or few and low; within each, labels lower the score."""
    clusters = np.repeat(np.arange(24), 10)
    easy = clusters % 2 == 0
    labels = rng.random(len(clusters)) < np.where(easy, 0.8, 0.2)
    return 1.5 * easy + rng.normal(size=len(clusters)) - against * labels, labels, clusters.tolist()


def test_p_is_uniform_where_only_problems_differ():
    rng = np.random.default_rng(4)
    p = np.sort([cluster_auc(*unlike(rng), n_boot=0, n_null=99, seed=s).p for s in range(400)])
    ranks = np.arange(1, len(p) + 1) / len(p)
    assert np.abs(p - ranks).max() < 1.63 / np.sqrt(len(p)) + 0.01  # Kolmogorov and Smirnov at 1%, p in steps of 0.01


def test_p_counts_from_where_shuffling_within_problems_lies():
    """What speaks against the label within every problem, and for it between them: AUC near one half, and no chance."""
    found = cluster_auc(*unlike(np.random.default_rng(5), against=0.9), n_boot=0, n_null=400)
    assert abs(found.value - 0.5) < 0.1 and found.null_mean > 0.57 and found.p < 0.01


def test_the_null_is_auc_of_shuffled_labels_and_the_interval_can_be_left_out():
    rng = np.random.default_rng(2)
    scores, labels, clusters = study(rng, 10, 6, 0.5)
    scores = np.round(scores, 1)  # ties
    null = _null(scores, labels, np.array(clusters), 50, np.random.default_rng(3))
    expected, again = [], np.random.default_rng(3)
    for _ in range(50):
        order = again.permutation(len(scores))  # members of a cluster take the labels of its members in this order
        shuffled = np.empty_like(labels)
        for cluster in set(clusters):
            own = [i for i in order if clusters[i] == cluster]
            shuffled[np.flatnonzero(np.array(clusters) == cluster)] = labels[own]
        expected.append(roc_auc_score(shuffled, scores))
    assert null == pytest.approx(expected, abs=1e-12)
    bare = cluster_auc(scores, labels, clusters, n_boot=0, n_null=50)
    assert (bare.low, bare.high) == (None, None) and bare.p is not None


def test_what_cannot_be_told_has_a_reason():
    few = cluster_auc([1.0, 2.0], [0, 1], ["a", "b"])
    assert few.value is None and "2 clusters" in few.reason
    one_class = cluster_auc(np.arange(10.0), np.ones(10), list(range(10)))
    assert one_class.reason == "only one class"
    apart = cluster_auc(np.arange(10.0), np.arange(10) % 2, list(range(10)))
    assert apart.value is not None and apart.p is None
    with pytest.raises(ValueError, match="must be finite"):
        auc([np.nan, 1.0], [0, 1])
    with pytest.raises(ValueError, match="one class is empty"):
        auc([0.0, 1.0], [1, 1])


def test_p_counts_from_where_the_null_of_whole_blocks_lies():
    """A score that tells rollouts apart, and speaks against the label within them: AUC one half, and no chance.

    Found by review: counted from one half p was 1.
    """
    rng = np.random.default_rng(0)
    block = np.repeat(np.arange(80), 12)
    high = block % 2 == 0
    labels = np.concatenate([rng.permutation(12) < (9 if one % 2 == 0 else 3) for one in range(80)])
    score = 2.0 * high + rng.normal(size=len(block)) - 1.2 * labels
    found = cluster_auc(score, labels, (block // 4).tolist(), blocks=block, n_boot=50, n_null=200)
    assert abs(found.value - 0.5) < 0.06 and found.null_mean > 0.6 and found.p < 0.01


@pytest.mark.parametrize("n", [6, 60])
def test_where_all_draws_agree_the_interval_has_a_width_that_goes_with_the_clusters(n):
    labels, clusters = np.tile([False, True], n), np.repeat(np.arange(n), 2).tolist()
    share = 1 - (1 - 1.959964**2 / (n + 1.959964**2)) ** 2
    told, alike = cluster_auc(labels.astype(float), labels, clusters), cluster_auc(np.ones(2 * n), labels, clusters)
    assert (told.low, told.high) == (pytest.approx(1 - share, abs=1e-6), 1.0)
    assert (alike.value, alike.low, alike.high) == (0.5, pytest.approx(0.5 - share / 2), pytest.approx(0.5 + share / 2))


def test_a_single_cluster_of_positives_says_little_however_many_negatives_there_are():
    labels, clusters = np.arange(100) < 4, np.concatenate([np.zeros(4, int), np.arange(1, 97)]).tolist()
    found = cluster_auc(labels.astype(float), labels, clusters)
    assert found.value == 1 and found.low < 0.25


def test_p_of_a_difference_goes_with_its_interval():
    """Below 5% exactly where the 95% interval leaves 0 out, and rarely so where both scores are as good."""
    rng, found = np.random.default_rng(3), []
    for study in range(60):
        labels, clusters = rng.random(60) < 0.5, np.repeat(np.arange(20), 3).tolist()
        better = labels + rng.normal(0, 1.2, 60) if study % 2 else rng.normal(0, 1, 60)
        one = cluster_auc_difference(rng.normal(0, 1, 60), better, labels, clusters, n_boot=400, seed=study)
        out = one.low > 0 or one.high < 0
        assert out == (one.p < 0.05) or abs(one.p - 0.05) < 0.02
        found.append(one.p < 0.05)
    assert sum(found[1::2]) > 12 and sum(found[::2]) <= 5
    same = cluster_auc_difference(better, better, labels, clusters)
    assert (same.value, same.p) == (0, 1)


def test_two_scores_that_tell_all_apart_are_not_shown_to_be_equal_by_few_clusters():
    labels, clusters = np.tile([False, True], 10), np.repeat(np.arange(10), 2).tolist()
    found = cluster_auc_difference(labels.astype(float), 2 * labels - 0.5, labels, clusters)
    assert found.value == 0 and found.p == 1 and found.low == -found.high < -0.2

"""Cohen's kappa against scikit-learn, and its interval against simulated problems."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from cotlab.stats import cluster_kappa


def test_value_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    left = rng.choice(list("abc"), 300)
    right = np.where(rng.random(300) < 0.6, left, rng.choice(list("abcd"), 300))
    found = cluster_kappa(left, right, np.arange(300) // 30)
    assert found.value == pytest.approx(cohen_kappa_score(left, right))
    assert found.low < found.value < found.high and found.n == 300


def test_too_little_is_told():
    assert cluster_kappa("ab", "ab", [0, 1]).reason == "2 clusters, at least 5 are needed"
    assert "only one label" in cluster_kappa("aaaaa", "aaaaa", range(5)).reason
    with pytest.raises(ValueError, match="expected as many"):
        cluster_kappa("ab", "a", [0, 1])


def test_the_interval_covers():
    """Clusters whose agreement differs; the true value is that of very many clusters."""
    rng = np.random.default_rng(1)

    def study(clusters):
        left = rng.integers(3, size=(clusters, 40))
        agree = rng.random((clusters, 40)) < rng.beta(6, 3, size=(clusters, 1))
        right = np.where(agree, left, rng.integers(3, size=(clusters, 40)))
        return left.ravel(), right.ravel(), np.repeat(np.arange(clusters), 40)

    left, right, _ = study(20_000)
    true = cohen_kappa_score(left, right)
    found = [cluster_kappa(*study(10), n_boot=300) for _ in range(200)]
    assert 0.9 <= np.mean([one.low <= true <= one.high for one in found]) <= 0.99

import numpy as np
import pytest

from cotlab.stats import cluster_mean, wilson


@pytest.mark.parametrize("n_clusters", [6, 20])
def test_covers_the_mean_over_problems(n_clusters):
    rng, covered = np.random.default_rng(3), 0
    labels = np.repeat(np.arange(n_clusters), 20).tolist()
    for study in range(300):
        values = np.repeat(rng.normal(1.0, 1.0, n_clusters), 20) + rng.normal(0, 1, 20 * n_clusters)
        found = cluster_mean(values, labels, n_boot=1000, seed=study)
        covered += found.low <= 1.0 <= found.high
    assert 0.91 < covered / 300 < 0.98


def test_members_of_one_problem_count_once():
    values = [0.0, 1.0, 2.0, 3.0, 4.0]
    once = cluster_mean(values, list("abcde"))
    often = cluster_mean(np.repeat(values, 50), list(np.repeat(list("abcde"), 50)))
    assert often.value == once.value == 2.0
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    assert often.n == 250


def test_thousands_of_right_and_wrong_rollouts_are_a_binomial():
    values = np.arange(40_000) < 10_000
    found = cluster_mean(values, range(40_000), n_boot=4000)
    half = 1.96 * np.sqrt(0.25 * 0.75 / 40_000)
    assert (found.low, found.high) == pytest.approx((0.25 - half, 0.25 + half), abs=half / 10)


def test_equal_seeds_give_equal_intervals():
    values, labels = np.arange(12.0) ** 1.7, list("aabbccddeeff")
    assert cluster_mean(values, labels, seed=5) == cluster_mean(values, labels, seed=5)
    assert cluster_mean(values, labels, seed=5) != cluster_mean(values, labels, seed=6)


def test_few_clusters_give_a_reason():
    found = cluster_mean([1.0, 2.0, 3.0], ["a", "b", "b"])
    assert (found.value, found.reason) == (None, "2 clusters, at least 5 are needed")


def test_unfit_values_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2,\), expected \(3,\)"):
        cluster_mean([1.0, 2.0], ["a", "b", "c"])
    with pytest.raises(ValueError, match="finite"):
        cluster_mean([1.0, float("nan")], ["a", "b"])


def test_clusters_that_agree_are_not_sure():
    """Of shares it is Wilson's interval, of paired differences Tango's; what is seen at both ends moves neither."""
    names, top = list(range(12)), float(wilson(0, 12)[1])
    for values, within, wanted in (
        (0.0, (0, 1), (0, top)),
        (1.0, (0, 1), (1 - top, 1)),
        (0.0, (-1, 1), (-top, top)),
        (0.5, (0, 1), (0.5 - top / 2, 0.5 + top / 2)),
    ):
        found = cluster_mean([values] * 12, names, within=within)
        assert (found.value, found.low, found.high) == pytest.approx((values, *wanted))
        assert "score interval" in found.method
    mixed = [0.0, 1.0] * 6
    assert cluster_mean(mixed, names, within=(0, 1)) == cluster_mean(mixed, names)
    assert cluster_mean(mixed, np.repeat(np.arange(6), 2).tolist(), within=(0, 1)).low < 0.5
    with pytest.raises(ValueError, match="within 0 and 1"):
        cluster_mean([2.0] * 12, names, within=(0, 1))


@pytest.mark.parametrize("n_clusters", [8, 20])
@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2])
def test_covers_rare_shares(n_clusters, rate):
    rng, covered = np.random.default_rng(5), 0
    for study in range(400):
        values = (rng.random(n_clusters) < rate).astype(float)
        found = cluster_mean(values, range(n_clusters), n_boot=1000, within=(0, 1), seed=study)
        covered += found.low <= rate <= found.high
    assert covered / 400 > 0.92

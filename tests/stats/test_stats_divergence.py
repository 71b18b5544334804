import numpy as np
import pytest
from scipy.stats import entropy

from cotlab.stats import divergence_estimate, kl_divergence, total_variation


def test_divergences_of_known_distributions():
    p, q = [0.5, 0.3, 0.2], [0.2, 0.2, 0.6]
    assert kl_divergence(p, q) == pytest.approx(entropy(p, q))
    assert total_variation(p, q) == pytest.approx(0.4)
    assert kl_divergence([1, 0], [1, 0]) == total_variation([1, 0], [1, 0]) == 0
    assert kl_divergence([0.5, 0.5], [1, 0]) == np.inf
    assert kl_divergence([[1, 0], p[:2]], [0.5, 0.5]).shape == (2,)


@pytest.mark.parametrize("metric", ["kl", "tv"])
def test_converges_to_the_divergence(metric):
    rng, p, q = np.random.default_rng(0), np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
    found = divergence_estimate(rng.multinomial(50_000, p), rng.multinomial(50_000, q), metric=metric)
    exact = float(entropy(p, q)) if metric == "kl" else 0.4
    assert found.value == pytest.approx(exact, abs=0.02)
    assert found.low <= exact <= found.high and found.high - found.low < 0.05
    assert found.p == pytest.approx(1 / 2001) and found.null_q95 < 0.02
    assert (found.n1, found.n2) == (50_000, 50_000)


@pytest.mark.parametrize("metric", ["kl", "tv"])
def test_shared_members_count_in_both(metric):
    """As drawn: the first sample passes on to the second with chance 0.6 and differs by the others only."""
    rng, q, own = np.random.default_rng(1), np.array([0.2, 0.8]), np.array([0.9, 0.1])
    found = divergence_estimate(
        rng.multinomial(8_000, own), rng.multinomial(20_000, q), rng.multinomial(12_000, q), metric=metric
    )
    p = 0.6 * q + 0.4 * own
    exact = float(entropy(p, q)) if metric == "kl" else float(np.abs(p - q).sum() / 2)
    assert (found.n1, found.n2) == (20_000, 32_000)
    assert found.low <= exact <= found.high and found.high - found.low < 0.1


@pytest.mark.parametrize("metric", ["kl", "tv"])
def test_p_is_uniform_and_the_interval_holds_zero_where_nothing_differs(metric):
    rng, small, holds, studies = np.random.default_rng(2), 0, 0, 200
    for seed in range(studies):
        a, b, s = (rng.multinomial(n, [0.5, 0.3, 0.1, 0.1]) for n in (30, 30, 20))
        found = divergence_estimate(a, b, s, metric=metric, seed=seed)
        small += found.p < 0.05
        holds += found.low <= 0 <= found.high
    assert small / studies < 0.09 and holds / studies > 0.91


def test_a_single_answer_is_no_difference():
    found = divergence_estimate([20], [30])
    assert (found.value, found.low, found.p, found.null_q95) == (0, 0, 1, 0)


@pytest.mark.parametrize("metric", ["kl", "tv"])
def test_an_answer_that_nobody_gave_yet_is_not_ruled_out(metric):
    """95% of studies of 20 rollouts see one answer only where the other has probability 0.0025."""
    before, after = [0.9975, 0.0025], [1.0, 0.0]
    truth = float(total_variation(before, after)) if metric == "tv" else float(kl_divergence(before, [0.999, 0.001]))
    small, large = (divergence_estimate([n], [n], metric=metric) for n in (20, 200))
    assert small.high > truth and 0 < large.high < small.high


def test_too_few_give_a_reason_and_wrong_counts_are_refused():
    few = divergence_estimate([3, 4], [30, 2], min_n=10)
    assert few.value is None and "7 rollouts in the first sample" in few.reason
    with pytest.raises(ValueError, match="lengths"):
        divergence_estimate([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="negative"):
        divergence_estimate([1, -2], [1, 2])


def test_equal_seeds_give_equal_estimates():
    assert divergence_estimate([5, 9], [9, 5], seed=3) == divergence_estimate([5, 9], [9, 5], seed=3)

import numpy as np
import pytest
from scipy.stats import beta, binomtest

from cotlab.stats import jeffreys, proportion_estimate, wilson

CASES = [(0, 10), (1, 10), (5, 10), (10, 10), (37, 100), (999, 1000)]


@pytest.mark.parametrize(("k", "n"), CASES)
def test_wilson_is_scipys(k, n):
    expected = binomtest(k, n).proportion_ci(0.9, method="wilson")
    assert np.allclose(wilson(k, n, 0.9), [expected.low, expected.high], atol=1e-12)


@pytest.mark.parametrize(("k", "n"), CASES)
def test_jeffreys_is_the_beta_posterior(k, n):
    low, high = jeffreys(k, n)
    assert low == (0 if k == 0 else pytest.approx(beta.ppf(0.025, k + 0.5, n - k + 0.5)))
    assert high == (1 if k == n else pytest.approx(beta.ppf(0.975, k + 0.5, n - k + 0.5)))


def test_arrays_broadcast():
    low, high = wilson([[1], [2]], [10, 20, 30])
    assert low.shape == high.shape == (2, 3)
    assert low[1, 2] == wilson(2, 30)[0]


def test_no_trials_say_nothing():
    assert np.array_equal(wilson(0, 0), [0, 1])


@pytest.mark.parametrize(
    ("k", "n", "level", "part"),
    [(11, 10, 0.95, "11 successes of 10"), (-1, 10, 0.95, "-1 successes"), (1, 2, 1.0, "level is 1.0")],
)
def test_impossible_counts_are_refused(k, n, level, part):
    with pytest.raises(ValueError, match=part):
        wilson(k, n, level)


def test_estimate_needs_its_minimum():
    assert proportion_estimate(3, 9, min_n=10).reason == "9 rollouts, at least 10 are needed"
    assert proportion_estimate(0, 0).value is None
    estimate = proportion_estimate(3, 10, min_n=10)
    assert (estimate.value, estimate.n, estimate.method, estimate.reason) == (0.3, 10, "wilson", None)
    assert estimate.low < 0.3 < estimate.high

import numpy as np
import pytest

from cotlab.stats import difference_estimate, newcombe
from cotlab.stats.simulation import difference_coverage


@pytest.mark.parametrize(
    ("counts", "expected"),
    [  # Newcombe 1998, table II, method 10
        ((48, 80, 56, 70), (0.0524, 0.3339)),
        ((3, 10, 9, 10), (0.1705, 0.8090)),
        ((2, 7, 6, 7), (0.0582, 0.8062)),
        ((0, 29, 5, 56), (-0.0381, 0.1926)),
    ],
)
def test_published_examples(counts, expected):
    assert np.round(newcombe(*counts), 4) == pytest.approx(expected, abs=1e-4)


def test_exchanging_the_samples_mirrors_the_interval():
    low, high = newcombe(12, 40, 30, 50, n_shared=10)
    assert low < 30 / 50 - 12 / 40 < high
    there, back = newcombe(12, 40, 30, 50), newcombe(30, 50, 12, 40)
    assert np.allclose(there, [-back[1], -back[0]])


def test_shared_members_narrow_the_interval_and_still_cover():
    apart, together = newcombe(50, 100, 50, 100), newcombe(50, 100, 50, 100, n_shared=80)
    assert together[1] - together[0] < 0.6 * (apart[1] - apart[0])
    found = difference_coverage([0.3, 0.5, 0.7], [30, 100], studies=1500, pass_rate=0.5, seed=2)
    assert 0.93 < np.nanmean(found.covered) < 0.97
    possible = np.isfinite(found.covered[:, :, 0])  # where half go on to V 0.7, V cannot have been 0.3 before
    assert possible.tolist() == [[True, True, False], [True, True, True], [False, True, True]]


def test_estimate_carries_everything():
    estimate = difference_estimate(30, 100, 60, 100)
    assert estimate.value == pytest.approx(0.3)
    assert (estimate.n, estimate.n1, estimate.n2) == (100, 100, 100)
    assert 0 < estimate.null_mean < estimate.null_q95 < 0.3
    assert estimate.p < 1e-4 and estimate.q is None
    assert -1 <= estimate.low < 0.3 < estimate.high <= 1


@pytest.mark.parametrize(("counts", "which"), [((1, 9, 5, 50), "first"), ((5, 50, 0, 0), "second")])
def test_small_samples_give_a_reason(counts, which):
    estimate = difference_estimate(*counts, min_n=10)
    assert estimate.value is None and estimate.p is None
    assert f"in the {which} sample, at least 10" in estimate.reason
    assert (estimate.n1, estimate.n2) == (counts[1], counts[3])


def test_more_shared_than_there_are_is_refused():
    with pytest.raises(ValueError, match="11 successes of 10"):
        newcombe(5, 10, 5, 20, n_shared=11)

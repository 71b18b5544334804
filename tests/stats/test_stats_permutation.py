from itertools import combinations
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from cotlab.stats import exchange_null


def enumerated(only1, shared, only2, successes):
    """|difference| under every way of handing `successes` to the members."""
    n1, n2 = only1 + shared, shared + only2
    total = only1 + shared + only2
    for members in combinations(range(total), successes):
        first = sum(m < n1 for m in members)
        second = sum(m >= only1 for m in members)
        yield abs(second * n1 - first * n2) / (n1 * n2)


@given(
    parts=st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 4)).filter(
        lambda p: p[0] + p[1] > 0 and p[1] + p[2] > 0
    ),
    data=st.data(),
)
@settings(max_examples=80, deadline=None)
def test_equals_the_enumeration_of_all_exchanges(parts, data):
    only1, shared, only2 = parts
    k_only1, k_shared, k_only2 = (data.draw(st.integers(0, n)) for n in parts)
    k1, n1, k2, n2 = k_only1 + k_shared, only1 + shared, k_only2 + k_shared, only2 + shared
    null = exchange_null(k1, n1, k2, n2, k_shared=k_shared, n_shared=shared)
    sizes = np.array(list(enumerated(only1, shared, only2, k_only1 + k_shared + k_only2)))
    observed = abs(k2 * n1 - k1 * n2) / (n1 * n2)
    assert null.mean == pytest.approx(sizes.mean(), abs=1e-12)
    assert null.p == pytest.approx((sizes >= observed - 1e-12).mean(), abs=1e-12)
    assert (sizes > null.q95 + 1e-12).mean() <= 0.05 + 1e-12
    assert (sizes > null.q95 - 1e-9).mean() > 0.05 or null.q95 == pytest.approx(0)


@pytest.mark.parametrize("k2", [20, 31, 45])
def test_is_fishers_test_for_equal_samples(k2):
    table = [[20, 80], [k2, 100 - k2]]
    assert exchange_null(20, 100, k2, 100).p == pytest.approx(fisher_exact(table).pvalue, rel=1e-9)


def test_large_samples_reach_the_normal_limit():
    null = exchange_null(10_000, 20_000, 10_000, 20_000, k_shared=4_000, n_shared=8_000)
    sd = sqrt(0.25 * (1 / 20_000 + 1 / 20_000 - 2 * 8_000 / 20_000**2))
    assert null.q95 == pytest.approx(1.96 * sd, rel=0.02)
    assert null.mean == pytest.approx(sqrt(2 / np.pi) * sd, rel=0.02)
    assert null.p == pytest.approx(1, abs=1e-9)


def test_same_rollouts_twice_cannot_differ():
    null = exchange_null(7, 20, 7, 20, k_shared=7, n_shared=20)
    assert (null.mean, null.q95, null.p) == (0, 0, 1)


@pytest.mark.parametrize("counts", [(5, 4, 1, 4), (1, 0, 1, 4), (1, 4, 1, 0)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(ValueError, match="impossible counts"):
        exchange_null(*counts)


def test_impossible_shared_counts_are_refused():
    with pytest.raises(ValueError, match="shared 3 of 3"):
        exchange_null(2, 10, 5, 10, k_shared=3, n_shared=3)

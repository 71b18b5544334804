"""Tails of sums against all ways to draw them."""

from itertools import combinations, product

import numpy as np
import pytest

from cotlab.stats import log_mean_exp, log_mean_exp_chosen, tail_p


def parts(seed, sparse):
    """Five terms with six values each and mean 0; sparse ones are 0 but for one value."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(5, 6))
    if sparse:
        values *= np.arange(6) == 0
    return values - values.mean(axis=1, keepdims=True)


@pytest.mark.parametrize("sparse", [False, True])
def test_tails_are_those_of_all_draws(sparse):
    for seed in range(5):
        terms = parts(seed, sparse)
        sums = np.sort([sum(one) for one in product(*terms)])
        scale, starts = float(sums.std()), np.arange(0, 30, 6)

        def log_generating(t, terms=terms, starts=starts):
            return log_mean_exp(terms.reshape(-1, 1) * t, starts)

        for asked in np.r_[np.quantile(sums, [0.9, 0.99, 0.999]), sums[-1], sums[0]]:
            if abs(asked) < scale:
                continue
            tail = (sums >= asked - 1e-9).mean() if asked > 0 else (sums <= asked + 1e-9).mean()
            found = tail_p(log_generating, [asked], [scale])[0]
            # Of sums that can have few values half of the chance of the value itself may be missing.
            assert (0.4 if sparse else 0.6) * 2 * tail < found < 1.4 * 2 * tail


def test_the_farthest_sum_has_its_own_probability():
    terms = np.repeat(parts(1, True)[:1], 8, axis=0)
    found = tail_p(lambda t: log_mean_exp(terms.reshape(-1, 1) * t, np.arange(0, 48, 6)), [8 * terms.max()], [1.0])
    assert found[0] == pytest.approx(2 / 6**8, rel=1e-3)


def test_generating_function_of_drawing_without_replacement():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(7, 3)) * 4
    for k in (1, 3, 7):
        sums = np.array([values[list(chosen)].sum(axis=0) for chosen in combinations(range(7), k)])
        assert log_mean_exp_chosen(values, k) == pytest.approx(np.log(np.exp(sums).mean(axis=0)), abs=1e-10)

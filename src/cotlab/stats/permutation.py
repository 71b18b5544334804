"""What a difference of two proportions looks like where there is nothing to find: outcomes exchanged at random.

Closed form instead of random permutations. With A members in the first sample only, S in both, B in the second only
and K successes in all, exchanging the outcomes makes the successes (X_A, X_S, X_B) multivariate hypergeometric:
C(A,x_A)·C(S,x_S)·C(B,x_B) / C(A+S+B,K). With S = 0 the p value is that of a permutation test on |difference|.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["ExchangeNull", "exchange_null"]

_TAIL_SDS = 10.0
"""Atoms further out than this have probability < 1e-20 together; leaving them out keeps large samples cheap."""


@dataclass(frozen=True, slots=True)
class ExchangeNull:
    """Null distribution of |p̂2 − p̂1| when outcomes are exchanged, and where the observed one lies in it."""

    mean: float
    q95: float
    """95% quantile: the smallest value that |difference| exceeds with probability 5% or less."""
    p: float
    """Probability of an absolute difference at least as large as the observed one (exact, so never too small)."""


def exchange_null(k1: int, n1: int, k2: int, n2: int, *, k_shared: int = 0, n_shared: int = 0) -> ExchangeNull:
    """Null floor and exact p value of p̂2 − p̂1, given the pooled outcomes and who is in both samples.

    Args:
        k1: Successes of the first sample.
        n1: Its size, shared members included.
        k2: Successes of the second sample.
        n2: Its size, shared members included.
        k_shared: Successes among the members of both samples.
        n_shared: Members of both samples.

    Raises:
        ValueError: A count is impossible.
    """
    only1, only2, pooled = n1 - n_shared, n2 - n_shared, k1 + k2 - k_shared
    parts = ((k_shared, n_shared), (k1 - k_shared, only1), (k2 - k_shared, only2))
    if n1 < 1 or n2 < 1 or any(not 0 <= k <= n for k, n in parts):
        raise ValueError(f"impossible counts: {k1} of {n1}, {k2} of {n2}, shared {k_shared} of {n_shared}")
    scaled, tail, mean, q95 = _null_distribution(pooled, only1, n_shared, only2)
    place = int(np.searchsorted(scaled, abs(k2 * n1 - k1 * n2)))
    p = float(tail[place]) if place < len(tail) else 0.0
    return ExchangeNull(mean, q95, min(p, 1.0))


@lru_cache(maxsize=4096)
def _null_distribution(
    pooled: int, only1: int, shared: int, only2: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], float, float]:
    """Atoms of |difference|·n1·n2 (exact integers, rising), P(at least the atom), mean and 95% quantile."""
    n1, n2 = only1 + shared, only2 + shared
    total = only1 + shared + only2
    x_shared = _support(pooled, shared, total)[:, None]
    x_only1 = _support(pooled, only1, total)[None, :]
    x_only2 = pooled - x_shared - x_only1
    possible = (x_only2 >= 0) & (x_only2 <= only2)
    log_p = (
        _log_choose(shared, x_shared) + _log_choose(only1, x_only1) + _log_choose(only2, np.clip(x_only2, 0, only2))
    )[possible]
    probability = np.exp(log_p - log_p.max())
    probability /= probability.sum()
    size = np.abs(n1 * (x_shared + x_only2) - n2 * (x_shared + x_only1))[possible]
    atoms, where = np.unique(size, return_inverse=True)
    mass = np.bincount(where, weights=probability).astype(np.float64)
    tail: NDArray[np.float64] = np.cumsum(mass[::-1])[::-1]
    beyond = np.append(tail[1:], 0.0)
    scale = float(n1 * n2)
    q95 = atoms[int(np.argmax(beyond <= 0.05 + 1e-12))] / scale
    return atoms, tail, float(mass @ atoms) / scale, float(q95)


def _support(pooled: int, part: int, total: int) -> NDArray[np.int64]:
    """Successes that a part of the members can have, as far as they matter."""
    low, high = max(0, pooled - (total - part)), min(part, pooled)
    share = pooled / total
    centre, reach = part * share, _TAIL_SDS * np.sqrt(part * share * (1 - share)) + 10
    return np.arange(max(low, int(centre - reach)), min(high, int(centre + reach) + 1) + 1, dtype=np.int64)


def _log_choose(n: int, k: NDArray[np.int64]) -> NDArray[np.float64]:
    from scipy.special import gammaln

    result: NDArray[np.float64] = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return result

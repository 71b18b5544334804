"""The difference of two arms whose members are pairs: same problem, same seed, another treatment."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotlab.stats.bootstrap import expanded_tail
from cotlab.stats.clustered import cluster_proportion
from cotlab.stats.estimate import Estimate

__all__ = ["mover_difference", "paired_difference", "share_difference"]

_METHOD = "paired-cluster-bootstrap"
_FEW = 10
"""Bootstrap samples where the interval comes from elsewhere."""
_BLOCK = 200
"""Exchanges that are drawn at once."""


def paired_difference(
    first: tuple[ArrayLike, ArrayLike],
    second: tuple[ArrayLike, ArrayLike],
    clusters: Sequence[Hashable],
    *,
    level: float = 0.95,
    n_boot: int = 4000,
    n_exchange: int = 2000,
    min_clusters: int = 5,
    seed: int = 0,
) -> Estimate:
    """Rate of the second arm minus rate of the first, a rate being the sum of counts over the sum of sizes.

    The interval comes from drawing whole clusters (problems) again, both arms together, with expanded percentiles
    (`cluster_mean`). Null floor and p come from exchanging the two arms of each pair at random, which is exact where
    the treatment does nothing: p = (1 + number at least as large) / (1 + exchanges).

    Args:
        first: Counts and sizes of the members of the first arm, shape [pairs] each; sizes of 1 give a mean.
        second: The same of the second arm; member i is the partner of member i of the first.
        clusters: The cluster of each pair.
        level: Nominal coverage.
        n_boot: Bootstrap samples.
        n_exchange: Random exchanges.
        min_clusters: Fewer clusters than this give a reason, not a number.
        seed: Equal seeds give equal results.

    Returns:
        The estimate; `n` is the number of pairs.

    Raises:
        ValueError: Shapes differ, or a number is not finite.
    """
    arms = _checked(first, second, len(clusters))
    n = len(clusters)
    _, label = np.unique(np.array([str(cluster) for cluster in clusters]), return_inverse=True)
    c = int(label.max()) + 1 if n else 0
    if c < max(min_clusters, 2) or not arms[:, 1].sum(axis=-1).all():
        reason = f"{c} clusters, at least {max(min_clusters, 2)} are needed" if c < max(min_clusters, 2) else "no sizes"
        return Estimate(None, n=n, n1=n, n2=n, level=level, method=_METHOD, reason=reason)
    rng = np.random.default_rng(seed)
    sums = np.stack([np.bincount(label, weights=row, minlength=c) for row in arms.reshape(4, n)])  # (4, clusters)
    low, high = _bootstrapped(sums.astype(float), rng, n_boot, level)
    value = float(_rate_difference(sums.sum(axis=1)[None])[0])
    null = _exchanged(arms, rng, n_exchange)
    return Estimate(
        value,
        low,
        high,
        n=n,
        n1=n,
        n2=n,
        level=level,
        null_mean=float(null.mean()),
        null_q95=float(np.quantile(null, 0.95)),
        p=float((1 + (null >= abs(value) - 1e-12).sum()) / (1 + len(null))),
        method=_METHOD,
    )


def share_difference(
    first: ArrayLike, second: ArrayLike, clusters: Sequence[Hashable], *, level: float = 0.95, seed: int = 0
) -> Estimate:
    """Mean share of the second arm minus that of the first, each problem counting once however many rollouts it has.

    The interval has a width where all shares are 0 or 1 (`mover_difference` of clustered Wilson intervals); null floor
    and p exchange the two shares of each pair.

    Args:
        first: Shares, [pairs].
        second: Shares, [pairs]; member i is the partner of member i of the first.
        clusters: The cluster of each pair.
        level: Nominal coverage.
        seed: Of the exchanges.

    Raises:
        ValueError: Shapes differ, or a share is not in [0, 1].
    """
    ones = np.ones(len(clusters))
    found = paired_difference((first, ones), (second, ones), clusters, level=level, n_boot=_FEW, seed=seed)
    if found.value is None:
        return found
    low, high = mover_difference(*(cluster_proportion(arm, clusters, level=level) for arm in (first, second)))
    return replace(found, low=low, high=high, method="clustered mover, exchanged arms")


def mover_difference(first: Estimate, second: Estimate) -> tuple[float | None, float | None]:
    """Interval of second − first from those of two shares (MOVER, Zou and Donner 2008); pairs are not made use of.

    Wider than need be where members of a pair are alike, and no point where a share is 0 or 1.
    """
    one, two = ((arm.value, arm.low, arm.high) for arm in (first, second))
    if None in one or None in two:
        return None, None
    (a, a_low, a_high), (b, b_low, b_high) = np.array([one, two], dtype=float)
    return (
        max(-1.0, float(b - a - np.hypot(b - b_low, a_high - a))),
        min(1.0, float(b - a + np.hypot(b_high - b, a - a_low))),
    )


def _checked(first: tuple[ArrayLike, ArrayLike], second: tuple[ArrayLike, ArrayLike], n: int) -> NDArray[np.float64]:
    """Both arms, shape (arm, counts or sizes, pair)."""
    arms = np.array([first, second], dtype=float)
    if arms.shape != (2, 2, n):
        raise ValueError(f"arms have shape {arms.shape}, expected (2, 2, {n}), one pair for each cluster label")
    if not np.isfinite(arms).all():
        raise ValueError("counts and sizes must be finite: leave incomplete pairs out")
    return arms


def _bootstrapped(
    sums: NDArray[np.float64], rng: np.random.Generator, n_boot: int, level: float
) -> tuple[float, float]:
    """Expanded percentiles of the difference over clusters drawn again; `sums` has shape (4, clusters)."""
    c = sums.shape[1]
    drawn = rng.multinomial(c, np.full(c, 1 / c), size=n_boot)
    with np.errstate(invalid="ignore", divide="ignore"):
        boot = _rate_difference((drawn @ sums.T).astype(float))
    tail = expanded_tail(c, level)
    low, high = np.quantile(boot[np.isfinite(boot)], [tail, 1 - tail])
    return float(low), float(high)


def _rate_difference(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of totals (…, 4): counts and sizes of the first arm, counts and sizes of the second."""
    difference: NDArray[np.float64] = totals[:, 2] / totals[:, 3] - totals[:, 0] / totals[:, 1]
    return difference


def _exchanged(arms: NDArray[np.float64], rng: np.random.Generator, n_exchange: int) -> NDArray[np.float64]:
    """Absolute differences when the two arms of each pair are exchanged at random."""
    total, moved = arms.sum(axis=-1), arms[1] - arms[0]  # exchanging pair i moves `moved[:, i]` to the first arm
    found = []
    for start in range(0, n_exchange, _BLOCK):
        swap = rng.integers(0, 2, size=(min(_BLOCK, n_exchange - start), arms.shape[-1]))
        shift = swap @ moved.T
        totals = np.concatenate([total[0] + shift, total[1] - shift], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append(np.abs(_rate_difference(totals)))
    null: NDArray[np.float64] = np.concatenate(found)
    null = null[np.isfinite(null)]
    return null

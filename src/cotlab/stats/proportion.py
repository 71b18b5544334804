"""Intervals for one proportion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotlab.stats.estimate import Estimate

__all__ = [
    "FloatArray",
    "IntervalRule",
    "agree",
    "agreed_interval",
    "clopper_pearson",
    "jeffreys",
    "proportion_estimate",
    "wilson",
]

FloatArray: TypeAlias = NDArray[np.float64]
IntervalRule: TypeAlias = Callable[[ArrayLike, ArrayLike, float], tuple[FloatArray, FloatArray]]
"""`rule(successes, n, level) -> (low, high)`."""


def wilson(successes: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Score interval (Wilson 1927).

    Args:
        successes: How many of `n`, any shape.
        n: Numbers of trials, broadcast with `successes`; 0 gives [0, 1].
        level: Nominal coverage.

    Returns:
        Lower and upper ends, of the broadcast shape.

    Raises:
        ValueError: A count is outside 0..n, or `level` outside (0, 1).
    """
    from scipy.special import ndtri

    k, m = checked_counts(successes, n, level)
    z = float(ndtri(0.5 + level / 2))
    spread = z * np.sqrt(k * (m - k) / np.maximum(m, 1) + z * z / 4)
    low = (k + z * z / 2 - spread) / (m + z * z)
    high = (k + z * z / 2 + spread) / (m + z * z)
    return np.where(k == 0, 0.0, low), np.where(k == m, 1.0, high)


def agree(values: ArrayLike) -> bool:
    """Whether values are the same but for what is left of rounding; NaN ones are passed over."""
    return bool(np.nanmax(values) - np.nanmin(values) < 1e-12)


def agreed_interval(
    value: float, within: tuple[float, float], n_clusters: Sequence[int], level: float
) -> tuple[float, float]:
    """Interval of a number that all draws of clusters agree on: clusters may have been missed that do not.

    By Wilson's interval for 0 of c so large a share of clusters may be unlike those that were seen, and lie anywhere.

    Args:
        value: The number.
        within: Least and most that it can be.
        n_clusters: Clusters that were seen, of each kind that it takes one member of (positives and negatives of AUC).
        level: Nominal coverage.
    """
    alike = float(np.prod([1 - wilson(0, n, level)[1] for n in n_clusters]))
    return value - (1 - alike) * max(0.0, value - within[0]), value + (1 - alike) * max(0.0, within[1] - value)


def jeffreys(successes: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Equal-tailed posterior interval under the Beta(1/2, 1/2) prior (Brown, Cai and DasGupta 2001, §4.1.2).

    The lower end is 0 where nothing succeeded, the upper end 1 where everything did. Arguments, result and errors are
    those of `wilson`.
    """
    from scipy.special import betaincinv

    k, m = checked_counts(successes, n, level)
    tail = (1 - level) / 2
    low = betaincinv(k + 0.5, m - k + 0.5, tail)
    high = betaincinv(k + 0.5, m - k + 0.5, 1 - tail)
    return np.where(k == 0, 0.0, low), np.where(k == m, 1.0, high)


def clopper_pearson(successes: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Exact interval (Clopper and Pearson 1934): never covers less than `level`, usually more.

    Arguments, result and errors are those of `wilson`.
    """
    from scipy.special import betaincinv

    k, m = checked_counts(successes, n, level)
    tail = (1 - level) / 2
    low = betaincinv(np.maximum(k, 0.5), m - k + 1, tail)
    high = betaincinv(k + 1, np.maximum(m - k, 0.5), 1 - tail)
    return np.where(k == 0, 0.0, low), np.where(k == m, 1.0, high)


def proportion_estimate(successes: int, n: int, *, level: float = 0.95, min_n: int = 1) -> Estimate:
    """A proportion with its Wilson interval; a reason instead where there are fewer than `min_n` trials."""
    if n < max(min_n, 1):
        return Estimate.missing(f"{n} rollouts, at least {max(min_n, 1)} are needed", method="wilson", n=n)
    low, high = wilson(successes, n, level)
    return Estimate(successes / n, float(low), float(high), n=n, level=level, method="wilson")


def checked_counts(successes: ArrayLike, n: ArrayLike, level: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Broadcast counts as floats, or say which is impossible."""
    k, m = np.broadcast_arrays(np.asarray(successes, dtype=float), np.asarray(n, dtype=float))
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, expected between 0 and 1")
    bad = (k < 0) | (k > m)
    if bad.any():
        raise ValueError(f"{k[bad].flat[0]:g} successes of {m[bad].flat[0]:g}, expected 0..n")
    return k, m

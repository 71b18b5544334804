"""The difference of two proportions whose samples may share members.

Values of neighbouring prefixes are such a pair: a rollout begun at the first prefix that happens to say the next step
passes through the second prefix too, and counts for both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cotlab.stats.estimate import Estimate
from cotlab.stats.permutation import exchange_null
from cotlab.stats.proportion import FloatArray, IntervalRule, checked_counts, wilson

__all__ = ["difference_estimate", "newcombe"]


def newcombe(
    k1: ArrayLike,
    n1: ArrayLike,
    k2: ArrayLike,
    n2: ArrayLike,
    level: float = 0.95,
    *,
    n_shared: ArrayLike = 0,
    rule: IntervalRule = wilson,
) -> tuple[FloatArray, FloatArray]:
    """Hybrid score interval for p2 − p1 (Newcombe 1998, method 10; with correlation: Zou 2007, MOVER).

    With l, u the ends of the single intervals and ρ the correlation of the two estimates, the distances from the
    difference to its ends are √((p̂2−l2)² + (u1−p̂1)² − 2ρ(p̂2−l2)(u1−p̂1)) and the same with l and u exchanged.
    Shared members are trials of the second sample, so Cov(p̂1, p̂2) = n_shared·p2(1−p2)/(n1·n2).

    Args:
        k1: Successes of the first sample, any shape.
        n1: Its size, shared members included.
        k2: Successes of the second sample.
        n2: Its size, shared members included.
        level: Nominal coverage.
        n_shared: Members of the first sample that are in the second too; 0 for independent samples.
        rule: Interval for one proportion.

    Returns:
        Lower and upper ends, of the broadcast shape.

    Raises:
        ValueError: A count is impossible.
    """
    a, m = checked_counts(k1, n1, level)
    b, k = checked_counts(k2, n2, level)
    shared, _ = checked_counts(n_shared, np.minimum(m, k), level)
    p1, p2 = a / np.maximum(m, 1), b / np.maximum(k, 1)
    (l1, u1), (l2, u2) = rule(a, m, level), rule(b, k, level)
    # Half a success and half a failure more: at 0 or all successes the plain variance is 0.
    s1, s2 = (a + 0.5) / (m + 1), (b + 0.5) / (k + 1)
    ratio = np.sqrt(s2 * (1 - s2) / (s1 * (1 - s1)))
    rho = np.minimum(shared / np.sqrt(np.maximum(m * k, 1)) * ratio, 1.0)
    return (
        p2 - p1 - _distance(p2 - l2, u1 - p1, rho),
        p2 - p1 + _distance(u2 - p2, p1 - l1, rho),
    )


def _distance(x: FloatArray, y: FloatArray, rho: FloatArray) -> FloatArray:
    distance: FloatArray = np.sqrt(np.maximum(x * x + y * y - 2 * rho * x * y, 0.0))
    return distance


def difference_estimate(
    k1: int, n1: int, k2: int, n2: int, *, k_shared: int = 0, n_shared: int = 0, level: float = 0.95, min_n: int = 1
) -> Estimate:
    """Second proportion minus the first: interval, null floor of its absolute value, exact p.

    Args:
        k1: Successes of the first sample.
        n1: Its size, shared members included.
        k2: Successes of the second sample.
        n2: Its size, shared members included.
        k_shared: Successes among the members of both samples.
        n_shared: Members of both samples.
        level: Nominal coverage.
        min_n: Smallest size of either sample.

    Returns:
        The estimate, without q; a reason instead where a sample is smaller than `min_n`.

    Raises:
        ValueError: A count is impossible.
    """
    needed = max(min_n, 1)
    for n, which in ((n1, "first"), (n2, "second")):
        if n < needed:
            reason = f"{n} rollouts in the {which} sample, at least {needed} are needed"
            return Estimate(None, n=n2, n1=n1, n2=n2, level=level, method="newcombe", reason=reason)
    low, high = newcombe(k1, n1, k2, n2, level, n_shared=n_shared)
    null = exchange_null(k1, n1, k2, n2, k_shared=k_shared, n_shared=n_shared)
    return Estimate(
        value=k2 / n2 - k1 / n1,
        low=max(float(low), -1.0),
        high=min(float(high), 1.0),
        n=n2,
        n1=n1,
        n2=n2,
        level=level,
        null_mean=null.mean,
        null_q95=null.q95,
        p=null.p,
        method="newcombe",
    )

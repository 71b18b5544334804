"""A weighted sum of independent proportions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cotlab.stats.estimate import Estimate
from cotlab.stats.proportion import IntervalRule, checked_counts, wilson

__all__ = ["weighted_sum"]


def weighted_sum(
    weights: Sequence[float],
    successes: Sequence[int],
    n: Sequence[int],
    *,
    constant: float = 0.0,
    level: float = 0.95,
    rule: IntervalRule = wilson,
) -> Estimate:
    """`constant` + Σ wᵢpᵢ with an interval made of those of its parts (MOVER; Zou, Huang and Zhang 2009, eq. 4).

    The distances from the sum to its ends are √(Σ wᵢ²(p̂ᵢ − lᵢ)²) and √(Σ wᵢ²(uᵢ − p̂ᵢ)²), with l and u exchanged where
    a weight is negative.

    Args:
        weights: One for each proportion.
        successes: How many of `n`.
        n: Numbers of trials; independent of each other.
        constant: Added to the sum.
        level: Nominal coverage.
        rule: Interval for one proportion.

    Returns:
        The estimate; its `n` is the number of all trials. A reason where a proportion has no trial.

    Raises:
        ValueError: Nothing is given, lengths differ, or a count is impossible.
    """
    if not len(weights) == len(successes) == len(n) >= 1:
        raise ValueError(f"{len(weights)} weights, {len(successes)} counts and {len(n)} sizes, expected equal numbers")
    k, m = checked_counts(successes, n, level)
    if not m.all():
        return Estimate.missing("a proportion has no trials", method="mover", n=int(m.sum()))
    low, high = rule(k, m, level)
    w, p = np.asarray(weights, dtype=float), k / m
    down = np.where(w >= 0, p - low, high - p)
    up = np.where(w >= 0, high - p, p - low)
    value = constant + float(w @ p)
    return Estimate(
        value,
        value - float(np.sqrt(np.sum((w * down) ** 2))),
        value + float(np.sqrt(np.sum((w * up) ** 2))),
        n=int(m.sum()),
        level=level,
        method="mover",
    )

"""Coarse to fine: look closer only where the value moves."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from cotlab.stats import exchange_null

__all__ = ["next_wave"]


def next_wave(counts: Mapping[int, tuple[int, int]], *, alpha: float = 0.05) -> list[int]:
    """Middles of the intervals over which the value differs.

    Args:
        counts: (correct, rollouts) by position.
        alpha: An interval is halved where exchanging outcomes between its ends gives p < alpha.

    Returns:
        New positions in ascending order; none once every such interval is a single step.
    """
    middles = []
    for left, right in pairwise(sorted(counts)):
        if right - left < 2:
            continue
        (right_a, n_a), (right_b, n_b) = counts[left], counts[right]
        if exchange_null(right_a, n_a, right_b, n_b).p < alpha:
            middles.append((left + right) // 2)
    return middles

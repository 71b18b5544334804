"""Coarse to fine: look closer only where the value moves."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

__all__ = ["next_wave"]


def next_wave(counts: Mapping[int, tuple[int, int]], *, alpha: float = 0.05) -> list[int]:
    """Middles of the intervals over which the value differs.

    Args:
        counts: (correct, rollouts) by position.
        alpha: An interval is halved where Fisher's exact test of its ends gives p < alpha.

    Returns:
        New positions in ascending order; none once every such interval is a single step.
    """
    from scipy.stats import fisher_exact

    middles = []
    for left, right in pairwise(sorted(counts)):
        if right - left < 2:
            continue
        (right_a, n_a), (right_b, n_b) = counts[left], counts[right]
        p = fisher_exact([[right_a, n_a - right_a], [right_b, n_b - right_b]]).pvalue
        if p < alpha:
            middles.append((left + right) // 2)
    return middles

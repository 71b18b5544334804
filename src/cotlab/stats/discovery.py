"""Many tests at once: p values adjusted for the false discovery rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

from cotlab.stats.estimate import Estimate

__all__ = ["FdrRule", "with_q"]

FdrRule: TypeAlias = Literal["bh", "by"]
"""bh: Benjamini and Hochberg 1995. by: Benjamini and Yekutieli 2001, valid under every dependence, less powerful.

Neighbouring ΔVs share rollouts, so their tests are dependent. For two-sided tests that are correlated in this way BH
keeps its level (Reiner-Benaim 2007); `experiments/coverage` shows it for chains of values, shared rollouts included.
"""


def with_q(estimates: Sequence[Estimate], rule: FdrRule = "bh") -> tuple[Estimate, ...]:
    """Set q over one family of tests (the steps of a chain); estimates without p are no tests and stay as they are."""
    from scipy.stats import false_discovery_control

    p = [estimate.p for estimate in estimates if estimate.p is not None]
    q = iter(false_discovery_control(p, method=rule) if p else ())
    return tuple(replace(estimate, q=float(next(q))) if estimate.p is not None else estimate for estimate in estimates)

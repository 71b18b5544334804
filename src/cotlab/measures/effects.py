"""Resampling importance of a step: what saying it does to the answer.

- delta-v, the default: ΔV_i = V(prefix with the step) − V(prefix without it), signed: the accuracy form
  acc(R_{i+1}) − acc(R_i) of resampling importance (Bogdan et al. 2025, "Thought Anchors", §2.3).
- kl: KL[p(A | R_i) ‖ p(A | R_{i+1})], its distributional form; tv: total variation of the same two.

Rollouts through both prefixes count in both; interval and null floor take that into account. The null floor and p of
delta-v are exact: outcomes are exchanged between the rollouts that say the step and those that do not, whose values are
equal if and only if ΔV is 0. q adjusts p over the steps of one chain. Truncated rollouts count as not right; how far
they could move ΔV is said by `effect_bounds`.
"""

from __future__ import annotations

from collections.abc import Sequence

from cotlab.measures.contrast import Metric, contrast, difference_bounds
from cotlab.stats import Estimate, FdrRule, with_q
from cotlab.trees import MIN_ROLLOUTS, Draws

__all__ = ["effect_bounds", "importance", "step_effect"]


def importance(
    draws: Sequence[Draws],
    *,
    metric: Metric = "delta-v",
    level: float = 0.95,
    min_n: int = MIN_ROLLOUTS,
    fdr: FdrRule = "bh",
) -> tuple[Estimate, ...]:
    """Resampling importance of every step of a chain.

    Args:
        draws: Rollouts through prefixes 0 … n of the chain, as `chain_draws` gives them. Where only some prefixes were
            sampled, leave the empty ones out: the importance is then that of all steps between two neighbours.
        metric: delta-v (signed), kl or tv.
        level: Nominal coverage of the intervals.
        min_n: Smallest number of rollouts of either prefix.
        fdr: How p is adjusted over the steps.

    Returns:
        One estimate a pair of neighbouring prefixes: n1 rollouts before, n2 after. A reason in place of a number where
        one of the two has no value.
    """
    pairs = zip(draws, draws[1:], strict=False)
    return with_q([step_effect(before, after, metric, level=level, min_n=min_n) for before, after in pairs], fdr)


def step_effect(
    before: Draws, after: Draws, metric: Metric = "delta-v", *, level: float = 0.95, min_n: int = MIN_ROLLOUTS
) -> Estimate:
    """Effect of the step between two prefixes, without q. The two may share rollouts; they are told by their ids."""
    return contrast(before, after, metric, level=level, min_n=min_n)


def effect_bounds(draws: Sequence[Draws]) -> tuple[tuple[float, float] | None, ...]:
    """ΔV of every step at its least and at its most over all ways that truncated rollouts may have ended."""
    return tuple(difference_bounds(before, after) for before, after in zip(draws, draws[1:], strict=False))

"""Resampling importance of a step: how much saying it moves the chance of a right answer.

ΔV_i = V(prefix with the step) − V(prefix without it), signed: the accuracy form acc(R_{i+1}) − acc(R_i) of resampling
importance (Bogdan et al. 2025, "Thought Anchors", §2.3).

- Rollouts through both prefixes count in both values; interval and null floor take that into account.
- The null floor and p are exact: outcomes are exchanged between the rollouts that say the step and those that do not,
  whose values are equal if and only if ΔV is 0.
- q adjusts p over the steps of one chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cotlab.stats import Estimate, FdrRule, difference_estimate, with_q
from cotlab.trees import MIN_ROLLOUTS, Draws, unusable

__all__ = ["importance", "step_effect"]


def importance(
    draws: Sequence[Draws], *, level: float = 0.95, min_n: int = MIN_ROLLOUTS, fdr: FdrRule = "bh"
) -> tuple[Estimate, ...]:
    """Signed importance of every step of a chain.

    Args:
        draws: Rollouts through prefixes 0 … n of the chain, as `chain_draws` gives them. Where only some prefixes were
            sampled, leave the empty ones out: the importance is then that of all steps between two neighbours.
        level: Nominal coverage of the intervals.
        min_n: Smallest number of rollouts of either prefix.
        fdr: How p is adjusted over the steps.

    Returns:
        One estimate a pair of neighbouring prefixes: n1 rollouts before, n2 after. A reason in place of a number where
        one of the two has no value.
    """
    pairs = zip(draws, draws[1:], strict=False)
    return with_q([step_effect(before, after, level=level, min_n=min_n) for before, after in pairs], fdr)


def step_effect(before: Draws, after: Draws, *, level: float = 0.95, min_n: int = MIN_ROLLOUTS) -> Estimate:
    """V(after) − V(before), without q. The two may share rollouts; they are told by their ids."""
    for draws, which in ((before, "before"), (after, "after")):
        reason = unusable(draws, min_n)
        if reason is not None:
            missing = Estimate.missing(f"{which} the step: {reason}", method="newcombe", n=len(after))
            return replace(missing, n1=len(before), n2=len(after), level=level)
    shared = before.select(np.isin(before.rollout_ids, after.rollout_ids))
    return difference_estimate(
        before.count("correct"),
        len(before),
        after.count("correct"),
        len(after),
        k_shared=shared.count("correct"),
        n_shared=len(shared),
        level=level,
        min_n=min_n,
    )

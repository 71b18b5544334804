"""Pivotal tokens: next tokens that move the chance of a right answer by 0.2 or more.

Δ(w) = P(correct | prefix + w) − P(correct | prefix) (Abdin et al. 2024, "Phi-4", §4.3; also codelion/pts). With
branches V_u behind every likely next token u of renormalised probability p_u, P(correct | prefix) = Σ p_u V_u, so
Δ(w) = Σ c_u V_u with c_u = [u = w] − p_u.

- Interval: MOVER for a linear combination of proportions (Zou, Huang and Zhang 2009) with Wilson limits.
- p: score test that all branches of the position have one value; q over all tokens of the chain.
- Pivotal is what is both large (|Δ| ≥ 0.2) and discovered (q ≤ 0.05).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cotlab.measures.branches import Branching
from cotlab.stats import Estimate, wilson, with_q
from cotlab.trees import MIN_ROLLOUTS, unusable

__all__ = ["PIVOTAL", "TokenEffect", "token_effects"]

PIVOTAL = 0.2
_METHOD = "mover-wilson"


@dataclass(frozen=True, slots=True)
class TokenEffect:
    """What one next token does to the chance of a right answer."""

    position: int
    """Steps kept before it."""
    token: int
    p: float
    """Its raw probability."""
    on_chain: bool
    delta: Estimate
    pivotal: bool


def token_effects(
    branchings: Sequence[Branching],
    *,
    least: float = PIVOTAL,
    fdr: float = 0.05,
    level: float = 0.95,
    min_n: int = MIN_ROLLOUTS,
) -> tuple[TokenEffect, ...]:
    """Effect of every branch of every position that has two or more.

    Args:
        branchings: Positions with their branches.
        least: Smallest |Δ| of a pivotal token.
        fdr: Largest q of a pivotal token.
        level: Nominal coverage of the intervals.
        min_n: Smallest number of rollouts of each branch.
    """
    found: list[TokenEffect] = []
    for branching in branchings:
        if len(branching.branches) > 1:
            found += _effects(branching, level, min_n)
    deltas = with_q([one.delta for one in found])
    return tuple(
        replace(
            one,
            delta=delta,
            pivotal=delta.value is not None and abs(delta.value) >= least and delta.q is not None and delta.q <= fdr,
        )
        for one, delta in zip(found, deltas, strict=True)
    )


def _effects(branching: Branching, level: float, min_n: int) -> list[TokenEffect]:
    branches = branching.branches
    reason = next((why for b in branches if (why := unusable(b.draws, min_n)) is not None), None)
    n = np.array([len(branch.draws) for branch in branches], dtype=float)
    k = np.array([branch.draws.count("correct") for branch in branches], dtype=float)
    weights = np.array([branch.weight for branch in branches])
    effects = []
    for i, branch in enumerate(branches):
        if reason is not None:
            delta = Estimate.missing(f"a branch: {reason}", method=_METHOD, n=int(n[i]))
        else:
            delta = _delta(k, n, np.eye(len(n))[i] - weights, int(n[i]), level)
        effects.append(
            TokenEffect(branching.position, branch.token or 0, branch.p, branch.on_chain, delta, pivotal=False)
        )
    return effects


def _delta(k: np.ndarray, n: np.ndarray, c: np.ndarray, mine: int, level: float) -> Estimate:
    from scipy.stats import norm

    share, (low, high) = k / n, wilson(k, n, level)
    value = float(c @ share)
    down = np.where(c > 0, c * (share - low), c * (share - high))
    up = np.where(c > 0, c * (high - share), c * (low - share))
    pooled = k.sum() / n.sum()
    spread = float(np.sqrt(pooled * (1 - pooled) * (c**2 / n).sum()))
    return Estimate(
        value,
        max(-1.0, value - float(np.sqrt((down**2).sum()))),
        min(1.0, value + float(np.sqrt((up**2).sum()))),
        n=mine,
        level=level,
        null_mean=0.0,
        null_q95=float(norm.ppf(0.975)) * spread,
        p=float(2 * norm.sf(abs(value) / spread)) if spread else 1.0,
        method=_METHOD,
    )

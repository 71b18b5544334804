"""Counterfactual importance: what becomes of the answer where something ELSE is said in the place of a step.

Resampling often says the same again in other words, so R_i is filtered by what its rollouts say first: only those whose
first sentence T_i is not like S_i count (Bogdan et al. 2025, "Thought Anchors", §2.3).

- delta-v: V(R_{i+1}) − V(R_i, T_i ≉ S_i): positive where saying the step helps, as in resampling importance. (The
  published code has the opposite sign here: `variant="thought-anchors"`.)
- kl: KL[p(A | R_i, T_i ≉ S_i) ‖ p(A | R_{i+1})]; tv: total variation of the same two.

Where nearly every rollout says the step again, what else could be said is not known: below `min_dissimilar` rollouts
there is a reason, not a number.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cotlab.measures.along_chain import ChainRollouts
from cotlab.measures.contrast import Metric, contrast
from cotlab.measures.similarity import ExactText, Similarity, alike, in_place
from cotlab.stats import Estimate, FdrRule, proportion_estimate, with_q
from cotlab.trees import MIN_ROLLOUTS

__all__ = [
    "MIN_DISSIMILAR",
    "counterfactual_importance",
    "different_trajectories",
    "is_different",
    "overdeterminedness",
]

MIN_DISSIMILAR = MIN_ROLLOUTS
"""Fewer rollouts that say something else give a reason, not a number."""


def counterfactual_importance(
    data: ChainRollouts,
    similarity: Similarity | None = None,
    *,
    metric: Metric = "delta-v",
    level: float = 0.95,
    min_n: int = MIN_ROLLOUTS,
    min_dissimilar: int = MIN_DISSIMILAR,
    fdr: FdrRule = "bh",
) -> tuple[Estimate, ...]:
    """Counterfactual importance of the step at each sampled position but the last.

    Where not every position was sampled, the steps up to the next sampled position are taken as one, and are something
    else where their first sentence is.

    Args:
        data: Rollouts along a chain, with at least one step of each.
        similarity: Tells whether two sentences say the same; default: equal texts.
        metric: delta-v (signed), kl or tv.
        level: Nominal coverage.
        min_n: Smallest number of rollouts after the step.
        min_dissimilar: Smallest number of rollouts that say something else.
        fdr: How p is adjusted over the steps.

    Returns:
        One estimate for each of `data.pairs()`: n1 dissimilar rollouts, n2 after the step.
    """
    similar = similarity or ExactText()
    found = []
    for k, after in data.pairs():
        draws = data.draws(k)
        other = draws.select(is_different(data, k, similar))
        estimate = contrast(other, data.draws(after), metric, level=level, min_n=min_n) if len(draws) else None
        if estimate is None or len(other) < min_dissimilar:
            reason = f"{len(other)} of {len(draws)} rollouts say something else, at least {min_dissimilar} are needed"
            estimate = replace(
                Estimate.missing(reason, n=len(data.draws(after))), n1=len(other), n2=len(data.draws(after))
            )
        found.append(replace(estimate, method=f"{estimate.method or metric}, {similar.id}", level=level))
    return with_q(found, fdr)


def is_different(data: ChainRollouts, k: int, similarity: Similarity) -> NDArray[np.bool_]:
    """Which rollouts of R_k say something that is not like S_k, in the order of `data.draws(k)`."""
    said = data.said(k)
    similar = in_place(similarity, data.kept(k))
    return ~alike(similar, [data.steps[k]], said)[0] if said else np.zeros(0, dtype=bool)


def different_trajectories(
    data: ChainRollouts, similarity: Similarity | None = None, *, level: float = 0.95, min_n: int = MIN_ROLLOUTS
) -> tuple[Estimate, ...]:
    """Share of R_k whose first sentence is not like S_k, for each sampled position (Bogdan et al. 2025).

    The Wilson interval is for rollouts begun above or at the prefix alike.
    """
    similar = similarity or ExactText()
    found = []
    for k in data.sampled():
        if k == len(data.steps):
            continue
        other = is_different(data, k, similar)
        estimate = proportion_estimate(int(other.sum()), len(other), level=level, min_n=min_n)
        found.append(replace(estimate, method=f"wilson, {similar.id}"))
    return tuple(found)


def overdeterminedness(data: ChainRollouts, *, level: float = 0.95, min_n: int = MIN_ROLLOUTS) -> tuple[Estimate, ...]:
    """1 − (different first sentences) / (all), by exact text, for each sampled position (Bogdan et al. 2025).

    It grows with the number of rollouts, so only values of equal n compare. The interval is for its expectation at this
    n: the jackknife variance of a number of kinds is f₁(1 − f₁/n)(n − 1)/n, f₁ being the number of sentences that were
    said once (Burnham and Overton 1978).
    """
    return tuple(_overdetermined(data.said(k), level, min_n) for k in data.sampled() if k < len(data.steps))


def _overdetermined(said: list[str], level: float, min_n: int) -> Estimate:
    from scipy.special import ndtri

    n = len(said)
    if n < max(min_n, 1):
        return Estimate.missing(f"{n} rollouts, at least {max(min_n, 1)} are needed", method="jackknife", n=n)
    _, counts = np.unique([" ".join(text.split()) for text in said], return_counts=True)
    once = int((counts == 1).sum())
    value = 1 - len(counts) / n
    spread = float(ndtri(0.5 + level / 2)) * np.sqrt(once * (1 - once / n) * (n - 1) / n) / n
    return Estimate(
        value,
        max(value - float(spread), 0.0),
        min(value + float(spread), 1 - 1 / n),
        n=n,
        level=level,
        method="jackknife",
    )

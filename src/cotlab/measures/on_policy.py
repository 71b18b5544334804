"""On-policy edits: what follows where the model itself says what is wanted.

Text that is put into a chain is off-policy: the model would hardly have said it there, and often goes on as if it had
not. Resampling until the next sentence is like the wanted one gives the same words with the model's own continuation
(Macar et al. 2025, "Thought Branches", §3; cosine ≥ 0.7). Rollouts that are drawn already and say it are such samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cotlab.measures.along_chain import ChainRollouts
from cotlab.measures.contrast import Metric, contrast
from cotlab.measures.similarity import ExactText, Similarity, alike, in_place
from cotlab.stats import Estimate, proportion_estimate
from cotlab.trees import MIN_ROLLOUTS

__all__ = ["OnPolicyEffect", "on_policy_effect"]


@dataclass(frozen=True, slots=True)
class OnPolicyEffect:
    """What saying something of its own accord does."""

    effect: Estimate
    """Rollouts that say it against those that say something else: n1 of these, n2 of those."""
    share: Estimate
    """How often the model says it there: 1/share rollouts are needed for one."""


def on_policy_effect(
    data: ChainRollouts,
    k: int,
    wanted: str,
    similarity: Similarity | None = None,
    *,
    metric: Metric = "delta-v",
    level: float = 0.95,
    min_n: int = MIN_ROLLOUTS,
) -> OnPolicyEffect:
    """Effect of the model's saying `wanted` as its next sentence after the first `k` steps.

    Args:
        data: Rollouts along a chain, with the first sentence of each.
        k: Steps kept.
        wanted: The sentence.
        similarity: Tells whether what is said is like it; default: equal texts.
        metric: delta-v is V(says it) − V(says something else).
        level: Nominal coverage.
        min_n: Smallest number of rollouts that say it, and that do not.

    Raises:
        ValueError: The chain has no step after `k`.
    """
    if not 0 <= k < len(data.steps):
        raise ValueError(f"k is {k}, expected 0..{len(data.steps) - 1}")
    draws, said = data.draws(k), data.said(k)
    says = alike(in_place(similarity or ExactText(), data.kept(k)), [wanted], said)[0]
    n, n_says = len(says), int(says.sum())
    share = proportion_estimate(n_says, n, level=level, min_n=min_n)
    if min(n_says, n - n_says) < min_n:
        few = (
            f"{n_says} of {n} rollouts say it" if n_says < min_n else f"{n - n_says} of {n} rollouts say something else"
        )
        effect = Estimate.missing(f"{few}, at least {min_n} are needed", method=metric, n=n)
        return OnPolicyEffect(
            replace(effect, n1=n - n_says, n2=n_says, level=level, method=f"{metric}, on-policy"), share
        )
    names = ("rollouts that say something else", "rollouts that say it")
    effect = contrast(draws.select(~says), draws.select(says), metric, level=level, min_n=min_n, names=names)
    return OnPolicyEffect(replace(effect, method=f"{effect.method}, on-policy"), share)

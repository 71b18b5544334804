"""V(prefix): the chance that the model, going on from there, is right."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cotlab.stats import Estimate, proportion_estimate
from cotlab.trees.draws import Draws

__all__ = ["MIN_ROLLOUTS", "Value", "unusable", "value"]

MIN_ROLLOUTS = 10
"""Fewer rollouts than this give a reason, not a number."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value, and how far the truncated rollouts could move it."""

    estimate: Estimate
    """correct / all, with its Wilson interval. Truncated rollouts are among all: they did not answer rightly."""
    truncated_share: float | None = None
    """Share of rollouts that ran into max_tokens; None where there are none."""
    bounds: tuple[float, float] | None = None
    """The value if every truncated rollout had ended wrong, and if every one had ended right."""


def value(draws: Draws, *, level: float = 0.95, min_n: int = MIN_ROLLOUTS) -> Value:
    """Value of a prefix.

    Args:
        draws: Rollouts through the prefix.
        level: Nominal coverage of the interval.
        min_n: Smallest number of rollouts.

    Returns:
        The value; its estimate has a reason in place of a number where there is no gold answer or too few rollouts.
    """
    n, truncated = len(draws), draws.count("truncated")
    share = truncated / n if n else None
    reason = unusable(draws, min_n)
    if reason is not None:
        return Value(replace(Estimate.missing(reason, method="wilson", n=n), level=level), share)
    correct = draws.count("correct")
    return Value(
        proportion_estimate(correct, n, level=level, min_n=min_n), share, (correct / n, (correct + truncated) / n)
    )


def unusable(draws: Draws, min_n: int, *, judged: bool = True) -> str | None:
    """Why these rollouts have no value; None if they have one.

    Args:
        draws: Rollouts.
        min_n: Smallest number of them.
        judged: Whether they must be told right from wrong; else it is enough that answers can be told apart.
    """
    n = len(draws)
    if draws.lacking is not None:
        return draws.lacking
    if not n:
        return "no rollouts through this prefix"
    if draws.count("unjudged"):
        known = any(key is not None for key in draws.keys[draws.where("unjudged")])
        if judged:
            return "the problem has no gold answer" if known else "the answers of its rollouts are not known"
        if not known:
            return "the answers of its rollouts are not known"
    if n < min_n:
        return f"{n} rollouts, at least {min_n} are needed"
    if draws.count("truncated") == n:
        return f"all {n} rollouts were truncated: raise max_tokens"
    return None

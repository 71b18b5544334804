"""Accuracy over problems, which is not told where reasoning was cut off too often to know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace

from cotlab.chains.score import Outcome
from cotlab.runs import Run
from cotlab.stats import Estimate, cluster_proportion

__all__ = ["CUT_OFF", "accuracy", "cut_off_reason", "cut_off_warnings"]

CUT_OFF = 0.5
"""Share of truncated rollouts from which on an accuracy would say more about the token limit than about the model."""
CUT_SOME = 0.03
"""Share from which on a run has a warning: what is told of being right may be off by as much."""


def accuracy(outcomes: Sequence[Outcome], problems: Sequence[Hashable], *, level: float = 0.95) -> Estimate:
    """Share of right rollouts, with a clustered interval over problems.

    Args:
        outcomes: Of each rollout.
        problems: The problem of each.
        level: Nominal coverage.

    Returns:
        The estimate; a reason where half of the rollouts or more ran into the token limit, where there is no gold
        answer, or where there are too few problems. Below that share truncated rollouts count as not right in the value
        and the lower end, and as right in the upper end: how they would have ended is not known.

    Raises:
        ValueError: `outcomes` and `problems` differ in length.
    """
    if len(outcomes) != len(problems):
        raise ValueError(f"{len(outcomes)} outcomes and {len(problems)} problems, expected equal numbers")
    reason = cut_off_reason(outcomes)
    if reason is None and "unjudged" in outcomes:
        reason = "the problems have no gold answer"
    if reason is not None:
        return Estimate.missing(reason, method="clustered wilson", n=len(outcomes))
    found = cluster_proportion([outcome == "correct" for outcome in outcomes], problems, level=level)
    if found.value is None or "truncated" not in outcomes:
        return found
    best = cluster_proportion([outcome in ("correct", "truncated") for outcome in outcomes], problems, level=level)
    return replace(found, high=best.high, method=f"{found.method}, truncated as wrong (low) and as right (high)")


def cut_off_reason(outcomes: Sequence[Outcome]) -> str | None:
    """Why outcomes say nothing about being right: half of them or more are truncated; None where they do."""
    cut = sum(outcome == "truncated" for outcome in outcomes)
    if not outcomes or cut / len(outcomes) < CUT_OFF:
        return None
    return f"{cut / len(outcomes):.0%} of {len(outcomes):,} rollouts ran into the token limit: raise max_tokens"


def cut_off_warnings(run: Run) -> tuple[str, ...]:
    """A sentence for each of a run's settings under which a few percent of the rollouts or more were cut off."""
    settings, drawn, cut = run.settings(), Counter[str](), Counter[str]()
    for rollout in run.rollouts(bodies=False):
        drawn[rollout.settings_id] += 1
        cut[rollout.settings_id] += rollout.finish_reason == "length"
    return tuple(
        f"The reasoning was cut off by the token limit in {cut[key] / n:.0%} of {n:,} rollouts "
        f"(max_tokens {settings[key].max_tokens}, temperature {settings[key].temperature:g}): "
        f"{_meaning(cut[key] / n)}. Raise max_tokens."
        for key, n in drawn.items()
        if key in settings and cut[key] / n >= CUT_SOME
    )


def _meaning(share: float) -> str:
    if share >= CUT_OFF:
        return "accuracy and values are not told, and what is told is about beginnings of reasoning"
    return f"they count as not right, so accuracy and values may be up to {share:.0%} of the rollouts too low"

"""Which rollouts of a condition may be taken for draws from the model.

1. Samples 0 … m−1, where m is the first that is missing (in flight, failed, lost) or not scored.
2. Of these, the largest block that was asked for together (`Run.ask`): what finishes first in a half-finished block is
   short, and short is not like long. Where no block is whole there is no draw, and a reason.
3. Where nobody said how many were asked for (imported runs), all of 1.
"""

from __future__ import annotations

from collections.abc import Iterable

from cotlab.runs import Run

__all__ = ["complete_block", "why_unfinished"]


def complete_block(there: Iterable[int], asked: Iterable[int]) -> int:
    """How many rollouts of a condition count: samples 0 … that many − 1.

    Args:
        there: Sample indices that are stored and scored, any order.
        asked: Sizes of the blocks that were asked for; none: nothing says.
    """
    found, sizes = set(there), list(asked)
    leading = next(idx for idx in range(len(found) + 1) if idx not in found)
    return max((size for size in sizes if size <= leading), default=0) if sizes else leading


def why_unfinished(
    run: Run, prefix_id: str, condition_ids: tuple[str, str, str], asked: Iterable[int], n_scored: int
) -> str | None:
    """Why no block of a condition is whole; None where nothing of it is there.

    Args:
        run: Where it is.
        prefix_id: Where the condition starts.
        condition_ids: Its settings, engine card and intervention.
        asked: Sizes of the blocks that were asked for.
        n_scored: Rollouts of the smallest of them that have a verdict.
    """
    settings_id, card_id, intervention_id = condition_ids
    n = min(asked)
    have = {idx for idx in run.have(prefix_id, intervention_id, settings_id, card_id) if idx < n}
    if not have:
        return None
    if len(have) == n:
        return f"{n_scored} of {n} rollouts are scored; `cotlab score` judges the rest"
    request = (prefix_id, intervention_id, settings_id, card_id)
    failed = {a.sample_idx for a in run.attempts() if tuple(a[:4]) == request} - have
    if len({idx for idx in failed if idx < n}) == n - len(have):
        return f"{n - len(have)} of {n} requests failed; the same command tries them again"
    return f"interrupted: {len(have)} of {n} rollouts; the same command completes them"

"""Verdicts on what begins at one place: rollouts from one prefix, on a chain or off it, and the chain itself."""

from __future__ import annotations

from typing import Any

from cotlab.chains.chain import Chain
from cotlab.interventions.base import Baseline
from cotlab.runs import Run
from cotlab.trees.blocks import complete_block
from cotlab.trees.conditions import ConditionIds
from cotlab.trees.draws import Draws
from cotlab.trees.passing import resolve_scorer

__all__ = ["begun_at", "chain_verdict"]


def begun_at(
    run: Run,
    prefix_id: str,
    *,
    scorer_id: str,
    condition: ConditionIds,
    intervention_id: str | None = None,
    origin: int = 0,
) -> Draws:
    """Rollouts begun at one prefix, on a chain or off it: the largest complete block of a condition.

    Args:
        run: Where they are.
        prefix_id: Where they start.
        scorer_id: Whose verdicts count: an id, or a bare name for its last version.
        condition: Settings and engine that they were drawn under.
        intervention_id: What they were drawn under; None: the baseline.
        origin: Steps of a chain kept there.

    Raises:
        UserError: Nobody of that name has scored.
    """
    under = (condition.settings_id, condition.engine_card_id, intervention_id or Baseline().id)
    rows = {
        row.sample_idx: row
        for row in run.outcome_rows(
            resolve_scorer(run, scorer_id),
            settings_id=under[0],
            engine_card_id=under[1],
            intervention_id=under[2],
            prefix_id=prefix_id,
        )
    }
    n = complete_block(rows, run.asked(*under).get(prefix_id, ())) if rows else 0
    block = [rows[idx] for idx in range(n)]
    return Draws.of(
        prefix_id,
        [row.value["outcome"] for row in block],
        rollout_ids=[row.rollout_id for row in block],
        sample_idx=[row.sample_idx for row in block],
        origin=origin,
        keys=[row.value.get("key") for row in block],
    )


def chain_verdict(run: Run, chain: Chain, scorer_id: str) -> dict[str, Any]:
    """What a scorer says of the chain itself: answer, key, outcome (`unjudged` where it has not judged it)."""
    for row in run.outcome_rows(scorer_id, prefix_id=chain.prefix(0).id):
        if row.rollout_id == chain.rollout_id:
            return row.value
    return {"answer": None, "key": None, "outcome": "unjudged"}

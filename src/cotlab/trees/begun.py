"""Verdicts on what begins at one place: rollouts from one prefix, on a chain or off it, and the chain itself."""

from __future__ import annotations

from typing import Any

from cotlab.chains.chain import Chain
from cotlab.runs import Run
from cotlab.trees.blocks import complete_block
from cotlab.trees.conditions import ConditionIds
from cotlab.trees.draws import Draws

__all__ = ["begun_at", "chain_verdict"]


def begun_at(run: Run, prefix_id: str, *, scorer_id: str, condition: ConditionIds) -> Draws:
    """Baseline rollouts begun at one prefix, on a chain or off it: the complete block of a condition."""
    settings_id, engine_card_id, intervention_id = condition.baseline
    rows = {
        row.sample_idx: row
        for row in run.outcome_rows(
            scorer_id,
            settings_id=settings_id,
            engine_card_id=engine_card_id,
            intervention_id=intervention_id,
            prefix_id=prefix_id,
        )
    }
    n = complete_block(rows, run.asked(*condition.baseline).get(prefix_id, ())) if rows else 0
    block = [rows[idx] for idx in range(n)]
    return Draws.of(
        prefix_id,
        [row.value["outcome"] for row in block],
        rollout_ids=[row.rollout_id for row in block],
        keys=[row.value["key"] for row in block],
    )


def chain_verdict(run: Run, chain: Chain, scorer_id: str) -> dict[str, Any]:
    """What a scorer says of the chain itself: answer, key, outcome (`unjudged` where it has not judged it)."""
    for row in run.outcome_rows(scorer_id, prefix_id=chain.prefix(0).id):
        if row.rollout_id == chain.rollout_id:
            return row.value
    return {"answer": None, "key": None, "outcome": "unjudged"}

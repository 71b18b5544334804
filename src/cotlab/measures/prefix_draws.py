"""Rollouts from one prefix, whatever led to it: edited prefixes lie on no chain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cotlab.chains.chain import Chain
from cotlab.interventions import Baseline, Edit, edits_from_json
from cotlab.runs import Run
from cotlab.trees import ConditionIds, Draws, resolve_scorer
from cotlab.trees.blocks import complete_block

__all__ = ["edited_prefixes", "forced_prefixes", "prefix_draws", "rollout_draws"]


def prefix_draws(run: Run, prefix_id: str, *, scorer_id: str, condition: ConditionIds) -> Draws:
    """Baseline rollouts begun at a prefix: the largest complete block of samples, as in `chain_draws`.

    Args:
        run: Where they are.
        prefix_id: Where they start.
        scorer_id: Whose verdicts count: an id, or a bare name for its last version.
        condition: Settings and engine that they were drawn under.

    Raises:
        UserError: Nobody of that name has scored.
    """
    rows = {
        row.sample_idx: row
        for row in run.outcome_rows(
            resolve_scorer(run, scorer_id),
            settings_id=condition.settings_id,
            engine_card_id=condition.engine_card_id,
            intervention_id=Baseline().id,
            prefix_id=prefix_id,
        )
    }
    asked = run.asked(*condition.baseline).get(prefix_id, ())
    block = [rows[idx] for idx in range(complete_block(rows, asked))]
    return Draws.of(
        prefix_id,
        [row.value["outcome"] for row in block],
        rollout_ids=[row.rollout_id for row in block],
        sample_idx=[row.sample_idx for row in block],
        keys=[row.value["key"] for row in block],
    )


def rollout_draws(run: Run, rollouts: Iterable[tuple[str, str]], *, scorer_id: str, name: str) -> Draws:
    """Draws of rollouts that began at different prefixes: (prefix id, rollout id) each.

    Args:
        run: Where they are.
        rollouts: Which.
        scorer_id: Whose verdicts count. Rollouts that it has not scored are left out.
        name: Stands in the place of a prefix id.

    Raises:
        UserError: Nobody of that name has scored.
    """
    scorer, wanted = resolve_scorer(run, scorer_id), list(rollouts)
    value_of: dict[str, dict[str, Any]] = {}
    for prefix_id in dict.fromkeys(prefix for prefix, _ in wanted):
        value_of |= {row.rollout_id: row.value for row in run.outcome_rows(scorer, prefix_id=prefix_id)}
    scored = [rollout for _, rollout in wanted if rollout in value_of]
    return Draws.of(
        name,
        [value_of[rollout]["outcome"] for rollout in scored],
        rollout_ids=scored,
        keys=[value_of[rollout]["key"] for rollout in scored],
    )


def edited_prefixes(run: Run, chain: Chain) -> list[tuple[int, str, tuple[Edit, ...]]]:
    """Prefixes that edits made of those of a chain: (steps kept, prefix id, edits), in the order in which they came.

    Edges of other kinds of edits (imports have some) are left out.
    """
    position = {chain.prefix(k).id: k for k in reversed(range(len(chain.steps) + 1))}
    return [
        (position[edge.parent_id], edge.child_id, edits_from_json(edge.spec))
        for edge in run.edges()
        if edge.kind == "edit" and edge.parent_id in position and _is_edits(edge.spec)
    ]


def forced_prefixes(run: Run, chain: Chain) -> dict[str, dict[int, str]]:
    """Forced-answer prefixes of a chain: prefix id by steps kept, for each text that was appended."""
    found: dict[str, dict[int, str]] = {}
    for keep, prefix_id, edits in edited_prefixes(run, chain):
        if len(edits) == 1 and edits[0].kind == "force-answer":
            found.setdefault(str(edits[0].to_json()["text"]), {})[keep] = prefix_id
    return found


def _is_edits(spec: object) -> bool:
    return isinstance(spec, Sequence) and all(isinstance(one, dict) and "policy" in one for one in spec)

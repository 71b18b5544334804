"""Rollouts from one prefix, whatever led to it: edited prefixes lie on no chain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cotlab.chains.chain import Chain
from cotlab.interventions import Edit, edits_from_json
from cotlab.runs import Run
from cotlab.trees import Draws, resolve_scorer

__all__ = ["edited_prefixes", "forced_prefixes", "rollout_draws"]


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

"""Edited prefixes as nodes of a chain's tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cotlab.chains.chain import Chain
from cotlab.interventions import Baseline, Edit
from cotlab.measures.prefix_draws import edited_prefixes, rollout_draws
from cotlab.runs import Run
from cotlab.trees import MIN_ROLLOUTS, value

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["add_edits", "edit_words"]


def add_edits(tree: nx.DiGraph[str], run: Run, chain: Chain, *, scorer_id: str, min_n: int = MIN_ROLLOUTS) -> int:
    """Add a chain's edited prefixes that have rollouts: nodes of kind `edit` (their prefix id), edges of kind `edit`.

    Returns:
        How many were added.

    Raises:
        UserError: Nobody of that name has scored.
    """
    added = 0
    for keep, prefix_id, edits in edited_prefixes(run, chain):
        parent = chain.prefix(keep).id
        if prefix_id in tree or parent not in tree:
            continue
        rows = run.rollouts(prefix_id=prefix_id, intervention_id=Baseline().id, bodies=False)
        draws = rollout_draws(run, [(prefix_id, row.id) for row in rows], scorer_id=scorer_id, name=prefix_id)
        n = len(draws)
        if not n:
            continue
        depth = tree.nodes[parent]["depth"] + 1
        tree.add_node(prefix_id, kind="edit", depth=depth, n_tokens=None, step=None, n_rollouts=n, visits=n)
        tree.nodes[prefix_id].update(
            outcomes=draws.outcome_counts(), answers=draws.answers(), value=value(draws, min_n=min_n).estimate
        )
        tree.add_edge(parent, prefix_id, text=edit_words(edits), kind="edit", count=n, base=False)
        added += 1
    return added


def edit_words(edits: tuple[Edit, ...]) -> str:
    """Edits as a person reads them."""
    told = []
    for edit in edits:
        spec = edit.to_json()
        step = spec.get("step", spec.get("before"))
        where = "" if step is None else f" {'before ' if edit.kind == 'insert' else ''}step {step}"
        text = str(spec.get("text") or spec.get("shows") or "").strip()
        said = f": {text}" if text else ""
        told.append(f"[{edit.kind}{where}{said}]")
    return " ".join(told)

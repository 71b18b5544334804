"""Branches under interventions: rollouts from a prefix with something changed inside the model, as nodes of a tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cotlab.chains.chain import Chain
from cotlab.interventions.base import Baseline
from cotlab.runs import Run
from cotlab.trees.draws import Draws
from cotlab.trees.passing import resolve_scorer
from cotlab.trees.value import MIN_ROLLOUTS, value

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["InterventionBranch", "add_interventions", "intervention_branches"]


@dataclass(frozen=True, slots=True, eq=False)
class InterventionBranch:
    """What was drawn at one prefix of a chain under one intervention."""

    step: int
    """Steps of the chain kept."""
    prefix_id: str
    intervention_id: str
    spec: dict[str, Any]
    draws: Draws
    steered_tokens: int

    @property
    def node(self) -> str:
        """Its node in the tree."""
        return f"{self.prefix_id}/{self.intervention_id}"


def intervention_branches(run: Run, chain: Chain, *, scorer_id: str) -> list[InterventionBranch]:
    """Branches of a chain, in the order of its steps; baseline rollouts are none.

    Raises:
        UserError: Nobody of that name has scored.
    """
    scorer_id = resolve_scorer(run, scorer_id)
    specs = {key: spec for key, spec in run.interventions().items() if key != Baseline().id}
    found = []
    for step in range(len(chain.steps) + 1):
        prefix = chain.prefix(step)
        if step and prefix.id == chain.prefix(step - 1).id:
            continue
        for key, spec in specs.items():
            steered = {
                row.id: row.steered_tokens or 0
                for row in run.rollouts(prefix_id=prefix.id, intervention_id=key, bodies=False)
            }
            if not steered:
                continue
            rows = sorted(
                run.outcome_rows(scorer_id, intervention_id=key, prefix_id=prefix.id), key=lambda row: row.sample_idx
            )
            draws = Draws.of(
                prefix.id,
                [row.value["outcome"] for row in rows],
                rollout_ids=[row.rollout_id for row in rows],
                sample_idx=[row.sample_idx for row in rows],
                origin=step,
                keys=[row.value.get("key") for row in rows],
            )
            found.append(InterventionBranch(step, prefix.id, key, spec, draws, sum(steered.values())))
    return found


def add_interventions(
    tree: nx.DiGraph[str], run: Run, chain: Chain, *, scorer_id: str, min_n: int = MIN_ROLLOUTS
) -> int:
    """Add a chain's branches to its tree: nodes of kind `intervention`, edges of kind `intervene`.

    Returns:
        How many were added.
    """
    branches = intervention_branches(run, chain, scorer_id=scorer_id)
    for branch in branches:
        n = len(branch.draws)
        depth = tree.nodes[branch.prefix_id]["depth"] + 1
        tree.add_node(branch.node, kind="intervention", depth=depth, n_tokens=None, step=None, n_rollouts=n, visits=n)
        tree.nodes[branch.node].update(
            outcomes=branch.draws.outcome_counts(),
            answers=branch.draws.answers(),
            value=value(branch.draws, min_n=min_n).estimate,
        )
        text = f"[{branch.spec['kind']} {branch.intervention_id[:8]}]"
        tree.add_edge(branch.prefix_id, branch.node, text=text, kind="intervene", count=n, base=False)
    return len(branches)

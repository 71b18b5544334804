"""Where in a run's chains a rollout stands."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from cotlab.chains.chain import Chain
from cotlab.chains.cutting import get_cutter
from cotlab.interventions.base import Baseline
from cotlab.runs import Run
from cotlab.runs.rows import FoundRow
from cotlab.trees.conditions import positions_of

__all__ = ["SaidAt", "said_at"]


@dataclass(frozen=True, slots=True)
class SaidAt:
    """Where a rollout begins, and at which step it says something."""

    chain_id: str | None
    """A chain that has the rollout's prefix, or from which it was edited; None: of no chain."""
    origin: int
    """Steps of the chain kept where it begins."""
    step: int | None
    """Index of the step, counted along chain and rollout; None where steps are tokens, or of no chain."""
    changed: bool
    """Whether something was changed where it begins: an edit, an intervention."""


def said_at(run: Run, found: Iterable[FoundRow]) -> list[SaidAt]:
    """Where each of the found rollouts stands among the chains of its run.

    Args:
        run: Where they were found (`Run.find_text`).
        found: Rollouts.

    Returns:
        One for each. A prefix that several chains share is told of the first of them.
    """
    rows = list(found)
    wanted, problems = {row.prefix_id for row in rows}, {row.problem_id for row in rows}
    above = {edge.child_id: edge.parent_id for edge in run.edges() if edge.kind == "edit" and edge.child_id in wanted}
    places: dict[str, tuple[Chain, int]] = {}
    for chain in (chain for problem_id in sorted(problems) for chain in run.chains(problem_id)):
        for prefix_id, kept in positions_of(chain).items():
            places.setdefault(prefix_id, (chain, kept))
    return [_place(run, row, places, above) for row in rows]


def _place(run: Run, row: FoundRow, places: dict[str, tuple[Chain, int]], above: dict[str, str]) -> SaidAt:
    edited = row.prefix_id in above and row.prefix_id not in places
    changed = edited or row.intervention_id != Baseline().id
    place = places.get(above[row.prefix_id] if edited else row.prefix_id)
    if place is None:
        return SaidAt(None, 0, None, changed)
    chain, kept = place
    cutter = get_cutter(chain.cutter_id)
    if cutter.rule is None:
        return SaidAt(chain.id, kept, None, changed)
    text = run.rollout(row.rollout_id).text
    return SaidAt(chain.id, kept, kept + bisect_right(cutter.cut_text(text), row.at), changed)

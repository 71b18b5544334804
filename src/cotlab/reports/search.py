"""How the model searches one problem: its state graph with the measures of it, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cotlab.chains.chain import Chain
from cotlab.chains.problem import Problem
from cotlab.errors import UserError
from cotlab.measures import SearchProfile, SimilarStates, embedder_by_name, rejoining, returns_by_move, search_profile
from cotlab.reports.text import format_estimate
from cotlab.runs import Run
from cotlab.stats import Estimate
from cotlab.tiny import problem_from_question
from cotlab.trees import (
    ConditionIds,
    SaidRollout,
    SaidStates,
    SearchTruth,
    StateGraph,
    StateReader,
    TinyStates,
    build_state_graph,
    resolve_scorer,
    said_by,
    search_truth,
    state_paths,
    tree_to_json,
)

__all__ = ["SearchReport", "reader_of", "search_report"]

EXACT = ("tiny-state", "exact")
"""Names of the oracle's states: as a similarity, and as they were named first."""


@dataclass(frozen=True, slots=True, eq=False)
class SearchReport:
    """A state graph with its measures."""

    problem_id: str
    question: str
    reader: str
    rollouts: int
    graph: StateGraph
    profile: SearchProfile
    returns_by_move: tuple[Estimate, ...]
    rejoining: dict[str, tuple[Estimate, tuple[Estimate, ...]]]
    """By chain id: over all rollouts that leave it, and by the step that they leave at."""
    truth: SearchTruth | None
    """Against the true search tree; None where it is not known."""

    def to_json(self) -> dict[str, Any]:
        """JSON values; the graph as node-link data."""
        return {
            "problem": self.problem_id,
            "states_by": self.reader,
            "rollouts": self.rollouts,
            "profile": asdict(self.profile),
            "returns_by_move": [one.to_json() for one in self.returns_by_move],
            "rejoining": {
                chain: {"all": every.to_json(), "by_step": [one.to_json() for one in each]}
                for chain, (every, each) in self.rejoining.items()
            },
            "truth": None if self.truth is None else asdict(self.truth),
            "graph": tree_to_json(self.graph),
        }

    def lines(self) -> list[str]:
        """The measures, a line each."""
        profile = self.profile
        moves = ", ".join(
            f"{idx}: {100 * one.value:.0f}%"
            for idx, one in enumerate(self.returns_by_move[:12], 1)
            if one.value is not None
        )
        found = [
            f"breadth by depth   {' '.join(map(str, profile.breadth))} (deepest {profile.depth})",
            f"moves a rollout    {format_estimate(profile.moves)}",
            f"states a rollout   {format_estimate(profile.distinct)}",
            f"rollouts that return  {format_estimate(profile.returning)}",
            f"moves that return  {format_estimate(profile.returns)}",
            f"returns at move    {moves or 'not enough rollouts from the prompt'}",
        ]
        found += [f"re-joining {chain}  {format_estimate(every)}" for chain, (every, _) in self.rejoining.items()]
        if self.truth is not None:
            truth = self.truth
            found += [
                f"true search tree   precision {truth.precision:.2f} ({truth.both} of {truth.found} states), "
                f"recall {truth.recall:.2f} ({truth.both} of {truth.true}), {truth.guesses} wrong guesses beside them",
                f"moves inside it    {format_estimate(truth.visits)}",
            ]
        return found


def search_report(
    run: Run,
    chains: Sequence[Chain],
    problem: Problem,
    *,
    states: str = "auto",
    scorer_id: str = "answers",
    condition: ConditionIds | None = None,
) -> SearchReport:
    """Build the state graph of one problem and measure it.

    Args:
        run: Where the rollouts are.
        chains: Chains of the problem.
        problem: The problem.
        states: Who reads the states: tiny-state (or exact), text, or a similarity (`embedder_by_name`); auto: exact
            where there is an oracle, else text.
        scorer_id: Whose verdicts count.
        condition: Settings and engine; None where the run holds rollouts of one pair only.

    Raises:
        UserError: There are no rollouts, several conditions, or no such reader.
    """
    reader = reader_of(states, problem)
    rollouts = said_by(run, chains, scorer_id=resolve_scorer(run, scorer_id), condition=condition)
    if not rollouts:
        raise UserError(f"problem {problem.name or problem.id} has no rollouts in {run.path}. Resample it first")
    # The chains are read with the rollouts: similar states are groups of everything that is said.
    own = [SaidRollout(chain.rollout_id, 0, (), tuple(s.text for s in chain.steps), "unjudged") for chain in chains]
    read = state_paths([*rollouts, *own], reader)
    paths, lines = read[: len(rollouts)], read[len(rollouts) :]
    graph = build_state_graph(
        paths, reader_id=reader.id, chain_states=[state for line in lines for state in line.states]
    )
    task = problem_from_question(problem.question)
    exact = isinstance(reader, TinyStates) and task is not None and task.family == "countdown"
    return SearchReport(
        problem_id=problem.id,
        question=problem.question,
        reader=reader.id,
        rollouts=len(paths),
        graph=graph,
        profile=search_profile(graph, paths),
        returns_by_move=returns_by_move(paths),
        rejoining={chain.id: rejoining(paths, line.states) for chain, line in zip(chains, lines, strict=True)},
        truth=search_truth(problem, paths) if exact else None,
    )


def reader_of(states: str, problem: Problem) -> StateReader:
    """The reader of that name for a problem.

    Raises:
        UserError: There is none, or the problem has no exact states.
    """
    if states in EXACT or (states == "auto" and problem_from_question(problem.question) is not None):
        return TinyStates(problem)
    if states in ("auto", "text"):
        return SaidStates()
    return SimilarStates(embedder_by_name(states, others=("auto", "text", *EXACT)))

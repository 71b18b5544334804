"""What rollouts say as states: the nodes of a state graph, where equal states are one however they were reached.

A reader says in which state a rollout is where it begins and after each of its sentences:

- `TinyStates`: the exact search state, read by the tiny reasoner's oracle;
- `SaidStates`: equal text is an equal state;
- `cotlab.measures.SimilarStates`: similar text is an equal state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from cotlab.chains.chain import Chain
from cotlab.chains.cutting import Cutter, get_cutter
from cotlab.chains.problem import Problem
from cotlab.chains.score import Outcome
from cotlab.errors import UserError
from cotlab.runs import Run
from cotlab.trees.conditions import ConditionIds
from cotlab.trees.passing import walk

__all__ = ["START", "SaidRollout", "SaidStates", "StatePath", "StateReader", "TinyStates", "said_by", "state_paths"]

START = "start"
"""State before anything is said, for readers that know no other."""


@dataclass(frozen=True, slots=True)
class SaidRollout:
    """A rollout as sentences."""

    rollout_id: str
    origin: int
    """Steps of its chain that were kept where it began."""
    kept: tuple[str, ...]
    """Those steps."""
    said: tuple[str, ...]
    """What it says after them, cut as its chain is."""
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class StatePath:
    """A rollout as states: where it begins, and where each sentence leads."""

    rollout_id: str
    origin: int
    outcome: Outcome
    states: tuple[str, ...]
    """One more than sentences: the first is the state that it begins in."""
    said: tuple[str, ...]
    """Sentence i leads from state i to state i + 1 (which may be the same)."""

    @property
    def moves(self) -> tuple[str, ...]:
        """States without those that a sentence leaves as they are."""
        return (self.states[0], *(after for before, after in pairwise(self.states) if after != before))


class StateReader(Protocol):
    """Says in which states rollouts of one problem are."""

    @property
    def id(self) -> str:
        """Name and version."""
        ...

    def read(self, rollouts: Sequence[SaidRollout]) -> list[tuple[str, ...]]:
        """For each rollout the state where it begins and after each sentence."""
        ...


class TinyStates:
    """Exact search states of a problem of the tiny reasoner.

    Args:
        problem: The problem that the rollouts are of.

    Raises:
        UserError: The problem is not one of the tiny reasoner's.
    """

    id = "tiny-oracle/1"

    def __init__(self, problem: Problem) -> None:
        from cotlab import tiny

        found = tiny.problem_from_question(problem.question)
        if found is None:
            raise UserError(
                f"problem {problem.name or problem.id} has no exact states: merge them by text or similarity"
            )
        self._problem = found
        self._root = tiny.parse_chain(found, "?")[0].state  # a sentence that no template fits leaves the first state

    def read(self, rollouts: Sequence[SaidRollout]) -> list[tuple[str, ...]]:
        """See `StateReader.read`. A sentence that the oracle does not know leaves the state as it was."""
        return [self._states(rollout) for rollout in rollouts]

    def _states(self, rollout: SaidRollout) -> tuple[str, ...]:
        from cotlab import tiny

        steps = (*rollout.kept, *rollout.said)
        labels = iter(tiny.parse_chain(self._problem, "".join(steps)))
        label, state, end, states = next(labels, None), self._root, 0, [self._root]
        for step in steps:
            end += len(step)
            while label is not None and label.end <= end:
                state, label = label.state, next(labels, None)
            states.append(state)
        return tuple(states[len(rollout.kept) :])


class SaidStates:
    """The last sentence is the state; white space aside, equal text is equal."""

    id = "exact-text/1"

    def read(self, rollouts: Sequence[SaidRollout]) -> list[tuple[str, ...]]:
        """See `StateReader.read`."""
        return [
            tuple(" ".join(text.split()) for text in (*(rollout.kept[-1:] or (START,)), *rollout.said))
            for rollout in rollouts
        ]


def said_by(
    run: Run, chains: Sequence[Chain], *, scorer_id: str, condition: ConditionIds | None = None
) -> list[SaidRollout]:
    """Baseline rollouts of one problem as sentences, each once, whichever chain it was begun on.

    Args:
        run: Where they are.
        chains: Chains of one problem, with one cutter.
        scorer_id: Whose verdicts count.
        condition: Settings and engine; None where the run holds rollouts of one pair only.

    Raises:
        UserError: What `chain_draws` raises, or the chains are cut into tokens or differently.
    """
    if len({chain.problem_id for chain in chains}) > 1 or len({chain.cutter_id for chain in chains}) > 1:
        raise UserError("a state graph is of one problem, and of chains that were cut alike. Name one problem")
    found: dict[str, SaidRollout] = {}
    for chain in chains:
        cutter = get_cutter(chain.cutter_id)
        if cutter.rule is None:
            raise UserError(f"cutter {cutter.id} cuts tokens: states are of sentences, so resample with another cutter")
        for passage, rollout in walk(run, chain, scorer_id=scorer_id, condition=condition):
            if rollout.id not in found:
                kept = tuple(step.text for step in chain.steps[: passage.origin])
                said = _cut(cutter, rollout.text)
                found[rollout.id] = SaidRollout(rollout.id, passage.origin, kept, said, passage.outcome)
    return list(found.values())


def state_paths(rollouts: Sequence[SaidRollout], reader: StateReader) -> list[StatePath]:
    """Rollouts as paths through states."""
    return [
        StatePath(rollout.rollout_id, rollout.origin, rollout.outcome, states, rollout.said)
        for rollout, states in zip(rollouts, reader.read(rollouts), strict=True)
    ]


def _cut(cutter: Cutter, text: str) -> tuple[str, ...]:
    return tuple(text[start:end] for start, end in pairwise((0, *cutter.cut_text(text))))

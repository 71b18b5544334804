"""When two sentences say the same: pairwise similarity, and the threshold from which on they are alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.problem import Problem
from cotlab.errors import UserError
from cotlab.trees.grouping import GroupBy, by_tiny_state

__all__ = [
    "SIMILARITIES",
    "ExactKey",
    "ExactState",
    "ExactText",
    "Similarity",
    "alike",
    "comparable_anywhere",
    "in_place",
    "load_similarity",
    "similarity_maker",
]

FloatArray = NDArray[np.float64]


@runtime_checkable
class Similarity(Protocol):
    """Pairwise similarity of sentences, with the threshold that belongs to it."""

    @property
    def id(self) -> str:
        """Name and version: `exact-text/1`."""
        ...

    @property
    def threshold(self) -> float:
        """Sentences at least this similar are alike; calibrated for this similarity, not portable to another."""
        ...

    def __call__(self, left: Sequence[str], right: Sequence[str]) -> FloatArray:
        """Similarity of every pair, shape (len(left), len(right)), 1 for equal sentences."""
        ...


class ExactKey:
    """Sentences are alike where a key of them is equal."""

    threshold = 0.5

    def __init__(self, name: str, key: Callable[[str], str]) -> None:
        self.id = name
        self._key = key

    def __call__(self, left: Sequence[str], right: Sequence[str]) -> FloatArray:
        """1 where the keys are equal, else 0; shape (len(left), len(right))."""
        codes: dict[str, int] = {}
        rows, columns = (
            np.array([codes.setdefault(self._key(text), len(codes)) for text in side], dtype=np.int64)
            for side in (left, right)
        )
        return np.equal.outer(rows, columns).astype(np.float64)


class ExactText(ExactKey):
    """Sentences are alike where their words are equal, white space aside."""

    def __init__(self) -> None:
        super().__init__("exact-text/1", lambda text: " ".join(text.split()))


class ExactState:
    """Sentences are alike where they lead to the same state from the same place, read by an exact oracle.

    What a sentence leads to depends on what was said before it: measures that compare sentences in the place of a step
    ask for `after(kept)`.
    """

    threshold = 0.5

    def __init__(self, state_of: GroupBy, kept: str = "", name: str = "exact-state/1") -> None:
        """Compare by state.

        Args:
            state_of: `state_of(kept, sentence)`, as `by_tiny_state(problem)` gives it.
            kept: The response before the sentences.
            name: Id of the similarity.
        """
        self.id = name
        self._state_of, self._kept = state_of, kept

    def after(self, kept: str) -> ExactState:
        """The same for sentences that follow `kept`."""
        return ExactState(self._state_of, kept, self.id)

    def __call__(self, left: Sequence[str], right: Sequence[str]) -> FloatArray:
        """1 where the states are equal, else 0; shape (len(left), len(right))."""
        return ExactKey(self.id, lambda sentence: self._state_of(self._kept, sentence))(left, right)


@runtime_checkable
class InPlace(Protocol):
    """A similarity that depends on what was said before the sentences."""

    def after(self, kept: str) -> Similarity:
        """The same for sentences that follow `kept`."""
        ...


def in_place(similarity: Similarity, kept: str) -> Similarity:
    """The similarity for sentences that follow `kept`, where that makes a difference to it."""
    return similarity.after(kept) if isinstance(similarity, InPlace) else similarity


def comparable_anywhere(similarity: Similarity) -> Similarity:
    """The same, for measures that compare sentences of different places.

    Raises:
        UserError: It compares sentences of one place only, as exact states do.
    """
    if isinstance(similarity, InPlace):
        raise UserError(
            f"similarity '{similarity.id}' compares sentences of one place, and these stand in different places. "
            "Choose text, chars, minilm or hidden:FOLDER"
        )
    return similarity


SIMILARITIES: dict[str, Callable[[Problem], Similarity]] = {
    "text": lambda problem: ExactText(),
    "tiny-state": lambda problem: ExactState(by_tiny_state(problem)),
}
"""Similarities by the names that the command line takes; made for the problem of a chain."""


def similarity_maker(name: str) -> Callable[[Problem], Similarity]:
    """What makes the similarity of that name for one problem after another; a model is loaded once for all of them.

    Raises:
        UserError: There is none, or what it needs is not installed.
    """
    if name in SIMILARITIES:
        return SIMILARITIES[name]
    from cotlab.measures.embedders import embedder_by_name

    embedder = embedder_by_name(name, others=tuple(SIMILARITIES))
    return lambda problem: embedder


def load_similarity(name: str, problem: Problem) -> Similarity:
    """The similarity of that name, for a problem.

    Raises:
        UserError: There is none, or it does not fit the problem.
    """
    return similarity_maker(name)(problem)


def alike(similarity: Similarity, left: Sequence[str], right: Sequence[str]) -> NDArray[np.bool_]:
    """Which pairs are alike, shape (len(left), len(right)). Each different sentence is looked at once."""
    if not left or not right:
        return np.zeros((len(left), len(right)), dtype=bool)
    rows, columns = list(dict.fromkeys(left)), list(dict.fromkeys(right))
    found = np.asarray(similarity(rows, columns)) >= similarity.threshold
    if found.shape != (len(rows), len(columns)):
        raise ValueError(f"similarity {similarity.id} gave shape {found.shape}, expected ({len(rows)}, {len(columns)})")
    row_of = {text: i for i, text in enumerate(rows)}
    column_of = {text: i for i, text in enumerate(columns)}
    pairs: NDArray[np.bool_] = found[np.ix_([row_of[text] for text in left], [column_of[text] for text in right])]
    return pairs

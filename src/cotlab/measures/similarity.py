"""When two sentences say the same: pairwise similarity, and the threshold from which on they are alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["ExactKey", "ExactText", "Similarity", "alike", "exact_state"]

FloatArray = NDArray[np.float64]


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


def exact_state(state_of: Callable[[str], str], name: str = "exact-state/1") -> ExactKey:
    """Sentences are alike where they lead to the same state.

    Args:
        state_of: State after a sentence; equal texts that lead to the same state of a search (`by_tiny_state` with what
            was kept before them, or the state of a Markov spec) give equal strings.
        name: Id of the similarity.
    """
    return ExactKey(name, state_of)


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

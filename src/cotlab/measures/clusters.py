"""States recovered by similarity: sentences that are alike lead to the same state; and how good that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from cotlab.measures.similarity import Similarity
from cotlab.trees import START, SaidRollout

__all__ = ["Recovery", "SimilarStates", "best_threshold", "recovery", "similar_groups"]

_BLOCK = 512


class SimilarStates:
    """A `StateReader` for chains without an oracle: the state is the group of sentences that the last one is alike to.

    Groups have a leader: from the most frequent sentence on, each joins the first leader that it is alike to, or leads
    a group of its own. (Chaining, as in single linkage, would join what is not alike.) The state is its leader's text.
    """

    def __init__(self, similarity: Similarity) -> None:
        self.similarity = similarity
        self.id = f"similar:{similarity.id}"

    def read(self, rollouts: Sequence[SaidRollout]) -> list[tuple[str, ...]]:
        """See `StateReader.read`."""
        counts = Counter(_plain(text) for rollout in rollouts for text in (*rollout.kept[-1:], *rollout.said))
        leader = self.leaders(list(dict(counts.most_common())))
        return [
            (
                leader[_plain(rollout.kept[-1])] if rollout.kept else START,
                *(leader[_plain(text)] for text in rollout.said),
            )
            for rollout in rollouts
        ]

    def leaders(self, texts: Sequence[str]) -> dict[str, str]:
        """The leader of each of different texts, which come in order of precedence."""
        leaders: list[str] = []
        found: dict[str, str] = {}
        for start in range(0, len(texts), _BLOCK):
            block = texts[start : start + _BLOCK]
            old = self.similarity(block, leaders) if leaders else np.zeros((len(block), 0))
            among = self.similarity(block, block)
            fresh: list[int] = []
            for row, text in enumerate(block):
                alike = np.flatnonzero(old[row] >= self.similarity.threshold)
                near = [place for place in fresh if among[row, place] >= self.similarity.threshold]
                if len(alike):
                    found[text] = leaders[int(alike[0])]
                elif near:
                    found[text] = block[near[0]]
                else:
                    found[text] = text
                    fresh.append(row)
            leaders += [block[place] for place in fresh]
        return found


def similar_groups(similarity: Similarity, texts: Sequence[str]) -> dict[str, str]:
    """The leader of each text's group of alike ones, as in `SimilarStates`; the most frequent texts lead."""
    return SimilarStates(similarity).leaders([text for text, _ in Counter(texts).most_common()])


@dataclass(frozen=True, slots=True)
class Recovery:
    """How well one partition of things agrees with the true one, over all pairs of things."""

    precision: float | None
    """Of pairs that are put together, the share that belongs together; None where no pair is put together."""
    recall: float | None
    """Of pairs that belong together, the share that is put together; None where none belongs together."""
    rand: float
    """Adjusted Rand index (Hubert and Arabie 1985): 1 for equal partitions, 0 on average by chance."""
    n: int
    """Things."""


def recovery(true: Sequence[Hashable], found: Sequence[Hashable]) -> Recovery:
    """Compare two partitions of the same things, each given as a label a thing.

    Raises:
        ValueError: There are different numbers of labels.
    """
    if len(true) != len(found):
        raise ValueError(f"{len(true)} true labels and {len(found)} found ones, expected as many")
    both = _pairs(Counter(zip(true, found, strict=True)))
    real, put, all_pairs = _pairs(Counter(true)), _pairs(Counter(found)), len(true) * (len(true) - 1) / 2
    chance = real * put / all_pairs if all_pairs else 0.0
    most = (real + put) / 2
    return Recovery(
        precision=both / put if put else None,
        recall=both / real if real else None,
        rand=(both - chance) / (most - chance) if most > chance else 1.0,
        n=len(true),
    )


def best_threshold(cosines: Sequence[float], same: Sequence[bool]) -> tuple[float, float]:
    """The threshold with the largest Youden's J (share of same pairs at or above it less that of different ones).

    Returns:
        Threshold and J; the threshold lies halfway to the next smaller cosine.

    Raises:
        ValueError: All pairs are the same, or none is.
    """
    value, truth = np.asarray(cosines, dtype=float), np.asarray(same, dtype=bool)
    if truth.all() or not truth.any():
        raise ValueError("a threshold needs pairs that are the same and pairs that are not")
    order = np.argsort(-value, kind="stable")
    value, truth = value[order], truth[order]
    gain = np.cumsum(truth) / truth.sum() - np.cumsum(~truth) / (~truth).sum()
    gain[:-1][value[:-1] == value[1:]] = -np.inf  # equal cosines are on one side
    at = int(np.argmax(gain))
    below = value[at + 1] if at + 1 < len(value) else value[at]
    return float((value[at] + below) / 2), float(gain[at])


def _pairs(counts: Counter[Hashable]) -> float:
    return float(sum(n * (n - 1) / 2 for n in counts.values()))


def _plain(text: str) -> str:
    return " ".join(text.split())

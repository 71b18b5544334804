"""Sentence to sentence: how much saying one step raises the chance that a later one is said.

    importance(S_i → S_j) = match-rate(S_j in R_{i+1}) − match-rate(S_j in R_i)

A rollout matches S_j where its most similar sentence is alike (Bogdan et al. 2025, "Thought Anchors", §2.4;
`step_attribution.py` of their repository, with cosine ≥ 0.7). Rollouts through both prefixes say S_i themselves; what
they say after it counts for both, so that the two rates differ only by the others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cotlab.measures.along_chain import ChainRollouts
from cotlab.measures.similarity import ExactText, Similarity, alike, comparable_anywhere
from cotlab.stats import Estimate, FdrRule, difference_estimate, with_q
from cotlab.trees import MIN_ROLLOUTS

__all__ = ["SentenceImportance", "sentence_importance"]


@dataclass(frozen=True, slots=True)
class SentenceImportance:
    """Effect of one step on the chance that a later one is said."""

    source: int
    target: int
    estimate: Estimate


def sentence_importance(
    data: ChainRollouts,
    similarity: Similarity | None = None,
    *,
    level: float = 0.95,
    min_n: int = MIN_ROLLOUTS,
    fdr: FdrRule = "bh",
) -> tuple[SentenceImportance, ...]:
    """Importance of every step for every later one.

    Args:
        data: Rollouts along a chain with ALL their steps (`chain_rollouts(depth=None)`).
        similarity: Tells whether two sentences say the same; default: equal texts.
        level: Nominal coverage.
        min_n: Smallest number of rollouts of either prefix.
        fdr: How p is adjusted, over all pairs of the chain.

    Returns:
        One for each source (a sampled position whose next position is sampled) and each later step.

    Raises:
        UserError: The similarity compares sentences of one place only.
    """
    similar = comparable_anywhere(similarity or ExactText())
    said, n_steps = _Said(data, similar), len(data.steps)
    rates = {i: _rates(said, i, n_steps) for i, after in data.pairs() if after == i + 1}
    pairs = [(i, j) for i in rates for j in range(i + 1, n_steps)]
    found = [rates[i].estimate(j, level, min_n) for i, j in pairs]
    found = [replace(one, method=f"{one.method}, {similar.id}") for one in found]
    return tuple(SentenceImportance(i, j, e) for (i, j), e in zip(pairs, with_q(found, fdr), strict=True))


class _Said:
    """Which rollouts say which steps of the chain, sentences compared once each."""

    def __init__(self, data: ChainRollouts, similarity: Similarity) -> None:
        self._data = data
        texts = list(dict.fromkeys(text for path in data.paths for text in path.steps))
        row = {text: i for i, text in enumerate(texts)}
        self._own = alike(similarity, data.steps, data.steps)
        spoken = alike(similarity, texts, data.steps)
        # Matches among the steps after leaving the chain, once a rollout.
        self._later = {path.passage.rollout_id: _any(spoken[[row[text] for text in path.steps]]) for path in data.paths}

    def at(self, k: int) -> dict[str, NDArray[np.bool_]]:
        """Whether each rollout of R_k says something like each step of the chain, from position k on."""
        ends = {path.passage.last for path in self._data.members(k)}
        own = {end: _any(self._own[k:end]) for end in ends}
        return {
            path.passage.rollout_id: self._later[path.passage.rollout_id] | own[path.passage.last]
            for path in self._data.members(k)
        }


@dataclass(frozen=True, slots=True)
class _Rates:
    """Matches before and after a step; all arrays are [steps of the chain]."""

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    shared: NDArray[np.int64]
    n_before: int
    n_after: int
    n_shared: int

    def estimate(self, j: int, level: float, min_n: int) -> Estimate:
        return difference_estimate(
            int(self.before[j]),
            self.n_before,
            int(self.after[j]),
            self.n_after,
            k_shared=int(self.shared[j]),
            n_shared=self.n_shared,
            level=level,
            min_n=min_n,
        )


def _rates(said: _Said, i: int, n_steps: int) -> _Rates:
    before, after = said.at(i), said.at(i + 1)
    both = before.keys() & after.keys()
    before |= {rollout: after[rollout] for rollout in both}
    none = np.zeros(n_steps, dtype=np.int64)
    counted: list[NDArray[np.int64]] = []
    for flags, members in ((before, before.keys()), (after, after.keys()), (after, both)):
        counted.append(np.stack([none, *(flags[rollout] for rollout in members)]).sum(axis=0))
    return _Rates(counted[0], counted[1], counted[2], len(before), len(after), len(both))


def _any(rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.any(rows, axis=0)
    return found

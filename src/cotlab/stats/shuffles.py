"""Labels shuffled, and how often an analysis of them finds something where there is nothing."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotlab.stats.proportion import clopper_pearson

__all__ = ["NullRate", "block_shuffles", "null_rate", "shuffled_within"]

FEWEST = 100
"""Shuffles that a published rate stands on: of 100 that find nothing, the exact 95% interval ends at 3.6%."""


@dataclass(frozen=True, slots=True)
class NullRate:
    """Share of shuffled analyses that found something, with its exact binomial interval."""

    analysis: str
    """What was shuffled, and what counted as finding something."""
    value: float
    low: float
    high: float
    found: int
    n: int
    """Shuffles."""
    level: float
    allowed: float
    """Rate that the analysis promises to keep."""

    @property
    def keeps(self) -> bool:
        """Whether the rate is not told to be above the one allowed: the lower end does not lie above it."""
        return self.low <= self.allowed


def null_rate(
    finds: Callable[[np.random.Generator], bool],
    *,
    analysis: str,
    shuffles: int = FEWEST,
    allowed: float = 0.05,
    level: float = 0.95,
    seed: int = 0,
) -> NullRate:
    """Run an analysis on shuffled labels, and count how often it finds something.

    Args:
        finds: Shuffles with the generator that it is given, analyses, and says whether there was anything to find. It
            must be the analysis of the real labels, its correction for many tests included.
        analysis: What is shuffled and what counts, in a sentence.
        shuffles: How many.
        allowed: Rate that the analysis promises.
        level: Coverage of the interval (Clopper and Pearson 1934).
        seed: Equal seeds give equal shuffles.

    Raises:
        ValueError: Fewer than one shuffle.
    """
    if shuffles < 1:
        raise ValueError(f"{shuffles} shuffles, at least 1 is needed")
    generators = np.random.default_rng(seed).spawn(shuffles)
    found = sum(bool(finds(rng)) for rng in generators)
    low, high = clopper_pearson(found, shuffles, level)
    return NullRate(analysis, found / shuffles, float(low), float(high), found, shuffles, level, allowed)


def shuffled_within(groups: Sequence[Hashable], rng: np.random.Generator) -> NDArray[np.intp]:
    """A random order that moves members within their group only (labels within problems, say).

    Returns:
        Indices, shape [members]: `labels[shuffled_within(problems, rng)]`.
    """
    index: dict[Hashable, list[int]] = {}
    for place, group in enumerate(groups):
        index.setdefault(group, []).append(place)
    order = np.arange(len(groups), dtype=np.intp)
    for places in index.values():
        order[places] = rng.permutation(places)
    return order


def block_shuffles(
    labels: ArrayLike, clusters: ArrayLike, blocks: ArrayLike, n: int, rng: np.random.Generator
) -> Iterator[NDArray[np.bool_]]:
    """Labels of steps as they might as well have been, where the steps of a block (a rollout) are alike.

    Where labels are the same all along every block, those of whole blocks are exchanged within clusters; else the
    labels of each block are moved along it, around its end.

    Args:
        labels: [members].
        clusters: [members], the cluster (problem) of each.
        blocks: [members], the block of each, members of a block in their order.
        n: How many.
        rng: Of the shuffles.

    Yields:
        Labels [members], n times; nothing where no shuffle can change any.
    """
    positive = np.asarray(labels).astype(bool)
    block = np.unique(np.asarray(blocks), return_inverse=True)[1]
    size, order = np.bincount(block), np.argsort(block, kind="stable")
    start = np.cumsum(size) - size
    of, sorted_labels = block[order], positive[order]
    shuffled = np.empty_like(positive)
    if (np.bincount(block, weights=positive) % size).any():
        within = np.arange(len(positive)) - start[of]
        for _ in range(n):
            shift = rng.integers(0, size)
            shuffled[order] = sorted_labels[start[of] + (within + shift[of]) % size[of]]
            yield shuffled.copy()
        return
    cluster = np.unique(np.asarray(clusters), return_inverse=True)[1][order[start]]
    own = sorted_labels[start]
    share = np.bincount(cluster, weights=own) / np.bincount(cluster)
    if not ((share > 0) & (share < 1)).any():
        return
    by_cluster = np.argsort(cluster, kind="stable")
    for _ in range(n):
        mixed_up, exchanged = rng.permutation(len(size)), np.empty_like(own)
        exchanged[by_cluster] = own[mixed_up[np.argsort(cluster[mixed_up], kind="stable")]]
        shuffled[order] = exchanged[of]
        yield shuffled.copy()

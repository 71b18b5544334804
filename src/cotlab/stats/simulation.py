"""Studies simulated from known values: do intervals cover, are discoveries true?

A simulated chain has a value at each prefix. A rollout begun at a prefix says the next step of the chain with
probability `pass_rate` and so passes through the next prefix, and so on; where it leaves the chain it is right with
the probability that makes every prefix's value what it should be: V_i = r·V_{i+1} + (1 − r)·W_i.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotlab.stats.difference import newcombe
from cotlab.stats.permutation import exchange_null
from cotlab.stats.proportion import FloatArray, IntervalRule, wilson

__all__ = [
    "Coverage",
    "StepCounts",
    "difference_coverage",
    "false_discovery_proportion",
    "simulate_chains",
    "value_coverage",
]

IntArray: TypeAlias = NDArray[np.int64]
Adjust: TypeAlias = Callable[[FloatArray], FloatArray]
"""p values [studies, tests] to q values of the same shape."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often intervals held the truth, and how wide they were, cell by cell of a grid."""

    covered: FloatArray
    width: FloatArray

    @property
    def mean(self) -> float:
        """Coverage averaged over the grid."""
        return float(self.covered.mean())


@dataclass(frozen=True, slots=True)
class StepCounts:
    """Counts of the two samples at each step of each simulated chain; every array is [studies, steps]."""

    k1: IntArray
    """Successes among rollouts through the prefix before the step."""
    n1: IntArray
    k2: IntArray
    """Successes among rollouts through the prefix after the step."""
    n2: IntArray
    k_shared: IntArray
    """Successes among rollouts through both."""
    n_shared: IntArray

    def p_values(self) -> FloatArray:
        """Exact exchange p of each step."""
        fields = (self.k1, self.n1, self.k2, self.n2, self.k_shared, self.n_shared)
        rows, where = np.unique(np.stack([x.ravel() for x in fields], axis=1), axis=0, return_inverse=True)
        p = np.array([exchange_null(*row[:4], k_shared=row[4], n_shared=row[5]).p for row in rows.tolist()])
        return p[where.ravel()].reshape(self.k1.shape)


def value_coverage(
    values: Sequence[float], sizes: Sequence[int], *, studies: int, rule: IntervalRule = wilson, seed: int = 0
) -> Coverage:
    """Coverage of a value's interval on the grid values × sizes; arrays are [values, sizes]."""
    truth, n = np.asarray(values)[:, None], np.asarray(sizes)[None, :]
    k = np.random.default_rng(seed).binomial(n, truth, size=(studies, len(values), len(sizes)))
    return _coverage(rule(k, n, 0.95), truth)


def difference_coverage(
    values: Sequence[float],
    sizes: Sequence[int],
    *,
    studies: int,
    pass_rate: float = 0.0,
    rule: IntervalRule = wilson,
    seed: int = 0,
) -> Coverage:
    """Coverage of the interval of ΔV on the grid values × values × sizes (each of the two prefixes has that many).

    Cells that no chain with this `pass_rate` can have (the rollouts that leave would need a value outside [0, 1])
    are NaN in both arrays.
    """
    shape = (len(values), len(values), len(sizes))
    covered, width = np.full(shape, np.nan), np.full(shape, np.nan)
    rng = np.random.default_rng(seed)
    for i, j, size in np.ndindex(shape):
        pair = (values[i], values[j])
        if not _possible(pair, pass_rate):
            continue
        counts = simulate_chains(pair, sizes[size], studies=studies, pass_rate=pass_rate, rng=rng)
        interval = newcombe(counts.k1, counts.n1, counts.k2, counts.n2, n_shared=counts.n_shared, rule=rule)
        cell = _coverage(interval, np.asarray(pair[1] - pair[0]))
        covered[i, j, size], width[i, j, size] = cell.covered.item(), cell.width.item()
    return Coverage(covered, width)


def simulate_chains(
    values: Sequence[float], n: int, *, studies: int, rng: np.random.Generator, pass_rate: float = 0.0
) -> StepCounts:
    """Draw `n` rollouts from each prefix of a chain with these values, in each of `studies` studies.

    Raises:
        ValueError: No chain has these values at this `pass_rate`.
    """
    if not _possible(values, pass_rate):
        raise ValueError(f"values {list(values)} cannot be had with pass_rate {pass_rate}: take a smaller one")
    v, last = np.asarray(values, dtype=float), len(values) - 1
    leaving = np.append((v[:-1] - pass_rate * v[1:]) / (1 - pass_rate), v[-1])
    origin = np.arange(len(v))[None, :, None]
    leave = np.minimum(origin + rng.geometric(1 - pass_rate, size=(studies, len(v), n)) - 1, last)
    right = rng.random(leave.shape) < np.clip(leaving, 0, 1)[leave]
    begun = np.broadcast_to(origin, leave.shape)
    columns = []
    for step in range(last):
        before, after = (begun <= step) & (leave >= step), (begun <= step + 1) & (leave > step)
        groups = [part & hit for part in (before, after, before & after) for hit in (right, np.True_)]
        columns.append([group.sum(axis=(1, 2)) for group in groups])
    return StepCounts(*(np.stack(column, axis=1) for column in zip(*columns, strict=True)))


def false_discovery_proportion(p: FloatArray, null: ArrayLike, adjust: Adjust, alpha: float = 0.05) -> FloatArray:
    """Share of null steps among the discoveries (q ≤ alpha) of each study; 0 where nothing is discovered.

    Args:
        p: p values, [studies, steps].
        null: Which steps have nothing to find, [steps].
        adjust: p to q, family by family.
        alpha: Level.

    Returns:
        One proportion a study.
    """
    found = adjust(p) <= alpha
    false = (found & np.asarray(null, dtype=bool)).sum(axis=1)
    share: FloatArray = false / np.maximum(found.sum(axis=1), 1)
    return share


def _possible(values: Sequence[float], pass_rate: float) -> bool:
    v = np.asarray(values, dtype=float)
    leaving = v[:-1] - pass_rate * v[1:]
    return 0 <= pass_rate < 1 and bool(((leaving > -1e-12) & (leaving < 1 - pass_rate + 1e-12)).all())


def _coverage(interval: tuple[FloatArray, FloatArray], truth: FloatArray) -> Coverage:
    """Average over the first axis, the studies. Ends that touch the truth hold it, rounding aside."""
    low, high = interval
    return Coverage(((low <= truth + 1e-12) & (truth <= high + 1e-12)).mean(axis=0), (high - low).mean(axis=0))

"""Where counts change along positions: the segmentation of least penalised multinomial cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["segments"]

FloatArray = NDArray[np.float64]


def segments(counts: ArrayLike, *, penalty: float | None = None, least: int = 1) -> tuple[tuple[int, int], ...]:
    """Cut positions into segments of one distribution each (PELT: Killick, Fearnhead and Eckley 2012).

    The cost of a segment is −Σ_k n_k log(n_k / n), twice which falls short of the truth by a χ² of (categories − 1)
    degrees of freedom; each change adds `penalty`. The minimum over all segmentations is exact: starts that can never
    again be best are dropped on the way, which changes nothing.

    Args:
        counts: Draws of each category, shape [positions, categories]; rows of zeros go with their neighbours.
        penalty: Cost of a change, nats. Default: half of log(draws) for each free chance of the categories that occur,
            and log(positions) for the place of the change.
        least: Shortest segment.

    Returns:
        (start, end) of each segment, in order, `end` exclusive.

    Raises:
        ValueError: `counts` is no table, or empty.
    """
    table = np.asarray(counts, dtype=float)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"counts have shape {table.shape}, expected [positions, categories], not empty")
    n = len(table)
    if penalty is None:
        used = int((table.sum(axis=0) > 0).sum())
        penalty = 0.5 * max(used - 1, 1) * np.log(max(table.sum(), 2.0)) + np.log(n)
    total = np.concatenate([np.zeros((1, table.shape[1])), np.cumsum(table, axis=0)])
    best, came = np.full(n + 1, np.inf), np.zeros(n + 1, dtype=np.intp)
    best[0] = -penalty
    starts = np.array([0])
    for end in range(least, n + 1):
        open_starts = starts[starts <= end - least]
        cost = best[open_starts] + _cost(total[end] - total[open_starts])
        at = int(cost.argmin())
        best[end], came[end] = cost[at] + penalty, open_starts[at]
        kept = open_starts[cost <= best[end]]
        starts = np.concatenate([kept, starts[starts > end - least], [end]])
    found = []
    while n:
        found.append((int(came[n]), n))
        n = int(came[n])
    return tuple(reversed(found))


def _cost(counts: FloatArray) -> FloatArray:
    """−Σ n_k log(n_k / n) of each row."""
    from scipy.special import xlogy

    return np.asarray(xlogy(counts.sum(axis=-1), counts.sum(axis=-1)) - xlogy(counts, counts).sum(axis=-1))

"""Rank correlation of two scores of the same members, with clusters that are drawn again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotlab.stats.bootstrap import expanded_tail
from cotlab.stats.estimate import Estimate

__all__ = ["rank_correlation"]

_METHOD = "spearman, cluster-bootstrap"


def rank_correlation(
    first: ArrayLike,
    second: ArrayLike,
    clusters: Sequence[Hashable],
    *,
    strata: Sequence[Hashable] | None = None,
    level: float = 0.95,
    n_boot: int = 2_000,
    n_null: int = 1_000,
    min_clusters: int = 5,
    seed: int = 0,
) -> Estimate:
    """Spearman's ρ of two scores.

    Args:
        first: [members].
        second: [members].
        clusters: What is drawn again for the interval: members of one cluster are not independent.
        strata: The null exchanges members of one stratum only, so that what a stratum decides (how far two steps are
            apart) counts as nothing found; default: one stratum.
        level: Nominal coverage.
        n_boot: Bootstrap samples.
        n_null: Permutations; p = (1 + number at least as far from the null's mean) / (1 + n_null).
        min_clusters: Fewer clusters than this give a reason, not a number.
        seed: Equal seeds give equal intervals.

    Raises:
        ValueError: The lengths differ, or a score is not finite.
    """
    x, y = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if not x.shape == y.shape == (len(clusters),):
        raise ValueError(f"scores have shapes {x.shape} and {y.shape} for {len(clusters)} cluster labels")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("scores must be finite: leave missing ones out")
    members = _grouped(clusters)
    if len(members) < max(2, min_clusters):
        reason = f"{len(members)} clusters, at least {max(2, min_clusters)} are needed"
        return Estimate.missing(reason, method=_METHOD, n=len(x))
    value = _spearman(x, y)
    if np.isnan(value):
        return Estimate.missing("one of the two scores is the same everywhere", method=_METHOD, n=len(x))
    rng = np.random.default_rng(seed)
    drawn = [np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))]) for _ in range(n_boot)]
    tail = expanded_tail(len(members), level)
    low, high = np.nanquantile([_spearman(x[rows], y[rows]) for rows in drawn], [tail, 1 - tail])
    null = _null(x, y, _grouped(strata or [0] * len(x)), n_null, rng)
    middle = float(null.mean()) if n_null else 0.0
    return Estimate(
        value,
        float(low),
        float(high),
        n=len(x),
        level=level,
        null_mean=middle if n_null else None,
        null_q95=float(np.quantile(np.abs(null), 0.95)) if n_null else None,
        p=float((1 + (np.abs(null - middle) >= abs(value - middle) - 1e-12).sum()) / (1 + n_null)) if n_null else None,
        method=_METHOD,
    )


def _spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    from scipy.stats import rankdata

    ranks = [rankdata(side) - (len(side) + 1) / 2 for side in (x, y)]
    size = float(np.linalg.norm(ranks[0]) * np.linalg.norm(ranks[1]))
    return float(ranks[0] @ ranks[1]) / size if size else float("nan")


def _grouped(labels: Sequence[Hashable]) -> list[NDArray[np.intp]]:
    """Members of each label."""
    index: dict[Hashable, list[int]] = {}
    for i, label in enumerate(labels):
        index.setdefault(label, []).append(i)
    return [np.array(rows, dtype=np.intp) for rows in index.values()]


def _null(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    strata: Sequence[NDArray[np.intp]],
    n_null: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    found = np.empty(n_null)
    for i in range(n_null):
        shuffled = y.copy()
        for rows in strata:
            shuffled[rows] = y[rng.permutation(rows)]
        found[i] = _spearman(x, shuffled)
    return found

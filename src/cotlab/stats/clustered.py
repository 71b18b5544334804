"""A proportion of members that come in clusters (rollouts of a problem), with an interval that holds near 0 and 1.

A bootstrap of clusters says "exactly 0" where none of them has a success. This is Wilson's interval at the effective
size n / deff, with deff the variance of the ratio Σk/Σm over clusters in units of the binomial one, and a t quantile
for few clusters (Dean and Pagano 2015; Korn and Graubard 1998). deff is at least 1 where members succeed or fail;
members that are shares themselves (of rollouts of a chain) vary less than that and may have less. At 0 and 1, and where
all clusters agree to the last digit, clusters say nothing of deff: the effective size is then their number.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from cotlab.stats.estimate import Estimate
from cotlab.stats.proportion import wilson

__all__ = ["cluster_proportion", "holm"]

_METHOD = "clustered wilson"
_AGREE = 1e-12
"""Variance below which clusters are taken to agree wholly (what is left of rounding)."""


def cluster_proportion(
    successes: ArrayLike, clusters: Sequence[Hashable], *, level: float = 0.95, min_clusters: int = 5
) -> Estimate:
    """Share of members that succeed, or mean of shares.

    Args:
        successes: [members], true or 1 for a success; or shares, in [0, 1].
        clusters: The cluster of each member.
        level: Nominal coverage.
        min_clusters: Fewer clusters than this give a reason, not a number.

    Raises:
        ValueError: Shapes differ, or a value is not in [0, 1].
    """
    from scipy.special import ndtri
    from scipy.stats import t

    right = np.asarray(successes).astype(float)
    if right.shape != (len(clusters),):
        raise ValueError(f"successes have shape {right.shape}, expected ({len(clusters)},), one for each cluster label")
    if not ((right >= 0) & (right <= 1)).all():
        raise ValueError("successes must be in [0, 1]")
    index: dict[Hashable, int] = {}
    label = np.array([index.setdefault(cluster, len(index)) for cluster in clusters], dtype=np.intp)
    c, n = len(index), len(right)
    if c < max(min_clusters, 2):
        return Estimate.missing(f"{c} clusters, at least {max(min_clusters, 2)} are needed", method=_METHOD, n=n)
    share = float(right.mean())
    k, m = np.bincount(label, weights=right), np.bincount(label).astype(float)
    variance = c / (c - 1) * float(((k - share * m) ** 2).sum()) / n**2
    if share in (0.0, 1.0) or variance < _AGREE:
        effective = float(c)
    else:
        deff = variance / (share * (1 - share) / n)
        deff = max(1.0, deff) if np.isin(right, (0, 1)).all() else deff
        shrink = (float(ndtri(0.5 + level / 2)) / float(t.ppf(0.5 + level / 2, c - 1))) ** 2
        effective = n / deff * shrink
    low, high = wilson(share * effective, effective, level)
    return Estimate(share, float(low), float(high), n=n, level=level, method=_METHOD)


def holm(p: Sequence[float]) -> list[float]:
    """P values adjusted so that the chance of any false finding stays at the level (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    adjusted, most = np.empty(len(p)), 0.0
    for rank, i in enumerate(order):
        most = max(most, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = most
    return [float(value) for value in adjusted]

"""Means over clusters: rollouts of one problem are alike, so problems are what is drawn again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotlab.stats.estimate import Estimate
from cotlab.stats.proportion import agree, agreed_interval

__all__ = ["cluster_mean", "expanded_tail", "percentile_p"]

_METHOD = "cluster-bootstrap"
_SCORE = "score interval"
_ROUNDED = 1e-12
"""What rounding may put values out of their ends by."""
_BLOCK = 500
"""Draws that are made at once."""


def cluster_mean(
    values: ArrayLike,
    clusters: Sequence[Hashable],
    *,
    level: float = 0.95,
    n_boot: int = 10_000,
    min_clusters: int = 5,
    within: tuple[float, float] | None = None,
    seed: int = 0,
) -> Estimate:
    """Mean of all values, with an interval from drawing whole clusters again.

    The ends are expanded percentiles (Hesterberg 2015, §4.2): plain percentiles of few clusters are too narrow by
    √((c−1)/c) and by normal instead of t quantiles, so the tail is taken at Φ(−√(c/(c−1))·t) instead of (1−level)/2.

    Of clusters that all agree at v every draw is the same, and they would say "exactly v". Where values have ends, as
    shares have, the interval is then v − w(v − least) … v + w(most − v) with w = z²/(c + z²), the upper end of
    Wilson's interval for 0 of c (the rule of three, by scores): so large a share of clusters may be unlike those that
    were seen, and lie anywhere. Of shares that are all 0 it is Wilson's interval, of paired differences of shares that
    are all 0 that of Tango (1998).

    Args:
        values: One number a member, shape [members].
        clusters: The cluster (problem) of each member.
        level: Nominal coverage.
        n_boot: Bootstrap samples.
        min_clusters: Fewer clusters than this give a reason, not a number.
        within: Least and most that a value can be: 0 and 1 of shares, −1 and 1 of their differences.
        seed: Equal seeds give equal intervals.

    Returns:
        The estimate; `n` is the number of members.

    Raises:
        ValueError: `values` and `clusters` differ in length, or a value is not finite, or not `within`.
    """
    numbers = np.asarray(values, dtype=float)
    if numbers.shape != (len(clusters),):
        raise ValueError(f"values have shape {numbers.shape}, expected ({len(clusters)},), one for each cluster label")
    if not np.isfinite(numbers).all():
        raise ValueError("values must be finite: leave missing ones out")
    if within is not None and not ((numbers >= within[0] - _ROUNDED) & (numbers <= within[1] + _ROUNDED)).all():
        raise ValueError(f"values must be within {within[0]:g} and {within[1]:g}")
    index: dict[Hashable, int] = {}
    label = np.array([index.setdefault(cluster, len(index)) for cluster in clusters], dtype=np.intp)
    c = len(index)
    if c < max(min_clusters, 2):
        return Estimate.missing(
            f"{c} clusters, at least {max(min_clusters, 2)} are needed", method=_METHOD, n=len(label)
        )
    clusters_of = np.stack([np.bincount(label, weights=numbers), np.bincount(label).astype(float)])
    value, means = float(numbers.mean()), clusters_of[0] / clusters_of[1]
    if within is not None and agree(means):
        low, high = agreed_interval(value, within, (c,), level)
        return Estimate(value, low, high, n=len(label), level=level, method=f"{_METHOD}, all clusters agree: {_SCORE}")
    tail = expanded_tail(c, level)
    low, high = np.quantile(_drawn_means(clusters_of, n_boot, np.random.default_rng(seed)), [tail, 1 - tail])
    return Estimate(value, float(low), float(high), n=len(label), level=level, method=_METHOD)


def _drawn_means(found: NDArray[np.float64], n_boot: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Means of `n_boot` draws of as many clusters, [draws]; `found` is (sum and size, clusters).

    Clusters that are equal in both are drawn together: how many of them come up has the same law, and of thousands of
    rollouts that are right or wrong there are two kinds.
    """
    n = found.shape[1]
    _, first, times = np.unique(found, axis=1, return_index=True, return_counts=True)
    order = np.argsort(first)
    kinds, share = found[:, first[order]], times[order] / n
    blocks = range(0, n_boot, _BLOCK)
    totals = np.vstack([rng.multinomial(n, share, size=min(_BLOCK, n_boot - start)) @ kinds.T for start in blocks])
    means: NDArray[np.float64] = totals[:, 0] / totals[:, 1]
    return means


def expanded_tail(n_clusters: int, level: float) -> float:
    """Share of bootstrap values to leave out at each end for nominal coverage (Hesterberg 2015, §4.2)."""
    from scipy.stats import norm, t

    widening = np.sqrt(n_clusters / (n_clusters - 1))
    return float(norm.cdf(-widening * t.ppf(0.5 + level / 2, n_clusters - 1)))


def percentile_p(n_clusters: int, share: float) -> float:
    """Two-sided p that goes with expanded percentiles: 1 − the level of the interval that just reaches 0.

    Args:
        n_clusters: Clusters that were drawn again.
        share: Of the draws, those that lie beyond 0, on the other side than the value.
    """
    from scipy.stats import norm, t

    widening = np.sqrt(n_clusters / (n_clusters - 1))
    return min(1.0, float(2 * t.sf(-norm.ppf(share) / widening, n_clusters - 1)))

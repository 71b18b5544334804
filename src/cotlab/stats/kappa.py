"""Agreement of two labellings beyond chance, with problems as what is drawn again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from cotlab.stats.bootstrap import expanded_tail
from cotlab.stats.estimate import Estimate

__all__ = ["cluster_kappa", "kappa"]

_METHOD = "kappa, cluster-bootstrap"


def kappa(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cohen's κ = (observed − chance) / (1 − chance) of tables of counts [..., labels, labels] (Cohen 1960).

    NaN where chance alone agrees always (one label only) or a table is empty.
    """
    total = table.sum((-1, -2))
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = np.trace(table, axis1=-2, axis2=-1) / total
        chance = (table.sum(-1) * table.sum(-2)).sum(-1) / total**2
        found: NDArray[np.float64] = np.where(chance < 1, (observed - chance) / (1 - chance), np.nan)
    return found


def cluster_kappa(
    left: Sequence[Hashable],
    right: Sequence[Hashable],
    clusters: Sequence[Hashable],
    *,
    level: float = 0.95,
    n_boot: int = 2_000,
    min_clusters: int = 5,
    seed: int = 0,
) -> Estimate:
    """Cohen's κ over all members, with an interval from drawing whole clusters again (as `cluster_mean` does).

    Args:
        left: A label a member.
        right: The label that another gives to the same member.
        clusters: The cluster (problem) of each member.
        level: Nominal coverage.
        n_boot: Bootstrap samples; those in which κ is not defined are left out.
        min_clusters: Fewer clusters than this give a reason, not a number.
        seed: Equal seeds give equal intervals.

    Raises:
        ValueError: The three differ in length.
    """
    if not len(left) == len(right) == len(clusters):
        raise ValueError(f"{len(left)} and {len(right)} labels for {len(clusters)} cluster labels, expected as many")
    labels: dict[Hashable, int] = {}
    rows, columns = ([labels.setdefault(label, len(labels)) for label in side] for side in (left, right))
    index: dict[Hashable, int] = {}
    at = [index.setdefault(cluster, len(index)) for cluster in clusters]
    c = len(index)
    if c < max(min_clusters, 2):
        return Estimate.missing(f"{c} clusters, at least {max(min_clusters, 2)} are needed", method=_METHOD, n=len(at))
    tables = np.zeros((c, len(labels), len(labels)))
    np.add.at(tables, (at, rows, columns), 1)
    value = float(kappa(tables.sum(0)))
    if np.isnan(value):
        return Estimate.missing("only one label: agreement beyond chance is not defined", method=_METHOD, n=len(at))
    drawn = np.random.default_rng(seed).multinomial(c, np.full(c, 1 / c), size=n_boot)
    tail = expanded_tail(c, level)
    low, high = np.nanquantile(kappa(np.einsum("bc,cij->bij", drawn, tables)), [tail, 1 - tail])
    return Estimate(value, float(low), float(high), n=len(at), level=level, method=_METHOD)

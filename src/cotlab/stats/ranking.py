"""Area under the ROC curve, with problems as what is drawn again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotlab.stats.bootstrap import expanded_tail, percentile_p
from cotlab.stats.estimate import Estimate
from cotlab.stats.proportion import agree, agreed_interval
from cotlab.stats.shuffles import block_shuffles

__all__ = ["auc", "cluster_auc", "cluster_auc_difference"]

_METHOD = "auc, cluster-bootstrap"
_CELLS = 4_000_000
"""Most cells of a bootstrap table at a time: 32 MB."""


def auc(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Chance that a positive scores higher than a negative, ties counted half (Mann and Whitney's U / (n₁ n₀)).

    Args:
        scores: [members], higher where positive is likelier.
        labels: [members], true or 1 for positive.
        weights: [members], how often each member counts; once by default.

    Raises:
        ValueError: The shapes differ, or one of the two classes is empty.
    """
    score, positive = _checked(scores, labels)
    weight = np.ones(len(score)) if weights is None else np.asarray(weights, dtype=float)
    if weight.shape != score.shape:
        raise ValueError(f"weights have shape {weight.shape}, expected {score.shape}")
    value = _weighted(score, positive, weight[None])[0]
    if np.isnan(value):
        raise ValueError("one class is empty: AUC needs positives and negatives")
    return float(value)


def cluster_auc(
    scores: ArrayLike,
    labels: ArrayLike,
    clusters: Sequence[Hashable],
    *,
    level: float = 0.95,
    n_boot: int = 2_000,
    n_null: int = 1_000,
    min_clusters: int = 5,
    blocks: ArrayLike | None = None,
    seed: int = 0,
) -> Estimate:
    """AUC over all members; interval from drawing whole clusters again, null from shuffling labels within clusters.

    Where every draw gives the same (all are told apart, or all score alike) the interval is `agreed_interval`.

    Args:
        scores: [members].
        labels: [members].
        clusters: The cluster (problem) of each member.
        level: Nominal coverage.
        n_boot: Bootstrap samples; those that lack one class are left out. 0: no interval.
        n_null: Permutations; 0 for none. p = (1 + number at least as far from the mean of all) / (1 + n_null), the AUC
            itself among them. That mean is ½ only where clusters are alike: what tells them apart is in the null too.
        min_clusters: Fewer clusters than this give a reason, not a number.
        blocks: [members], the block (rollout) of each, where members of one are alike: the null is then that of
            `block_shuffles`.
        seed: Equal seeds give equal intervals.

    Returns:
        The estimate: n1 negatives, n2 positives. Where shuffling within clusters can change nothing (every cluster has
        one class) there is no p.
    """
    score, positive = _checked(scores, labels)
    label, c = _numbered(clusters, len(score))
    reason = _unusable(positive, c, min_clusters)
    if reason is not None:
        return Estimate.missing(reason, method=_METHOD, n=len(score))
    rng = np.random.default_rng(seed)
    point = auc(score, positive)
    low, high = _interval(score, positive, label, point, n_boot, level, rng)
    if blocks is None:
        null = _null(score, positive, label, n_null, rng)
    else:
        mixed = block_shuffles(positive, label, blocks, n_null, rng)
        null = np.array([_weighted(score, one, np.ones((1, len(score))))[0] for one in mixed])
    centre = float(np.append(null, point).mean())
    as_far = int((np.abs(null - centre) >= abs(point - centre) - 1e-12).sum())
    return Estimate(
        point,
        low,
        high,
        n=len(score),
        n1=int((~positive).sum()),
        n2=int(positive.sum()),
        level=level,
        null_mean=float(null.mean()) if len(null) else None,
        null_q95=float(np.quantile(null, 0.95)) if len(null) else None,
        p=(1 + as_far) / (1 + len(null)) if len(null) else None,
        method=_METHOD,
    )


def cluster_auc_difference(
    before: ArrayLike,
    after: ArrayLike,
    labels: ArrayLike,
    clusters: Sequence[Hashable],
    *,
    level: float = 0.95,
    n_boot: int = 2_000,
    min_clusters: int = 5,
    seed: int = 0,
) -> Estimate:
    """AUC of one score less that of another for the same members, with the same clusters drawn again for both.

    Args:
        before: [members], what is subtracted.
        after: [members].
        labels: [members].
        clusters: The cluster (problem) of each member.
        level: Nominal coverage.
        n_boot: Bootstrap samples.
        min_clusters: Fewer clusters than this give a reason, not a number.
        seed: Equal seeds give equal intervals.

    Returns:
        The estimate; p is of the same draws: below 5% where the 95% interval leaves 0 out.
    """
    first, positive = _checked(before, labels)
    second, _ = _checked(after, labels)
    label, c = _numbered(clusters, len(first))
    method = "auc difference, cluster-bootstrap"
    reason = _unusable(positive, c, min_clusters)
    if reason is not None:
        return Estimate.missing(reason, method=method, n=len(first))
    one, two = _drawn_again((first, second), positive, label, n_boot, np.random.default_rng(seed))
    tail, apart = expanded_tail(c, level), (two - one)[np.isfinite(two - one)]
    low, high = np.quantile(apart, [tail, 1 - tail])
    value = auc(second, positive) - auc(first, positive)
    if agree(apart):
        low, high = agreed_interval(value, (-1.0, 1.0), _holding(positive, label), level)
    beyond = (1 + int((apart <= 0).sum() if value > 0 else (apart >= 0).sum())) / (1 + len(apart))
    p = 1.0 if value == 0 else percentile_p(c, beyond)
    return Estimate(value, float(low), float(high), n=len(first), level=level, p=p, method=method)


def _numbered(clusters: Sequence[Hashable], n: int) -> tuple[NDArray[np.intp], int]:
    """A number for the cluster of each member, and how many clusters there are."""
    if len(clusters) != n:
        raise ValueError(f"{len(clusters)} cluster labels for {n} members")
    index: dict[Hashable, int] = {}
    label = np.array([index.setdefault(cluster, len(index)) for cluster in clusters], dtype=np.intp)
    return label, len(index)


def _unusable(positive: NDArray[np.bool_], n_clusters: int, least: int) -> str | None:
    if positive.all() or not positive.any():
        return "only one class"
    least = max(least, 2)
    return f"{n_clusters} clusters, at least {least} are needed" if n_clusters < least else None


def _interval(
    score: NDArray[np.float64],
    positive: NDArray[np.bool_],
    label: NDArray[np.intp],
    point: float,
    n_boot: int,
    level: float,
    rng: np.random.Generator,
) -> tuple[float | None, float | None]:
    if not n_boot:
        return None, None
    (values,) = _drawn_again((score,), positive, label, n_boot, rng)
    if agree(values):
        return agreed_interval(point, (0.0, 1.0), _holding(positive, label), level)
    tail = expanded_tail(int(label.max()) + 1, level)
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _holding(positive: NDArray[np.bool_], label: NDArray[np.intp]) -> tuple[int, int]:
    """Clusters that hold positives, and negatives."""
    return len(np.unique(label[positive])), len(np.unique(label[~positive]))


def _drawn_again(
    scores: Sequence[NDArray[np.float64]],
    positive: NDArray[np.bool_],
    label: NDArray[np.intp],
    n_boot: int,
    rng: np.random.Generator,
) -> list[NDArray[np.float64]]:
    """AUC of each score over clusters drawn again, [n_boot] each; NaN where a draw lacks a class."""
    c = int(label.max()) + 1
    drawn = rng.multinomial(c, np.full(c, 1 / c), size=n_boot)
    rows = max(1, _CELLS // len(label))
    return [
        np.concatenate(
            [_weighted(score, positive, drawn[i : i + rows, label].astype(float)) for i in range(0, n_boot, rows)]
        )
        for score in scores
    ]


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    score, positive = np.asarray(scores, dtype=float), np.asarray(labels).astype(bool)
    if score.ndim != 1 or score.shape != positive.shape:
        raise ValueError(f"scores have shape {score.shape} and labels {positive.shape}, expected one and the same")
    if not np.isfinite(score).all():
        raise ValueError("scores must be finite: leave missing ones out")
    return score, positive


def _weighted(
    score: NDArray[np.float64], positive: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """AUC under each row of weights [rows, members]; NaN where a class weighs nothing."""
    values, inverse = np.unique(score, return_inverse=True)
    starts = np.searchsorted(np.sort(inverse), np.arange(len(values)))
    order = np.argsort(inverse, kind="stable")
    negatives = np.add.reduceat((weights * ~positive)[:, order], starts, axis=1)
    positives = np.add.reduceat((weights * positive)[:, order], starts, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives
    total = positives.sum(axis=1) * negatives.sum(axis=1)
    won = (positives * (below + negatives / 2)).sum(axis=1)
    values_of = np.full(len(weights), np.nan)
    np.divide(won, total, out=values_of, where=total > 0)
    return values_of


def _null(
    score: NDArray[np.float64], positive: NDArray[np.bool_], label: NDArray[np.intp], n: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """AUC of labels shuffled within clusters, [n], by the sum of the positives' ranks."""
    from scipy.stats import rankdata

    mixed = [len(set(positive[label == cluster])) > 1 for cluster in np.unique(label)]
    if not any(mixed):
        return np.empty(0)
    order = np.argsort(label, kind="stable")
    won = np.empty(n)
    ranks = rankdata(score)[order]
    for i in range(n):
        # A stable sort by cluster of a random order shuffles the members of each cluster.
        mixed_up = rng.permutation(len(score))
        won[i] = ranks[positive[mixed_up[np.argsort(label[mixed_up], kind="stable")]]].sum()
    n_positive = int(positive.sum())
    return (won - n_positive * (n_positive + 1) / 2) / (n_positive * (len(score) - n_positive))

"""Every feature against a label of steps: AUC, p from what may be exchanged, q over all features.

Steps of a rollout are alike in what they are about, so single steps must not be shuffled. The AUC is a sum of ranks:

- A label that is the same all along every rollout (`correct`): rollouts are the units. Activations are averaged over a
  rollout, and labels exchanged between the rollouts of a problem (sampling without replacement from its ranks).
- Any other: the labels of each rollout are moved along it, around its end, which keeps how both hang together along it.

Mean and variance of the sum are known exactly for both, and give its z; so is its generating function, which gives p
(`stats.tail_p`): the normal distribution's tails are too thin where a feature is active at few steps or few carry the
label. Thousands of features are tested without shuffling anything. Where nothing can be exchanged (a problem, a rollout
of equal labels) nothing is said nor weighs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotlab.errors import DataError
from cotlab.stats import log_mean_exp, log_mean_exp_chosen, tail_p

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix, csr_matrix

__all__ = ["FeatureTests", "feature_aucs", "within_problem_tests"]

_Array = NDArray[np.float64]
CHUNK = 512
"""Features that are ranked at a time."""
NEAR = 1.0
"""|z| below which p is that of the normal distribution: it differs in the tails."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTests:
    """All arrays are [features tested]."""

    features: NDArray[np.intp]
    auc: _Array
    z: _Array
    p: _Array
    """Two-sided."""
    q: _Array
    """Benjamini and Hochberg over the features that were tested."""
    n: int
    """Units: steps, or rollouts where the label is one of rollouts."""
    n_positive: int
    n_untested: int
    """Features that were active at too few units to be tested."""

    def best(self, most: int, *, sign: int = 0) -> NDArray[np.intp]:
        """Indices of the tests that stand out most; sign +1 for features that go with the label alone, −1 against."""
        strength = np.abs(self.z) if sign == 0 else sign * self.z
        return np.argsort(-strength, kind="stable")[:most]


def within_problem_tests(
    values: csr_matrix,
    y: NDArray[np.bool_],
    problems: NDArray[np.str_],
    *,
    rollouts: ArrayLike | None = None,
    min_active: int = 10,
) -> FeatureTests:
    """Test every feature that is active often enough.

    Args:
        values: Activations, shape (steps, d_sae), none below 0.
        y: Whether the label holds, shape (steps,).
        problems: Problem of each step.
        rollouts: Rollout of each step, those of one rollout in their order; by default each step stands alone.
        min_active: Units at which a feature must be active to be tested.

    Raises:
        DataError: One class is empty, or no problem has both.
    """
    from scipy.stats import false_discovery_control

    if y.all() or not y.any():
        raise DataError(f"{int(y.sum())} of {len(y)} steps carry the label: both kinds are needed")
    by_rollout = np.arange(len(y)) if rollouts is None else np.unique(np.asarray(rollouts), return_inverse=True)[1]
    along = bool((np.bincount(by_rollout, weights=y) % np.bincount(by_rollout)).any())
    if not along and rollouts is not None:
        values, y, problems = _of_rollouts(values, y, problems, by_rollout)
    n, n_positive = len(y), int(y.sum())
    columns, counts, features = _often_active(values, min_active)
    _, of = np.unique(problems, return_inverse=True)
    size, positive = np.bincount(of), np.bincount(of, weights=y).astype(float)
    if not along and not ((positive > 0) & (positive < size)).any():
        raise DataError("no problem has steps with and without the label: sample more rollouts")
    auc, z, p = np.empty(len(features)), np.zeros(len(features)), np.ones(len(features))
    for start in range(0, len(features), CHUNK):
        part = features[start : start + CHUNK]
        ranks = _ranks(columns[:, part].toarray())
        auc[start : start + CHUNK] = _auc(ranks, y)
        tested = _along(ranks, y, by_rollout) if along else _exchanged(ranks, y, of)
        z[start : start + CHUNK], p[start : start + CHUNK] = tested
    q = false_discovery_control(p, method="bh") if len(p) else p
    return FeatureTests(features, auc, z, p, q, n, n_positive, int((counts > 0).sum() - len(features)))


def feature_aucs(values: csr_matrix, y: NDArray[np.bool_], *, min_active: int = 10) -> tuple[NDArray[np.intp], _Array]:
    """Features that are active often enough, and the AUC of each for the label; nothing is tested.

    Raises:
        DataError: One class is empty.
    """
    if y.all() or not y.any():
        raise DataError(f"{int(y.sum())} of {len(y)} steps carry the label: both kinds are needed")
    columns, _, features = _often_active(values, min_active)
    parts = np.split(features, range(CHUNK, len(features), CHUNK))
    return features, np.concatenate([_auc(_ranks(columns[:, part].toarray()), y) for part in parts])


def _often_active(values: csr_matrix, least: int) -> tuple[csc_matrix, NDArray[np.intp], NDArray[np.intp]]:
    """The same by columns, places at which each is active, and those that are active at so many."""
    columns = values.tocsc()
    counts = np.diff(columns.indptr)
    return columns, counts, np.flatnonzero(counts >= least)


def _auc(ranks: _Array, y: NDArray[np.bool_]) -> _Array:
    n, positive = len(y), int(y.sum())
    found: _Array = (ranks[y].sum(axis=0) - positive * (positive + 1) / 2) / (positive * (n - positive))
    return found


def _of_rollouts(
    values: csr_matrix, y: NDArray[np.bool_], problems: NDArray[np.str_], of: NDArray[np.intp]
) -> tuple[csr_matrix, NDArray[np.bool_], NDArray[np.str_]]:
    """Mean activations, labels and problems of rollouts."""
    from scipy.sparse import csr_matrix as matrix

    size, (_, first) = np.bincount(of), np.unique(of, return_index=True)
    means: csr_matrix = matrix((1.0 / size[of], (of, np.arange(len(of)))), shape=(len(size), len(of))) @ values
    return means, y[first], problems[first]


def _ranks(dense: _Array) -> _Array:
    """Mid-ranks of each column."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(dense, axis=0), dtype=float)


def _exchanged(ranks: _Array, y: NDArray[np.bool_], of: NDArray[np.intp]) -> tuple[_Array, _Array]:
    """Scores z and p of rank sums when labels are exchanged within problems (drawn without replacement)."""
    gap, variance, parts = np.zeros(ranks.shape[1]), np.zeros(ranks.shape[1]), list[tuple[_Array, int]]()
    for at in _groups(of):
        n, positive = len(at), int(y[at].sum())
        if 0 < positive < n:
            centred = ranks[at] - ranks[at].mean(axis=0)
            gap += centred[y[at]].sum(axis=0)
            variance += positive * (n - positive) / n * (centred**2).sum(axis=0) / (n - 1)
            fewer = 2 * positive <= n  # what the others sum to is the same with the other sign
            parts.append((centred if fewer else -centred, min(positive, n - positive)))

    def log_generating(columns: NDArray[np.intp], t: _Array) -> _Array:
        total = np.zeros(len(columns))
        for rows, k in parts:
            total += log_mean_exp_chosen(rows[:, columns] * t, k)
        return total

    return _tested(gap, variance, log_generating, len(y))


def _along(ranks: _Array, y: NDArray[np.bool_], of: NDArray[np.intp]) -> tuple[_Array, _Array]:
    """Scores z and p of rank sums when labels are moved along their rollouts, around its end.

    Sums at all shifts of a rollout are the correlation of its labels and ranks, from their Fourier transforms.
    """
    gap, variance, parts = np.zeros(ranks.shape[1]), np.zeros(ranks.shape[1]), list[_Array]()
    for at in _groups(of):
        label = y[at].astype(float)
        if label.min() == label.max():
            continue
        centred = ranks[at] - ranks[at].mean(axis=0)
        gap += label @ centred
        product = np.conj(np.fft.rfft(label))[:, None] * np.fft.rfft(centred, axis=0)
        parts.append(np.fft.irfft(product, n=len(at), axis=0))
        variance += (parts[-1] ** 2).mean(axis=0)
    if not parts:
        return gap, np.ones(len(gap))
    sums, size = np.concatenate(parts), np.array([len(part) for part in parts])
    starts = np.cumsum(size) - size

    def log_generating(columns: NDArray[np.intp], t: _Array) -> _Array:
        return log_mean_exp(sums[:, columns] * t, starts)

    return _tested(gap, variance, log_generating, len(y))


def _tested(
    gap: _Array, variance: _Array, log_generating: Callable[[NDArray[np.intp], _Array], _Array], n: int
) -> tuple[_Array, _Array]:
    """Scores z, and p; 0 and 1 where nothing can vary."""
    from scipy.special import ndtr

    deviation = np.sqrt(variance)
    z = np.divide(gap, deviation, out=np.zeros_like(gap), where=deviation > 1e-9 * n)
    p, far = 2 * ndtr(-np.abs(z)), np.flatnonzero(np.abs(z) >= NEAR)
    if len(far):
        p[far] = tail_p(partial(log_generating, far), gap[far], deviation[far])
    return z, p


def _groups(of: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Places of each group, in their order."""
    return np.split(np.argsort(of, kind="stable"), np.cumsum(np.bincount(of))[:-1])

"""What else one would do with few draws a position. Each takes single draws [draws, positions, categories]."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

Array = NDArray[np.float64]
Smoother = Callable[[Array], Array]
REACHES = (0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0)
"""Positions over which the weight of a neighbour falls to 1/e."""


def raw(draws: Array) -> Array:
    """Shares of the draws."""
    return _shares(draws.sum(axis=0))


def moving_average(width: int) -> Smoother:
    """Mean of so many neighbouring positions."""

    def smooth(draws: Array) -> Array:
        counts, half = draws.sum(axis=0), width // 2
        return _shares(np.array([counts[max(0, t - half) : t + half + 1].sum(axis=0) for t in range(len(counts))]))

    return smooth


def kernel(reach: float) -> Smoother:
    """Two-sided exponential weights."""
    return lambda draws: _kernel(draws.sum(axis=0), reach)


def cross_validated_kernel(draws: Array) -> Array:
    """The same with the reach that predicts draws left out best (5 folds of the draws, fewer where there are fewer)."""
    folds = np.array_split(np.arange(len(draws)), min(5, len(draws)))
    scores = np.zeros(len(REACHES))
    for fold in folds:
        kept = np.delete(draws, fold, axis=0).sum(axis=0)
        held = draws[fold].sum(axis=0)
        scores += [float((held * np.log(_kernel(kept, reach))).sum()) for reach in REACHES]
    return _kernel(draws.sum(axis=0), REACHES[int(scores.argmax())])


def empirical_bayes(draws: Array) -> Array:
    """Dirichlet prior at every position whose mean is what the neighbours say; reach and strength by evidence."""
    counts, best, chosen = draws.sum(axis=0), -np.inf, draws.sum(axis=0)
    for reach in REACHES:
        others = _weights(len(counts), reach)
        np.fill_diagonal(others, 0)
        mean = _shares(others @ counts + 0.1 / counts.shape[1])
        for strength in (1.0, 3.0, 10.0, 30.0, 100.0, 300.0):
            alpha = strength * mean
            evidence = float(_log_evidence(alpha, counts).sum())
            if evidence > best:
                best, chosen = evidence, alpha + counts
    return _shares(chosen)


def product_partition(draws: Array) -> Array:
    """Segments that are constant, summed over all segmentations exactly (Barry and Hartigan 1992).

    Dirichlet(1/K) chances in each segment; how often segments end is averaged over by evidence.
    """
    counts = draws.sum(axis=0)
    total, n = np.concatenate([np.zeros((1, counts.shape[1])), np.cumsum(counts, axis=0)]), len(counts)
    within = total[None, :, :] - total[:, None, :]  # [start, end, category]
    alpha = np.full(counts.shape[1], 1 / counts.shape[1])
    fits = _log_evidence(alpha, np.maximum(within, 0))
    means = (np.maximum(within, 0) + alpha) / (np.maximum(within, 0).sum(axis=2, keepdims=True) + 1)
    evidences, curves = [], []
    for hazard in (0.01, 0.03, 0.1, 0.3):
        ahead, behind = np.full(n + 1, -np.inf), np.full(n + 1, -np.inf)
        ahead[0] = behind[n] = 0.0
        length = np.arange(n + 1)
        prior = np.log(hazard) + np.maximum(length[None, :] - length[:, None] - 1, 0) * np.log1p(-hazard)
        for end in range(1, n + 1):
            ahead[end] = logsumexp(ahead[:end] + (fits + prior)[:end, end])
        for start in range(n - 1, -1, -1):
            behind[start] = logsumexp(behind[start + 1 :] + (fits + prior)[start, start + 1 :])
        weight = np.triu(np.exp(ahead[:, None] + fits + prior + behind[None, :] - ahead[n]), 1)
        curve = np.zeros((n + 1, counts.shape[1]))
        for start in range(n):
            spread = weight[start, :, None] * means[start]
            curve[start:n] += np.cumsum(spread[::-1], axis=0)[::-1][start + 1 :]
        evidences.append(ahead[n])
        curves.append(_shares(curve[:n]))
    weights = np.exp(np.array(evidences) - logsumexp(evidences))
    return _shares(np.tensordot(weights, np.array(curves), axes=1))


def _log_evidence(alpha: Array, counts: Array) -> Array:
    """Log chance of Dirichlet-multinomial counts, without the term that does not depend on alpha."""
    each = (gammaln(alpha + counts) - gammaln(alpha)).sum(axis=-1)
    total = alpha.sum(axis=-1)
    return np.asarray(each + gammaln(total) - gammaln(total + counts.sum(axis=-1)))


def _weights(n: int, reach: float) -> Array:
    return np.asarray(np.exp(-np.abs(np.subtract.outer(np.arange(n), np.arange(n))) / reach))


def _kernel(counts: Array, reach: float) -> Array:
    return _shares(_weights(len(counts), reach) @ counts + 0.1 / counts.shape[1])


def _shares(counts: Array) -> Array:
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))

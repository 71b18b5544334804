"""Tails of sums whose terms are drawn apart, where the normal distribution's are too thin.

Lugannani and Rice (1980): with K the log of the generating function of the sum S, τ the solution of K'(τ) = s,
w = √(2(τs − K(τ))) and v = τ√K''(τ), P(S ≥ s) ≈ 1 − Φ(w) + φ(w)(1/v − 1/w). It is cut at Chernoff's bound
exp(K(τ) − τs), which holds at every τ, and where s is the largest value that there is gives the probability itself.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["log_mean_exp", "log_mean_exp_chosen", "tail_p"]

_Array = NDArray[np.float64]
LogGenerating = Callable[[_Array], _Array]
"""log E exp(t S) at t, of sums with mean 0; [sums] to [sums]."""
FARTHEST = 1000.0
"""Largest τ that is tried, in units of 1 / standard deviation."""
STEP = 1e-3
"""Of the differences that give K' and K'', in the same units."""
ROUNDS = 30


def tail_p(log_generating: LogGenerating, found: ArrayLike, deviation: ArrayLike) -> _Array:
    """Two-sided p of sums: twice the chance of one as far out, on its side.

    Args:
        log_generating: Of the sums, less their means.
        found: [sums], less their means; half a standard deviation from 0 or further: nearer the formula's terms cancel.
        deviation: [sums], standard deviations, all above 0.
    """
    from scipy.special import ndtr

    gap, scale = np.asarray(found, dtype=float), np.asarray(deviation, dtype=float)
    side, far = np.where(gap < 0, -1.0, 1.0), np.abs(gap) / scale

    def k(t: _Array) -> _Array:
        return log_generating(side * t / scale)

    tau, slope, curve = _solved(k, far)
    rate = np.maximum(tau * far - k(tau), 0.0)
    w, v = np.sqrt(2 * rate), tau * np.sqrt(np.maximum(curve, 0.0))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        tail = ndtr(-w) + np.exp(-rate) / np.sqrt(2 * np.pi) * (1 / v - 1 / w)
    reached = (np.abs(slope - far) < 1e-3 * np.maximum(far, 1)) & np.isfinite(tail) & (tail > 0)
    tail = np.where(reached, np.minimum(tail, np.exp(-rate)), np.exp(-rate))
    p: _Array = np.minimum(1.0, 2 * tail)
    return p


def log_mean_exp(values: _Array, starts: NDArray[np.intp]) -> _Array:
    """Log of the mean of exp over each run of rows, summed over the runs.

    Args:
        values: [rows, sums].
        starts: [runs], where each run of rows begins, ascending from 0.
    """
    size = np.diff(np.append(starts, len(values)))
    top = np.maximum.reduceat(values, starts, axis=0)
    total = np.add.reduceat(np.exp(values - np.repeat(top, size, axis=0)), starts, axis=0)
    summed: _Array = (top + np.log(total / size[:, None])).sum(axis=0)
    return summed


def log_mean_exp_chosen(values: _Array, k: int) -> _Array:
    """Log of the mean, over all ways to choose k of the rows, of exp of their sum.

    Elementary symmetric polynomials of exp(values), row by row.

    Args:
        values: [rows, sums].
        k: How many are chosen, 1 to the number of rows.
    """
    from scipy.special import gammaln

    n = len(values)
    of = np.full((k + 1, values.shape[1]), -np.inf)
    of[0] = 0.0
    for row in values:
        of[1:] = np.logaddexp(of[1:], of[:-1] + row)
    ways = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    chosen: _Array = of[k] - ways
    return chosen


def _solved(k: LogGenerating, far: _Array) -> tuple[_Array, _Array, _Array]:
    """τ with K'(τ) = far, by Newton's steps within a bracket; K' and K'' there. Where there is none, a large τ."""
    tau, low, high = far.copy(), np.zeros_like(far), np.full_like(far, FARTHEST)
    for _ in range(ROUNDS):
        below, here, above = k(tau - STEP), k(tau), k(tau + STEP)
        slope, curve = (above - below) / (2 * STEP), (above - 2 * here + below) / STEP**2
        if (np.abs(slope - far) < 1e-6 * np.maximum(far, 1)).all():
            break
        low, high = np.where(slope < far, tau, low), np.where(slope < far, high, tau)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = tau + (far - slope) / curve
        tau = np.where(np.isfinite(step) & (step > low) & (step < high), step, (low + high) / 2)
    return tau, slope, curve

"""The share of the largest step in the net change of V: of bare shares, and corrected for the maximum of noise.

The third point of `cotlab.measures.progress`: counts `k` of `n` at each position.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cotlab.stats import Estimate

__all__ = ["likely_share", "naive_share"]

FloatArray = NDArray[np.float64]
DRAWS, SHARES = 1_000, 40


def naive_share(k: FloatArray, n: FloatArray, sign: float, seed: int) -> Estimate:
    """What bare shares say, beside what they say of a curve that moves in equal steps."""
    share = k / n
    drawn = int(n.sum())
    net = sign * (share[-1] - share[0])
    if net <= 0:
        return Estimate.missing("the net change of the bare shares is 0", method="bare shares", n=drawn)
    even = np.linspace(share[0], share[-1], len(n))
    again = np.random.default_rng(seed).binomial(n.astype(int), even, (DRAWS, len(n))) / n
    change = np.maximum(sign * (again[:, -1] - again[:, 0]), 1e-9)
    null = np.clip((sign * np.diff(again, axis=1)).max(axis=1) / change, 0, 1)
    return Estimate(
        float(min(1.0, (sign * np.diff(share)).max() / net)),
        n=drawn,
        null_mean=float(null.mean()),
        null_q95=float(np.quantile(null, 0.95)),
        method="bare shares",
    )


def likely_share(k: FloatArray, n: FloatArray, first: FloatArray, last: FloatArray, level: float) -> Estimate:
    """The share by integrated likelihood (Berger, Liseo and Wolpert 1999), over two families of monotone curves.

    The largest step has the share s. What else V moves is spread as evenly as can be, over all other steps, or packed
    as tightly as can be, into as few steps beside it as hold it: few rollouts mistake a rise within some steps for one
    step. The likelihood is averaged over both families, all places of the step and the values between which V moves:
    maximised over places it would find a step in any noise. The interval holds every s that is at least exp(−χ²/2)
    times as likely as the likeliest, χ² the quantile of one degree of freedom. `experiments/luck` shows what it covers.

    Args:
        k: Right ones at each position.
        n: Rollouts at each position.
        first: Values that V may start from.
        last: Values that V may arrive at; pairs that do not move as the middle ones do are passed over.
        level: Nominal coverage.
    """
    from scipy.special import ndtri

    steps = len(n) - 1
    shares = np.unique(np.append(np.linspace(1 / steps, 1, SHARES), 0.5))
    sign = np.sign(np.median(last) - np.median(first))
    ends = np.array([(start, end) for start in first for end in last if sign * (end - start) > 0])
    found = np.empty(len(shares))
    for i, share in enumerate(shares.tolist()):
        even, tight = (_average(_fit(k, n, ends, of(steps, share))) for of in (_spread, _packed))
        found[i] = np.logaddexp(even, tight)
    less = 2 * (found.max() - found) - float(ndtri((1 + level) / 2)) ** 2
    low, high = _allowed(shares, less)
    value = float(shares[found.argmax()])
    return Estimate(value, low, high, n=int(n.sum()), level=level, method="integrated likelihood")


def _allowed(shares: FloatArray, less: FloatArray) -> tuple[float, float]:
    """From where to where `less` is at most 0; between neighbouring shares it goes in a straight line."""
    at = np.flatnonzero(less <= 0)
    first, last = int(at[0]), int(at[-1])
    low, high = float(shares[first]), float(shares[last])
    if first > 0:
        low = float(np.interp(0.0, less[[first, first - 1]], shares[[first, first - 1]]))
    if last < len(shares) - 1:
        high = float(np.interp(0.0, less[[last, last + 1]], shares[[last, last + 1]]))
    return low, high


def _spread(steps: int, share: float) -> FloatArray:
    """Curves from 0 to 1 of which one step has a share and the others are equal, [places, positions]."""
    each = (1 - share) / max(steps - 1, 1)
    moves = np.full((steps, steps), each)
    np.fill_diagonal(moves, share)
    return np.concatenate([np.zeros((steps, 1)), np.cumsum(moves, axis=1)], axis=1)


def _packed(steps: int, share: float) -> FloatArray:
    """Curves from 0 to 1 in as few neighbouring steps of a share as can be, the rest behind or before them."""
    width = int(np.ceil(1 / share - 1e-9))
    starts = np.arange(steps - width + 1)[:, None]
    rising = np.clip(share * (np.arange(steps + 1) - starts), 0, 1)
    return np.concatenate([rising, 1 - rising[:, ::-1]])


def _average(logs: FloatArray) -> float:
    """Logarithm of the mean likelihood."""
    top = logs.max()
    return float(top + np.log(np.exp(logs - top).mean()))


def _fit(k: FloatArray, n: FloatArray, ends: FloatArray, curves: FloatArray) -> FloatArray:
    """Log likelihood of each curve between each pair of ends; chances are told from 0 and 1 to 0.001."""
    chance = ends[:, 0, None, None] + (ends[:, 1] - ends[:, 0])[:, None, None] * curves
    chance = np.clip(chance, 1e-3, 1 - 1e-3)
    return np.asarray(np.log(chance) @ k + np.log1p(-chance) @ (n - k))

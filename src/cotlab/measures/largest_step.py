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
PARTS = 20
"""Levels of a curve that goes up and down, of the net change."""
MOVES = (0.15, 0.5)
"""How often such a curve moves at a step: one rate or the other."""
LEAST = 0.1
"""Net change of the ends that curves are laid between: of less, all shares are as likely."""


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
    """The share by integrated likelihood (Berger, Liseo and Wolpert 1999), over three families of curves.

    The largest step has the share s. What else V moves is spread as evenly as can be, over all other steps, or packed
    as tightly as can be, into as few steps beside it as hold it (few rollouts mistake a rise within some steps for one
    step), or it goes up and down: at a step V stays or moves to any level, no step of it rises by more than s. The
    likelihood is averaged over the families, all curves of each and the values between which V moves: maximised over
    the place of the step it would find a step in any noise. The interval holds every s that is at least exp(−χ²/2)
    times as likely as the likeliest, χ² the quantile of one degree of freedom. A step that rises by more than the net
    change, since others fall, has the share 1. `experiments/luck` shows what it covers.

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
    pairs = [(start, end) for start in first for end in last if sign * (end - start) >= LEAST]
    ends = np.array(pairs or [(np.median(first), np.median(last))])
    found = np.logaddexp(_one_way(k, n, ends, shares), _up_and_down(k, n, ends, shares))
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


def _one_way(k: FloatArray, n: FloatArray, ends: FloatArray, shares: FloatArray) -> FloatArray:
    """Logarithm of the likelihood of each share, summed over the two families of curves that go one way."""
    steps = len(n) - 1
    even, tight = (
        np.array([_average(_fit(k, n, ends, of(steps, share))) for share in shares.tolist()])
        for of in (_spread, _packed)
    )
    return np.asarray(np.logaddexp(even, tight))


def _up_and_down(k: FloatArray, n: FloatArray, ends: FloatArray, shares: FloatArray) -> FloatArray:
    """The same of curves on levels a part of the net change apart, summed over all of them, step by step.

    Of each share it is the chance of the counts and of a largest rise of that share, over the chance of that rise.
    """
    by_ends = []
    for start, end in ends.tolist():
        below, above = (int(_room(*way) / abs(end - start) * PARTS) for way in ((start, end), (end, start)))
        levels = start + (end - start) * np.arange(-below, PARTS + above + 1) / PARTS
        chance = np.clip(levels, 1e-3, 1 - 1e-3)
        logs = np.outer(k, np.log(chance)) + np.outer(n - k, np.log1p(-chance))
        top = logs.max(axis=1, keepdims=True)
        told, any_way = _largest_rise(np.exp(logs - top), below), _largest_rise(np.ones_like(logs), below)
        ratio = np.where(np.isfinite(any_way), told, -np.inf) - np.where(np.isfinite(any_way), any_way, 0.0)
        by_ends.append(np.append(ratio[: PARTS - 1], ratio[PARTS - 1 :].max()) + top.sum())
    rises = np.arange(1, PARTS + 1) / PARTS
    found = np.array([_average(column) for column in np.transpose(by_ends)])
    can_be = np.isfinite(found)
    return np.asarray(np.interp(shares, rises[can_be], found[can_be]))


def _room(start: float, end: float) -> float:
    """How far a curve may go beyond its start, away from its end."""
    return start if end > start else 1 - start


def _largest_rise(told: FloatArray, start: int) -> FloatArray:
    """Logarithm of the chance of the counts and that the largest rise is 1, 2, … 2 `PARTS` − 1 levels, or more.

    Over all curves from one level to that `PARTS` above it, which stay or move to any level at each step.

    Args:
        told: Likelihood of each level at each position, [positions, levels].
        start: The first level.
    """
    levels = told.shape[1]
    most = np.append(np.arange(1, 2 * PARTS), levels)
    lowest = np.clip(np.arange(levels) - most[:, None], 0, None)
    found = np.full(len(most), -np.inf)
    for move in MOVES:
        reached, scale = np.zeros((len(most), levels)), 0.0
        reached[:, start] = told[0, start]
        for here in told[1:]:
            from_above = np.cumsum(reached[:, ::-1], axis=1)[:, ::-1]
            moved = np.take_along_axis(from_above, lowest, axis=1) / levels
            reached = ((1 - move) * reached + move * moved) * here
            scale, reached = scale + float(np.log(reached.max())), reached / reached.max()
        with np.errstate(divide="ignore"):
            each = np.log(np.maximum(np.diff(reached[:, start + PARTS], prepend=0.0), 0.0)) + scale
        found = np.logaddexp(found, each)
    return found


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
    if not np.isfinite(top):
        return float(top)
    return float(top + np.log(np.exp(logs - top).mean()))


def _fit(k: FloatArray, n: FloatArray, ends: FloatArray, curves: FloatArray) -> FloatArray:
    """Log likelihood of each curve between each pair of ends; chances are told from 0 and 1 to 0.001."""
    chance = ends[:, 0, None, None] + (ends[:, 1] - ends[:, 0])[:, None, None] * curves
    chance = np.clip(chance, 1e-3, 1 - 1e-3)
    return np.asarray(np.log(chance) @ k + np.log1p(-chance) @ (n - k))

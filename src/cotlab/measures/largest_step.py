"""The share of the largest step in the net change of V: of bare shares, and corrected for the maximum of noise.

The third point of `cotlab.measures.progress`: counts `k` of `n` at each position, the last one a known end or not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cotlab.stats import Estimate

__all__ = ["inverted_share", "naive_share"]

FloatArray = NDArray[np.float64]
DRAWS = 1_000
NULLS, SHARES = 300, 40


def naive_share(k: FloatArray, n: FloatArray, sign: float, known_end: bool, seed: int) -> Estimate:
    """What bare shares say, beside what they say of a curve that moves in equal steps."""
    share = k / n
    drawn = int(n[: len(n) - known_end].sum())
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


def inverted_share(
    k: FloatArray, n: FloatArray, ends: tuple[float, float], sign: float, drawn: int, level: float, seed: int
) -> Estimate:
    """The share by comparison with simulated curves of known shares (inversion of a test)."""
    bare = k / n
    net = sign * (bare[-1] - bare[0])
    if net <= 0:
        return Estimate.missing("the net change of the bare shares is 0", method="inverted", n=drawn)
    rises = sign * np.diff(bare)
    seen, at, steps = float(np.clip(rises.max() / net, 0, 1)), int(rises.argmax()), len(n) - 1
    shares = np.linspace(1 / steps, 1, SHARES)
    rng = np.random.default_rng(seed)
    quantiles = np.empty((SHARES, 3))
    for row, share in zip(quantiles, shares, strict=True):
        each = np.full(steps, (1 - share) / max(steps - 1, 1))
        each[at] = share
        curve = ends[0] + (ends[1] - ends[0]) * np.concatenate([[0.0], np.cumsum(each)])
        again = rng.binomial(n.astype(int), np.clip(curve, 0, 1), (NULLS, steps + 1)) / n
        change = np.maximum(sign * (again[:, -1] - again[:, 0]), 1e-9)
        bare_again = np.clip((sign * np.diff(again, axis=1)).max(axis=1) / change, 0, 1)
        row[:] = np.quantile(bare_again, [(1 - level) / 2, 0.5, (1 + level) / 2])
    allowed = shares[(quantiles[:, 0] <= seen) & (seen <= quantiles[:, 2])]
    value = float(shares[np.abs(quantiles[:, 1] - seen).argmin()])
    low, high = (float(allowed.min()), float(allowed.max())) if len(allowed) else (value, value)
    return Estimate(value, min(low, value), max(high, value), n=drawn, level=level, method="inverted")

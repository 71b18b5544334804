"""Forks: places of a chain behind which it ends differently.

1. The outcome curve o_t: how often each answer follows from position t (Bigelow et al. 2024, "Forking Paths").
2. Segments of one distribution each, by least penalised multinomial cost (`cotlab.stats.segments`); a change point
   lies between two of them.
3. A change point is a fork where the total variation between the two segments is above a threshold (0.10; 0.15 and 0.20
   are told too). Segments are chosen for being different, so bare shares exaggerate: size and probability are read off
   whole curves drawn from the posterior of `cotlab.measures.smoothing`.
4. Forks are declared in the order of their probability, as long as the expected share of false ones stays at `fdr`
   (Müller et al. 2004: the mean of 1 − probability over what is declared).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotlab.measures.smoothing import curve_paths, curve_posterior, effective_counts
from cotlab.stats import Estimate
from cotlab.stats.segments import segments

__all__ = ["THRESHOLDS", "Change", "OutcomeCurve", "outcome_curve"]

FloatArray = NDArray[np.float64]
THRESHOLDS = (0.10, 0.15, 0.20)
PATHS = 500
NULLS = 400


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """A place where the outcome distribution changes."""

    place: int
    """Index of the last position before it."""
    size: Estimate
    """Total variation between the segments on both sides; the null is that of bare shares where nothing changes."""
    probability: dict[float, float]
    """Posterior probability that the size is above each threshold."""
    before: FloatArray
    """Mean outcome distribution of the segment before, shape [categories]."""
    after: FloatArray
    fork: bool
    """Whether it is declared, at the first threshold."""


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeCurve:
    """An outcome curve with what is known of it. Arrays are [positions, categories]."""

    categories: tuple[str, ...]
    raw: FloatArray
    """Shares of the draws; NaN where there are none."""
    smooth: FloatArray
    """Estimate of least expected total variation."""
    low: FloatArray
    high: FloatArray
    draws: FloatArray
    """Draws that each position is worth, shape [positions]."""
    segments: tuple[tuple[int, int], ...]
    changes: tuple[Change, ...]
    expected_false: float | None
    """Expected share of false ones among the declared forks; None where none is declared."""
    reason: str | None = None
    """Why no change was looked for, where none was."""

    @property
    def forks(self) -> tuple[Change, ...]:
        """Changes that are declared forks."""
        return tuple(change for change in self.changes if change.fork)


def outcome_curve(
    counts: ArrayLike,
    S: ArrayLike | None = None,
    *,
    categories: Sequence[str],
    threshold: float = THRESHOLDS[0],
    fdr: float = 0.05,
    level: float = 0.95,
    seed: int = 0,
) -> OutcomeCurve:
    """Smooth an outcome curve and find its forks.

    Args:
        counts: Draws of each category at each position, shape [positions, categories]; see `smooth_curve`.
        S: What each row is worth; see `smooth_curve`.
        categories: Names of the categories.
        threshold: Total variation above which a change is a fork.
        fdr: Largest expected share of false forks.
        level: Nominal coverage of the intervals.
        seed: Equal seeds give equal results.

    Raises:
        ValueError: What `smooth_curve` raises, or the names do not fit.
    """
    worth = effective_counts(counts, S)
    if len(categories) != worth.shape[1]:
        raise ValueError(f"{len(categories)} names for {worth.shape[1]} categories")
    posterior = curve_posterior(worth)
    low, high = posterior.interval(level)
    total = worth.sum(axis=1)
    raw = np.divide(worth, total[:, None], out=np.full(worth.shape, np.nan), where=total[:, None] > 0)
    reason = _nothing_to_find(worth, categories)
    found = ((0, len(worth)),) if reason else segments(worth)
    changes = _changes(worth, found, tuple(dict.fromkeys((threshold, *THRESHOLDS))), level, seed)
    declared, false = _declare(changes, threshold, fdr)
    return OutcomeCurve(tuple(categories), raw, posterior.estimate(), low, high, total, found, declared, false, reason)


def _nothing_to_find(worth: FloatArray, categories: Sequence[str]) -> str | None:
    if (worth.sum(axis=1) > 0).sum() < 2:
        return f"{int((worth.sum(axis=1) > 0).sum())} positions have draws, at least 2 are needed"
    used = np.flatnonzero(worth.sum(axis=0))
    return f"all draws end alike ({categories[int(used[0])]})" if len(used) == 1 else None


def _changes(
    worth: FloatArray, found: Sequence[tuple[int, int]], thresholds: tuple[float, ...], level: float, seed: int
) -> list[Change]:
    if len(found) < 2:
        return []
    paths = curve_paths(worth, n=PATHS, seed=seed)
    means = [paths[:, start:end].mean(axis=1) for start, end in found]
    pooled = [worth[start:end].sum(axis=0) for start, end in found]
    rng = np.random.default_rng(seed)
    changes = []
    for i in range(len(found) - 1):
        size = 0.5 * np.abs(means[i + 1] - means[i]).sum(axis=1)
        lower, upper = np.quantile(size, [(1 - level) / 2, (1 + level) / 2])
        null = _null(pooled[i], pooled[i + 1], rng)
        estimate = Estimate(
            float(size.mean()),
            float(lower),
            float(upper),
            n=int(pooled[i + 1].sum()),
            n1=int(pooled[i].sum()),
            n2=int(pooled[i + 1].sum()),
            level=level,
            null_mean=float(null.mean()),
            null_q95=float(np.quantile(null, 0.95)),
            method="posterior",
        )
        above = {limit: float((size > limit).mean()) for limit in thresholds}
        changes.append(
            Change(found[i][1] - 1, estimate, above, means[i].mean(axis=0), means[i + 1].mean(axis=0), fork=False)
        )
    return changes


def _null(before: FloatArray, after: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Total variation of bare shares when both segments have one distribution, shape [NULLS]."""
    n1, n2 = max(1, round(before.sum())), max(1, round(after.sum()))
    p = (before + after) / (before + after).sum()
    return np.asarray(0.5 * np.abs(rng.multinomial(n1, p, NULLS) / n1 - rng.multinomial(n2, p, NULLS) / n2).sum(axis=1))


def _declare(changes: Sequence[Change], threshold: float, fdr: float) -> tuple[tuple[Change, ...], float | None]:
    """Largest set, most probable first, whose mean chance of being no fork is at most `fdr`."""
    from dataclasses import replace

    doubt = np.array([1 - change.probability[threshold] for change in changes])
    order = np.argsort(doubt, kind="stable")
    mean = np.cumsum(doubt[order]) / (np.arange(len(order)) + 1)
    n = int((mean <= fdr).sum())
    chosen = set(order[:n].tolist())
    declared = tuple(replace(change, fork=i in chosen) for i, change in enumerate(changes))
    return declared, float(mean[n - 1]) if n else None

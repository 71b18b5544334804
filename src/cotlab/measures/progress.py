"""Progress along a chain, luck or steady: how much of what V gains comes from its largest single step.

1. V at each sampled position from the rollouts begun there (so neighbours share none), and the chain's own outcome at
   its end, where that is known. How that one chain ended is one draw and no value that rollouts tell: it counts for
   what theory says of whole chains (2) and for insight (4), never for shares and verdicts (3), which would else find
   a lucky or unlucky last step wherever V never moved.
2. Quadratic variation Σ(ΔV)², corrected: each squared difference of shares is too large by the variances of both,
   V̂(1−V̂)/(n−1) each, which is taken off. Of chains that were not chosen, V is a martingale that ends at 0 or 1, so
   E Σ(ΔV)² = V₀(1−V₀) (Doob): that is what the value of a chain can move at all.
3. The share of the largest step in the net change. The largest of many noisy differences is mostly noise (0.57 of the
   net change at 10 rollouts a position where 0.05 is true, `experiments/luck`), so the share is the one that the
   rollouts of all positions together are likeliest under, with its likelihood interval
   (`cotlab.measures.largest_step`). A verdict needs two things that err in different ways: the posterior of
   `cotlab.measures.smoothing`, which any curve can be drawn from but which stands on a prior, and the whole interval of
   the share on the same side of one half, which stands on none.
4. Insight: the first position from which V stays beyond half of its net change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cotlab.measures.largest_step import likely_share, naive_share
from cotlab.measures.smoothing import curve_paths, smooth_curve
from cotlab.stats import Estimate
from cotlab.trees import Draws, unusable

__all__ = ["Progress", "Verdict", "progress"]

FloatArray = NDArray[np.float64]
Verdict = Literal["lucky", "steady", "undecided"]
MIN_POSITIONS = 4
MIN_DRAWS = 5
LEAST_CHANGE = 0.2
"""A smaller net change of V is too little to ask where it comes from."""
HALF = 0.5
SURE = 0.9
"""Posterior probability that a verdict needs."""
PATHS = 1_000
ENDS = (0.1, 0.5, 0.9)
"""Quantiles of the posterior of the first and last value that shares are fitted between."""
KNOWN_END_WORTH = 400
"""Rollouts that the known end of a chain counts for in the posterior: enough to pin it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How V moved along a chain. Estimates give a reason where there is too little to say."""

    positions: tuple[int, ...]
    """Steps kept at each position that was sampled; the end of the chain last, where its outcome is known."""
    start: Estimate
    change: Estimate
    """Net change of V from the first position to the last that has rollouts, signed."""
    variation: Estimate
    """Σ(ΔV)², corrected for noise."""
    bound: float | None
    """V₀(1−V₀): the mean of Σ(ΔV)² over chains that were not chosen."""
    naive_share: Estimate
    """Largest step over net change of the bare shares; its null is the same of a curve that moves in equal steps."""
    share: Estimate
    """The same, corrected for noise: 0 to 1."""
    largest: int | None
    """Step that is most likely the largest: the index in `positions` of the position before it."""
    largest_p: float | None
    """Posterior probability that it is."""
    half_p: float | None
    """Posterior probability that one step carries more than half of the net change."""
    insight_steps: Estimate
    """Steps kept at the first position from which V stays beyond half of its net change, a known end counted."""
    insight_tokens: Estimate
    """The same, in tokens of the response."""
    verdict: Verdict
    reason: str
    """Why that verdict."""
    change_bounds: tuple[float, float] | None = None
    """`change` of the bare shares over all ways that the truncated rollouts may have ended."""


def progress(
    draws: Sequence[Draws],
    *,
    positions: Sequence[int],
    tokens: Sequence[int],
    end: tuple[float, int, int] | None = None,
    level: float = 0.95,
    min_n: int = MIN_DRAWS,
    seed: int = 0,
) -> Progress:
    """How V moved along a chain.

    Truncated rollouts count as not right; a verdict that they would turn if all were right, or those on one side of a
    step, is none.

    Args:
        draws: Rollouts begun at each position that was sampled; no rollout may be in two of them.
        positions: Steps kept at each.
        tokens: Response tokens kept at each.
        end: Value (0 or 1), steps and tokens of the whole chain, where it ended and was judged. Shares and verdict do
            not depend on it.
        level: Nominal coverage of the intervals.
        min_n: Smallest number of rollouts at a position; positions with fewer are left out.
        seed: Equal seeds give equal intervals.

    Raises:
        ValueError: The sequences differ in length.
    """
    if not len(draws) == len(positions) == len(tokens):
        raise ValueError(
            f"{len(draws)} draws, {len(positions)} positions, {len(tokens)} tokens, expected equal numbers"
        )
    usable = [i for i, one in enumerate(draws) if unusable(one, min_n) is None]
    if reason := _lacking(draws, len(usable), min_n):
        return _undecided(tuple(positions), reason)
    n = np.array([len(draws[i]) for i in usable], dtype=float)
    k = np.array([draws[i].count("correct") for i in usable], dtype=float)
    cut = np.array([draws[i].count("truncated") for i in usable], dtype=float)
    places, reached = [positions[i] for i in usable], [tokens[i] for i in usable]
    paths = curve_paths(np.column_stack([k, n - k]), n=PATHS, seed=seed)[:, :, 0]
    found = _judged(k, n, places, paths, level, seed)
    others = [
        _judged(right, n, places, None, level, seed).verdict
        for right in (k + cut * ended_right for ended_right in _otherwise(found, k / n, cut / n))
    ]
    found = _bounded(found, others, k / n, cut / n)
    if end is not None:
        k, n = np.append(k, end[0] * KNOWN_END_WORTH), np.append(n, KNOWN_END_WORTH)
        places, reached = [*places, end[1]], [*reached, end[2]]
        paths = curve_paths(np.column_stack([k, n - k]), n=PATHS, seed=seed)[:, :, 0]
    steps, toks = (_insight(paths, at, level, found.change.n) for at in (places, reached))
    variation = _variation(k, n, end is not None, level, seed)
    return replace(found, positions=tuple(places), variation=variation, insight_steps=steps, insight_tokens=toks)


def _otherwise(found: Progress, right: FloatArray, cut: FloatArray) -> list[FloatArray]:
    """Ways in which truncated rollouts may have ended right, as 0 and 1 at each position: all, and against a verdict.

    Against it: on one side of a step alone, so that another step grows by them; of a lucky one also so that it shrinks.
    """
    everywhere = np.ones(len(right))
    if not cut.any():
        return []
    if found.verdict == "undecided" or found.largest is None:
        return [everywhere]
    rises, after = right[-1] >= right[0], np.arange(len(right))[None] > np.arange(len(right) - 1)[:, None]
    moves = np.diff(right) + cut[1:] if rises else -np.diff(right) + cut[:-1]
    if found.verdict == "steady":
        return [everywhere, (after[moves.argmax()] == rises).astype(float)]
    moves[found.largest] = -np.inf
    return [everywhere, (after[found.largest] != rises).astype(float), (after[moves.argmax()] == rises).astype(float)]


def _bounded(found: Progress, others: Sequence[Verdict], right: FloatArray, cut: FloatArray) -> Progress:
    """With the bounds that truncated rollouts leave; no verdict that they could turn.

    Args:
        found: Truncated rollouts counted as not right.
        others: Verdicts where all of them count as right, and where some do, as it speaks most against that of `found`.
        right: Share of right ones at each position.
        cut: Share of truncated ones.
    """
    change = float(right[-1] - right[0])
    bounds = change - float(cut[0]), change + float(cut[-1])
    if not others:
        return replace(found, change_bounds=bounds)
    verdict = found.verdict
    reason = (
        f"{found.reason}; up to {cut.max():.0%} of the rollouts at a position are truncated, so V may change by "
        f"{100 * bounds[0]:+.0f} to {100 * bounds[1]:+.0f} points"
    )
    if verdict != "undecided" and any(other != verdict for other in others):
        only = "these count as not right" if others[0] != verdict else "as many of these are right at all positions"
        verdict, reason = "undecided", f"{reason}; {verdict} only where {only}: raise max_tokens"
    return replace(found, change_bounds=bounds, verdict=verdict, reason=reason)


def _judged(
    k: FloatArray, n: FloatArray, places: list[int], paths: FloatArray | None, level: float, seed: int
) -> Progress:
    """Change, shares and verdict, by rollouts alone; `paths` where they are drawn already."""
    if paths is None:
        paths = curve_paths(np.column_stack([k, n - k]), n=PATHS, seed=seed)[:, :, 0]
    drawn, change = int(n.sum()), paths[:, -1] - paths[:, 0]
    sign = 1.0 if change.mean() >= 0 else -1.0
    rises, net = sign * np.diff(paths, axis=1), sign * change
    moved = net >= LEAST_CHANGE
    total = _posterior(change, level, drawn)
    found = replace(
        _undecided(tuple(places), ""),
        start=_posterior(paths[:, 0], level, int(n[0])),
        change=total,
        bound=float(k[0] / n[0] * (1 - k[0] / n[0])),
        naive_share=naive_share(k, n, sign, seed),
    )
    if moved.mean() < SURE:
        reason = _still(total, float(moved.mean()))
        return replace(found, share=Estimate.missing(reason, method="posterior", n=drawn), reason=reason)
    which = rises[moved].argmax(axis=1)
    largest = int(np.bincount(which).argmax())
    p = float((rises[moved].max(axis=1) / net[moved] > HALF).mean())
    first, last = (np.quantile(paths[:, at], ENDS).astype(float) for at in (0, -1))
    share = likely_share(k, n, first, last, level)
    verdict, reason = _verdict(p, share, sign, places[largest], places[largest + 1])
    return replace(
        found,
        share=share,
        largest=largest,
        largest_p=float((which == largest).mean()),
        half_p=p,
        verdict=verdict,
        reason=reason,
    )


def _still(change: Estimate, p: float) -> str:
    """Why there is no verdict on a chain whose V moves too little, or not surely enough."""
    least = f"{100 * LEAST_CHANGE:.0f}"
    if p < HALF:
        return f"V hardly moves on the whole: {_points(change)} points, a change of {least} is needed"
    return (
        f"V moves by {_points(change)} points on the whole; that it is {least} or more has probability {p:.2f}, "
        f"{SURE} is needed: draw more rollouts"
    )


def _verdict(p: float, share: Estimate, sign: float, first: int, last: int) -> tuple[Verdict, str]:
    """Lucky: more than half of the net change comes from one step. Steady: not.

    Either by the posterior with probability `SURE` and by the whole interval of the share: what is shown beside a
    verdict never contradicts it.
    """
    what = "rise" if sign > 0 else "fall"
    where = f"step {first}" if last == first + 1 else f"steps {first} to {last - 1}"
    told = f"{where} carries {_percent(share)} of the {what}"
    if share.low is not None and p >= SURE and share.low > HALF:
        return "lucky", f"{told}; more than half with probability {p:.2f}"
    if share.high is not None and p <= 1 - SURE and share.high < HALF:
        return "steady", f"no step carries more than half of the {what} (probability {1 - p:.2f}); {told}"
    return "undecided", f"{told}; that it is more than half has probability {p:.2f}, so draw more rollouts"


def _lacking(draws: Sequence[Draws], usable: int, min_n: int) -> str | None:
    """Why there is nothing to measure; None if there is enough."""
    if not draws or not any(len(one) for one in draws):
        return "no rollouts at any position of the chain"
    if any(one.count("unjudged") for one in draws):
        known = any(one.answers() for one in draws)
        return "the problem has no gold answer" if known else "the answers of its rollouts are not known"
    if usable < MIN_POSITIONS:
        truncated = sum(one.count("truncated") == len(one) > 0 for one in draws)
        if truncated == len(draws):
            return "all rollouts were truncated: raise max_tokens"
        return f"{usable} positions have {min_n} rollouts or more, at least {MIN_POSITIONS} are needed"
    return None


def _undecided(places: tuple[int, ...], reason: str) -> Progress:
    none = Estimate.missing(reason, method="posterior")
    return Progress(places, none, none, none, None, none, none, None, None, None, none, none, "undecided", reason)


def _posterior(values: FloatArray, level: float, n: int) -> Estimate:
    low, middle, high = np.quantile(values, [(1 - level) / 2, 0.5, (1 + level) / 2]).tolist()
    return Estimate(middle, low, high, n=n, level=level, method="posterior")


def _insight(paths: FloatArray, places: Sequence[int], level: float, n: int) -> Estimate:
    """The place from which a path [paths, positions] stays beyond half of its net change; none where that is small."""
    change = paths[:, -1:] - paths[:, :1]
    sign = 1.0 if change.mean() >= 0 else -1.0
    moved = sign * change[:, 0] >= LEAST_CHANGE
    if moved.mean() < SURE:
        return Estimate.missing(
            f"V hardly moves on the whole: a change of {100 * LEAST_CHANGE:.0f} points is needed",
            method="posterior",
            n=n,
        )
    beyond = (paths - paths[:, :1]) * sign >= HALF * np.abs(change)
    lasting = np.logical_and.accumulate(beyond[:, ::-1], axis=1)[:, ::-1]
    return _posterior(np.asarray(places, dtype=float)[lasting[moved].argmax(axis=1)], level, n)


def _squares(share: FloatArray, n: FloatArray, known_end: bool) -> FloatArray:
    """Σ(ΔV)² less what noise adds to it; `share` and the result may have leading axes."""
    noise = share * (1 - share) / np.maximum(n - 1, 1)
    if known_end:
        noise[..., -1] = 0
    squares = np.diff(share, axis=-1) ** 2 - noise[..., 1:] - noise[..., :-1]
    return np.asarray(squares.sum(axis=-1))


def _variation(k: FloatArray, n: FloatArray, known_end: bool, level: float, seed: int) -> Estimate:
    """Corrected Σ(ΔV)²: unbiased, with a basic bootstrap interval about the smoothed curve."""
    rng = np.random.default_rng(seed)
    smooth = smooth_curve(np.column_stack([k, n - k]))[:, 0]
    if known_end:
        smooth[-1] = k[-1] / n[-1]
    flat = np.full(len(n), k.sum() / n.sum()) if not known_end else np.full(len(n), k[:-1].sum() / n[:-1].sum())
    value = float(_squares(k / n, n, known_end))
    found = [
        _squares(rng.binomial(n.astype(int), np.clip(p, 0, 1), (PATHS, len(n))) / n, n, False) for p in (smooth, flat)
    ]
    true = float((np.diff(smooth) ** 2).sum())
    low, high = value - (np.quantile(found[0], [(1 + level) / 2, (1 - level) / 2]) - true)
    return Estimate(
        value,
        max(0.0, float(low)),
        max(0.0, float(high)),
        n=int(n[: len(n) - known_end].sum()),
        level=level,
        null_mean=float(found[1].mean()),
        null_q95=float(np.quantile(found[1], 0.95)),
        p=float((1 + (found[1] >= value).sum()) / (1 + PATHS)),
        method="unbiased, basic bootstrap",
    )


def _percent(found: Estimate) -> str:
    return f"{100 * (found.value or 0):.0f}% ({100 * (found.low or 0):.0f}, {100 * (found.high or 0):.0f})"


def _points(found: Estimate) -> str:
    return f"{100 * (found.value or 0):+.0f} ({100 * (found.low or 0):+.0f}, {100 * (found.high or 0):+.0f})"

"""Outcome curves smoothed over positions: what a few draws a position say together.

Draws at neighbouring positions tell of one another, since an outcome curve mostly stays, sometimes drifts and rarely
jumps. The model (`cotlab.stats.walk`):

1. A distribution over categories is broken like a stick, the category that is drawn most first: how much of the whole
   is the first, how much of the rest the second, … These shares are independent walks with binomial counts, which is
   the multinomial likelihood.
2. Each walk stays, drifts or jumps from position to position; all of a curve do so in one manner. The posterior is
   exact, the manners are averaged by their evidence.
3. The estimate is the distribution of smallest expected total variation to the truth: the quantiles of all categories
   at the one level at which they sum to 1. (The posterior mean, which is best for squared error, is `mean`.)

`PRIOR` was learned by maximum likelihood on 34 questions of two models (`experiments/curve-smoothing`), which also
shows how it does on questions that it was not learned from. It has 14 free numbers and none for any question.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotlab.stats.walk import Manner, WalkPrior, Walks, walk_posterior

__all__ = ["PRIOR", "CurvePosterior", "curve_paths", "curve_posterior", "smooth_curve"]

FloatArray = NDArray[np.float64]

PRIOR = WalkPrior(
    scales=(0.15, 0.6),
    manners=(
        Manner(0.637, stay=0.474, drift=(0.332, 0.186), jump=0.008),
        Manner(0.343, stay=0.891, drift=(0.084, 0.022), jump=0.003),
        # Not learned: positions that hardly know each other, so that any curve can be followed.
        Manner(0.020, stay=0.25, drift=(0.125, 0.125), jump=0.5),
    ),
    first=(1.907, 0.624),
    landing=(0.265, 0.054),
)
WEIGHTED_GAIN = 1.4
"""Draws that one draw of every next token is worth, weighted by their probabilities: mean of 1/Σw² over the stored
questions. Counts that are not whole are such averages, and are taken for so many more draws where `S` is one number."""
SAMPLES = 256


@dataclass(frozen=True, slots=True, eq=False)
class CurvePosterior:
    """Posterior of an outcome curve, position by position."""

    samples: FloatArray
    """Draws from it in ascending order for each category, shape [positions, categories, samples]."""
    mean: FloatArray
    """Shape [positions, categories]; rows sum to 1."""
    manners: FloatArray
    """Weight of each manner of the prior: how restless the curve is."""

    def estimate(self) -> FloatArray:
        """Distribution of smallest expected total variation to the truth, shape [positions, categories].

        Minimising E Σ|x_k − p_k| under Σ x_k = 1 puts every x_k at the same quantile of its p_k.
        """
        total = self.samples.sum(axis=1)
        above = np.clip((total < 1).sum(axis=-1), 1, self.samples.shape[-1] - 1)[:, None]
        low, high = (np.take_along_axis(self.samples, at[..., None], axis=-1)[..., 0] for at in (above - 1, above))
        low_sum, high_sum = low.sum(axis=1, keepdims=True), high.sum(axis=1, keepdims=True)
        share = np.clip((1 - low_sum) / np.maximum(high_sum - low_sum, 1e-12), 0, 1)
        found = low + share * (high - low)
        return np.asarray(found / found.sum(axis=1, keepdims=True))

    def interval(self, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Pointwise equal-tailed credible interval of each chance, two arrays of shape [positions, categories].

        An end within 0.001 of 0 or 1 is 0 or 1: the model knows chances only to that, and categories that never come
        have the chance 0.
        """
        tail = (1 - level) / 2
        low, high = np.quantile(self.samples, [tail, 1 - tail], axis=-1)
        return np.where(low < 1e-3, 0.0, low), np.where(high > 1 - 1e-3, 1.0, high)


def smooth_curve(counts: ArrayLike, S: ArrayLike | None = None, *, prior: WalkPrior = PRIOR) -> FloatArray:
    """Outcome distribution at every position, from few draws at each.

    Args:
        counts: Draws of each category, shape [positions, categories]. Rows may be weighted counts (not whole) or shares
            (summing to 1); a row of zeros is a position without draws, which its neighbours fill.
        S: Draws a position, one number or one a position (then exactly what each row is worth); default: the sums of
            the rows. A row that sums to more is scaled down to it.
        prior: What is known of such curves.

    Returns:
        Probabilities, shape [positions, categories]; rows sum to 1.

    Raises:
        ValueError: `counts` is not a table of finite numbers of 0 or more, or `S` does not fit it.
    """
    return curve_posterior(counts, S, prior=prior).estimate()


def curve_posterior(counts: ArrayLike, S: ArrayLike | None = None, *, prior: WalkPrior = PRIOR) -> CurvePosterior:
    """The same with its uncertainty. Arguments and errors are those of `smooth_curve`."""
    worth = effective_counts(counts, S)
    order, walks = _walks(worth, prior)
    if walks is None:
        ones = np.ones(worth.shape)
        return CurvePosterior(np.repeat(ones[..., None], SAMPLES, axis=-1), ones, np.ones(0))
    samples = _unbroken(_stratified(walks), order)
    mean = samples.mean(axis=-1)
    return CurvePosterior(np.sort(samples, axis=-1), mean / mean.sum(axis=1, keepdims=True), walks.manners)


def curve_paths(
    counts: ArrayLike, S: ArrayLike | None = None, *, n: int = 400, seed: int = 0, prior: WalkPrior = PRIOR
) -> FloatArray:
    """Whole curves drawn from the posterior, shape [n, positions, categories]: what a change between positions takes.

    Arguments and errors are those of `smooth_curve`.
    """
    worth = effective_counts(counts, S)
    order, walks = _walks(worth, prior)
    if walks is None:
        return np.ones((n, *worth.shape))
    shares = walks.paths(n, seed)
    return np.moveaxis(_unbroken(np.moveaxis(shares, 0, -1), order), -1, 0)


def effective_counts(counts: ArrayLike, S: ArrayLike | None = None) -> FloatArray:
    """Counts scaled to the draws that each row is worth. Arguments and errors are those of `smooth_curve`."""
    table = np.asarray(counts, dtype=float)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"counts have shape {table.shape}, expected [positions, categories], not empty")
    if not np.isfinite(table).all() or (table < 0).any():
        raise ValueError("counts must be finite and 0 or more")
    total = table.sum(axis=1)
    if S is None:
        return table
    wanted = np.asarray(S, dtype=float)
    if wanted.shape not in ((), total.shape) or not (np.isfinite(wanted) & (wanted > 0)).all():
        raise ValueError(
            f"S has shape {wanted.shape}, expected one number above 0 or one for each of {len(total)} rows"
        )
    seen = total > 0
    if wanted.ndim:
        worth = np.where(seen, wanted, 0.0)
    else:
        shares = bool(np.allclose(total[seen], 1))
        worth = np.where(seen, float(wanted), 0.0) if shares else np.minimum(total, wanted)
        whole = np.abs(table - np.round(table)).max() < 1e-9
        worth = worth * (1.0 if whole or shares else WEIGHTED_GAIN)
    return np.asarray(table * (worth / np.maximum(total, 1e-300))[:, None])


def _walks(worth: FloatArray, prior: WalkPrior) -> tuple[NDArray[np.intp], Walks | None]:
    """Order in which the categories are broken off, and the walks of their shares; none where there is one category."""
    order = np.argsort(-worth.sum(axis=0), kind="stable")
    if len(order) == 1:
        return order, None
    broken = worth[:, order]
    left = np.cumsum(broken[:, ::-1], axis=1)[:, ::-1]
    return order, walk_posterior(broken[:, :-1], left[:, :-1], prior)


def _stratified(walks: Walks) -> FloatArray:
    """Evenly spread quantiles of every share, paired at random over shares, shape [positions, shares, samples]."""
    rng = np.random.default_rng(0)
    positions, shares, cells = walks.mass.shape
    quantiles = (np.arange(SAMPLES) + 0.5) / SAMPLES
    below = np.concatenate([np.zeros((positions, shares, 1)), np.cumsum(walks.mass, axis=-1)], axis=-1)
    below /= below[..., -1:]
    found = np.empty((positions, shares, SAMPLES))
    for share in range(shares):
        wanted = rng.permutation(quantiles)
        # One search for all positions: row t of the distribution functions lies in [2t, 2t + 1].
        offset = 2.0 * np.arange(positions)[:, None]
        ladder, targets = (below[:, share] + offset).ravel(), (wanted[None, :] + offset).ravel()
        values = np.interp(targets, ladder, np.tile(walks.edges, positions))
        found[:, share] = values.reshape(positions, SAMPLES)
    return found


def _unbroken(shares: FloatArray, order: NDArray[np.intp]) -> FloatArray:
    """Chances of the categories from their shares of what is left, both [positions, …, samples]."""
    positions, broken, samples = shares.shape
    chances = np.empty((positions, broken + 1, samples))
    left = np.ones((positions, samples))
    for k in range(broken):
        chances[:, order[k]] = left * shares[:, k]
        left = left * (1 - shares[:, k])
    chances[:, order[-1]] = left
    return chances

"""How far apart two distributions over answers are: KL divergence and total variation, from counts.

Both are never negative, so counts alone always show some: the null floor says how much, and matters more than for a
signed difference.

1. Value: the divergence of posterior means under Dirichlet(1/2, …, 1/2) over the answers seen (Krichevsky and Trofimov
   1981). Where samples share members, the first distribution is a mixture: of the second, for those that are in both,
   and of its own. The value is biased upwards by about the null mean; nothing is subtracted.
2. Null floor and p: answers are exchanged at random between the members of the two samples (multivariate
   hypergeometric), those of both samples staying in both.
3. Interval: quantiles of the divergence under the Dirichlet posteriors, moved so that their mean is the value (the
   posterior adds its own noise to that of the counts, which would count it twice); its lower end is 0 where the
   permutation test does not reject at that level. Its coverage is published in `docs/measures.md`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotlab.stats.estimate import Estimate
from cotlab.stats.proportion import FloatArray

__all__ = ["Divergence", "divergence_estimate", "kl_divergence", "total_variation"]

Divergence: TypeAlias = Literal["kl", "tv"]
Counts: TypeAlias = NDArray[np.int64]
PRIOR = 0.5
"""Pseudo-count of each answer."""
DRAWS = 2_000
"""Permutations, and draws from the posterior."""


def kl_divergence(p: ArrayLike, q: ArrayLike) -> FloatArray:
    """Σ p·ln(p/q) in nats over the last axis; 0·ln 0 is 0, and p > 0 where q = 0 gives infinity."""
    left, right = np.broadcast_arrays(np.asarray(p, dtype=float), np.asarray(q, dtype=float))
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(left > 0, left * np.log(left / right), 0.0)
    total: FloatArray = np.maximum(terms.sum(axis=-1), 0.0)
    return total


def total_variation(p: ArrayLike, q: ArrayLike) -> FloatArray:
    """Half of Σ |p − q| over the last axis, in [0, 1]."""
    total: FloatArray = 0.5 * np.abs(np.asarray(p, dtype=float) - np.asarray(q, dtype=float)).sum(axis=-1)
    return total


def divergence_estimate(
    only1: ArrayLike,
    only2: ArrayLike,
    shared: ArrayLike | None = None,
    *,
    metric: Divergence = "kl",
    level: float = 0.95,
    min_n: int = 1,
    seed: int = 0,
) -> Estimate:
    """D(first sample ‖ second sample).

    Args:
        only1: Count of each answer among members of the first sample alone, shape [answers].
        only2: The same for the second sample alone.
        shared: The same for members of both.
        metric: kl (nats; of the first from the second) or tv.
        level: Nominal coverage of the interval.
        min_n: Smallest size of either sample.
        seed: Equal seeds give equal intervals and p.

    Returns:
        The estimate, without q; a reason instead where a sample is smaller than `min_n`.

    Raises:
        ValueError: The counts differ in length or one is negative.
    """
    parts = _checked(only1, shared if shared is not None else np.zeros(np.shape(only1), int), only2)
    parts = parts[:, parts.sum(axis=0) > 0]
    n1, n2 = int(parts[:2].sum()), int(parts[1:].sum())
    method = f"{metric}-dirichlet"
    for n, which in ((n1, "first"), (n2, "second")):
        if n < max(min_n, 1):
            reason = f"{n} rollouts in the {which} sample, at least {max(min_n, 1)} are needed"
            return Estimate(None, n=n2, n1=n1, n2=n2, level=level, method=method, reason=reason)
    rng = np.random.default_rng(seed)
    value = float(_divergence(metric, *parts))
    null = _null(metric, parts, rng)
    p = float((1 + (null >= value - 1e-12).sum()) / (1 + len(null)))
    posterior = _posterior(metric, parts, rng)
    low, high = np.quantile(posterior, [(1 - level) / 2, (1 + level) / 2]) - (posterior.mean() - value)
    limit = 1.0 if metric == "tv" else np.inf
    return Estimate(
        value,
        low=max(float(low), 0.0) if p < 1 - level else 0.0,
        high=min(max(float(high), value), limit),
        n=n2,
        n1=n1,
        n2=n2,
        level=level,
        null_mean=float(null.mean()),
        null_q95=float(np.quantile(null, 0.95)),
        p=p,
        method=method,
    )


def _checked(*counts: ArrayLike) -> NDArray[np.int64]:
    arrays = [np.asarray(one, dtype=np.int64).reshape(-1) for one in counts]
    if len({len(one) for one in arrays}) > 1:
        raise ValueError(f"counts have lengths {[len(one) for one in arrays]}, expected one for each answer")
    parts = np.stack(arrays)
    if (parts < 0).any():
        raise ValueError(f"count {int(parts.min())} is negative")
    return parts


def _divergence(metric: Divergence, only1: Counts, shared: Counts, only2: Counts) -> FloatArray:
    """Divergence of posterior means; counts are [..., answers]."""
    second, own = _mean(shared + only2), _mean(only1)
    n_shared, n_own = (part.sum(axis=-1, keepdims=True) for part in (shared, only1))
    passing = np.where(n_shared > 0, (n_shared + PRIOR) / (n_shared + n_own + 2 * PRIOR), 0.0)
    return _apart(metric, passing * second + (1 - passing) * own, second)


def _mean(counts: Counts) -> FloatArray:
    smooth = counts + PRIOR
    mean: FloatArray = smooth / smooth.sum(axis=-1, keepdims=True)
    return mean


def _apart(metric: Divergence, first: FloatArray, second: FloatArray) -> FloatArray:
    return kl_divergence(first, second) if metric == "kl" else total_variation(first, second)


def _null(metric: Divergence, parts: Counts, rng: np.random.Generator) -> FloatArray:
    pooled = parts.sum(axis=0)
    if len(pooled) < 2:
        return np.zeros(DRAWS)
    sizes = parts.sum(axis=1)
    first = rng.multivariate_hypergeometric(pooled, int(sizes[0] + sizes[1]), size=DRAWS, method="marginals")
    shared = _subsets(first, int(sizes[1]), rng)
    return _divergence(metric, first - shared, shared, pooled - first)


def _subsets(counts: NDArray[np.int64], size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`size` members of each row of counts, drawn without replacement, answer by answer."""
    found = np.zeros_like(counts)
    if not size:
        return found
    behind, left = counts.sum(axis=1), np.full(len(counts), size)
    for answer in range(counts.shape[1]):
        behind = behind - counts[:, answer]
        found[:, answer] = rng.hypergeometric(counts[:, answer], behind, left)
        left = left - found[:, answer]
    return found


def _posterior(metric: Divergence, parts: NDArray[np.int64], rng: np.random.Generator) -> FloatArray:
    """Draws of the divergence.

    The first distribution is a mixture: of the second, for the members of both, and of its own; the weight is the
    chance of passing on.
    """
    if parts.shape[1] == 1:  # an answer that nobody gave yet may be given
        parts = np.pad(parts, ((0, 0), (0, 1)))
    only1, shared, only2 = parts
    second = rng.dirichlet(shared + only2 + PRIOR, size=DRAWS)
    own = rng.dirichlet(only1 + PRIOR, size=DRAWS)
    if shared.sum():
        passing = rng.beta(shared.sum() + PRIOR, only1.sum() + PRIOR, size=(DRAWS, 1))
        own = passing * second + (1 - passing) * own
    tiny = np.finfo(float).tiny
    return _apart(metric, np.maximum(own, tiny), np.maximum(second, tiny))

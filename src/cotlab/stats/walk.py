"""Chances that move along positions: exact posterior of a walk under binomial counts.

A hidden Markov model whose state is the chance itself, on a grid that is even in arcsin √p:

1. From one position to the next the chance stays, drifts by a normal step in its logit (several scales), or jumps to a
   value of its own. How likely each is depends on the manner of the curve; a curve has one manner throughout.
2. Counts are binomial given the chance; a position without trials says nothing and is bridged.
3. Forward and backward sums (Rabiner 1989, §III) give the posterior of every position under each manner, and the
   evidence of the manners, by which they are averaged. Series that are given together share their manner.

Nothing is tuned for a curve: what is learned for it is learned by the evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Manner", "WalkPrior", "Walks", "grid_edges", "walk_posterior"]

FloatArray = NDArray[np.float64]
LEAST_CELLS, MOST_CELLS = 48, 160


@dataclass(frozen=True, slots=True)
class Manner:
    """A way in which curves move: the chance of each kind of step between neighbouring positions (they sum to 1)."""

    share: float
    """Share of curves that move so, before their counts are seen."""
    stay: float
    drift: tuple[float, ...]
    """One for each scale of the prior."""
    jump: float


@dataclass(frozen=True, slots=True)
class WalkPrior:
    """What is known of curves before their counts are seen."""

    scales: tuple[float, ...]
    """Standard deviations of a drift, in logits."""
    manners: tuple[Manner, ...]
    first: tuple[float, float]
    """Beta distribution of the chance at the first position."""
    landing: tuple[float, float]
    """Beta distribution of the chance that a jump leads to."""


@dataclass(frozen=True, slots=True, eq=False)
class Walks:
    """Posterior of some series over one grid."""

    edges: FloatArray
    """Ends of the cells, shape [cells + 1], from 0 to 1."""
    mass: FloatArray
    """Posterior mass of each cell, shape [positions, series, cells]."""
    manners: FloatArray
    """Posterior weight of each manner, shape [manners]."""
    forward: FloatArray
    """Filtered masses, shape [positions, manners, series, cells]."""
    steps: FloatArray
    """Transitions, shape [manners, cells, cells]."""

    def paths(self, n: int, seed: int = 0) -> FloatArray:
        """Whole curves drawn from the posterior, shape [n, positions, series] (forward filter, backward sample).

        A path that stays in a cell stays at one value; a path that comes into a cell lies anywhere in it.
        """
        rng = np.random.default_rng(seed)
        manner = np.sort(rng.choice(len(self.manners), size=n, p=self.manners))
        found = [self._paths(m, int((manner == m).sum()), rng) for m in np.unique(manner)]
        paths = np.concatenate(found)
        return paths[rng.permutation(n)]

    def _paths(self, manner: int, n: int, rng: np.random.Generator) -> FloatArray:
        positions, _, series, _ = self.forward.shape
        values = np.empty((n, positions, series))
        arrive = np.ascontiguousarray(self.steps[manner].T)
        cell = np.full((n, series), -1)
        place = np.empty((n, series))
        for t in range(positions - 1, -1, -1):
            weights = np.broadcast_to(self.forward[t, manner], (n, *self.forward.shape[2:]))
            if t < positions - 1:
                weights = weights * arrive[cell]
            total = np.cumsum(weights, axis=-1)
            drawn = (total < rng.random((n, series, 1)) * total[..., -1:]).sum(axis=-1)
            place = np.where(drawn == cell, place, rng.random((n, series)))
            cell = drawn
            values[:, t] = self.edges[cell] + place * (self.edges[cell + 1] - self.edges[cell])
        return values


def walk_posterior(successes: ArrayLike, trials: ArrayLike, prior: WalkPrior, *, cells: int | None = None) -> Walks:
    """Posterior of the chances behind some series of counts.

    Args:
        successes: Shape [positions, series]; need not be whole.
        trials: The same shape, each at least the successes; 0 where a position was not looked at.
        prior: What is known of such curves.
        cells: Cells of the grid; by default as fine as the largest number of trials can tell apart, 48 to 160.

    Raises:
        ValueError: The shapes differ, or there is no position or no series.
    """
    y, n = np.asarray(successes, dtype=float), np.asarray(trials, dtype=float)
    if y.shape != n.shape or y.ndim != 2 or not y.size:
        raise ValueError(f"successes {y.shape} and trials {n.shape}, expected one shape [positions, series], not empty")
    if cells is None:
        cells = int(np.clip(np.ceil(np.pi * np.sqrt(n.max())), LEAST_CELLS, MOST_CELLS))
    points = grid_points(cells)
    chance = y[..., None] * np.log(points) + (n - y)[..., None] * np.log1p(-points)
    peak = chance.max(axis=-1, keepdims=True)
    chance = np.exp(chance - peak)
    steps, first = transitions(prior, cells), beta_cells(*prior.first, cells)
    forward, scale = _forward(chance, steps, first)
    log_evidence = np.log(scale).sum(axis=(0, 2)) + np.log([manner.share for manner in prior.manners])
    weight = np.exp(log_evidence - log_evidence.max())
    weight /= weight.sum()
    backward = _backward(chance, steps, scale)
    mass = np.einsum("m,tmsg->tsg", weight, forward * backward)
    return Walks(grid_edges(cells), mass / mass.sum(axis=-1, keepdims=True), weight, forward, steps)


def _forward(chance: FloatArray, steps: FloatArray, first: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Filtered masses and what each was divided by, shapes [positions, manners, series, cells] and without cells."""
    forward = np.empty((len(chance), len(steps), *chance.shape[1:]))
    scale = np.empty(forward.shape[:-1])
    here = np.broadcast_to(first, forward.shape[1:])
    for t in range(len(chance)):
        here = (here if t == 0 else here @ steps) * chance[t]
        scale[t] = here.sum(axis=-1)
        here = forward[t] = here / scale[t][..., None]
    return forward, scale


def _backward(chance: FloatArray, steps: FloatArray, scale: FloatArray) -> FloatArray:
    """What later counts say of each cell, scaled so that its product with the filtered masses sums to 1."""
    backward = np.ones((*scale.shape, chance.shape[-1]))
    back = np.swapaxes(steps, 1, 2)
    for t in range(len(chance) - 2, -1, -1):
        backward[t] = (backward[t + 1] * chance[t + 1]) @ back / scale[t + 1][..., None]
    return backward


@lru_cache(maxsize=16)
def grid_edges(cells: int) -> FloatArray:
    """Ends of the cells, even in arcsin √p, shape [cells + 1]."""
    edges = np.asarray(np.sin(np.arange(cells + 1) / cells * np.pi / 2) ** 2)
    edges.flags.writeable = False
    return edges


def grid_points(cells: int) -> FloatArray:
    """Middles of the cells on the same scale, shape [cells]."""
    return np.asarray(np.sin((np.arange(cells) + 0.5) / cells * np.pi / 2) ** 2)


def beta_cells(a: float, b: float, cells: int) -> FloatArray:
    """Mass of a Beta distribution in each cell; none is empty."""
    from scipy.special import betainc

    mass = np.maximum(np.diff(betainc(a, b, grid_edges(cells))), 1e-12)
    return np.asarray(mass / mass.sum())


@lru_cache(maxsize=8)
def kernels(scales: tuple[float, ...], cells: int) -> FloatArray:
    """Staying, and drifting by each scale, shape [1 + scales, cells, cells]; rows sum to 1."""
    from scipy.special import logit, ndtr

    centre, inner = logit(grid_points(cells)), logit(grid_edges(cells)[1:-1])
    found = [np.eye(cells)]
    for scale in scales:
        below = ndtr((inner[None, :] - centre[:, None]) / scale)
        found.append(np.diff(below, axis=1, prepend=0.0, append=1.0))
    return np.array(found)


@lru_cache(maxsize=8)
def transitions(prior: WalkPrior, cells: int) -> FloatArray:
    """Transition matrix of each manner, shape [manners, cells, cells]."""
    landing, found = beta_cells(*prior.landing, cells), kernels(prior.scales, cells)
    return np.array(
        [np.tensordot([m.stay, *m.drift], found, axes=1) + m.jump * landing[None, :] for m in prior.manners]
    )

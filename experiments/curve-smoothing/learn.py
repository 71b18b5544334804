"""Learn the prior of `cotlab.measures.smoothing` from many curves, by expectation maximisation.

What is learned: shares of two manners of moving, in each the chances of staying, drifting (two scales) and jumping, the
Beta distribution of the first chance and that of where jumps lead. The scales themselves are fixed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from cotlab.stats import walk
from cotlab.stats.walk import Manner, WalkPrior

Array = NDArray[np.float64]
CELLS = 48
START = WalkPrior(
    scales=(0.15, 0.6),
    manners=(
        Manner(0.5, stay=0.45, drift=(0.3, 0.15), jump=0.1),
        Manner(0.5, stay=0.85, drift=(0.13, 0.01), jump=0.01),
    ),
    first=(1.0, 1.0),
    landing=(1.0, 1.0),
)
FREE = Manner(0.02, stay=0.25, drift=(0.125, 0.125), jump=0.5)
"""Added afterwards, so that a curve unlike all others can be followed."""


def learn(curves: Sequence[Array], rounds: int = 15) -> WalkPrior:
    """The prior under which these curves (counts, [positions, categories]) are likeliest."""
    series = [_sticks(counts) for counts in curves]
    prior = START
    for _ in range(rounds):
        prior = _round(series, prior)
    rest = 1 - FREE.share
    kept = tuple(Manner(m.share * rest, m.stay, m.drift, m.jump) for m in prior.manners)
    return WalkPrior(prior.scales, (*kept, FREE), prior.first, prior.landing)


def _sticks(counts: Array) -> tuple[Array, Array]:
    broken = counts[:, np.argsort(-counts.sum(axis=0), kind="stable")]
    left = np.cumsum(broken[:, ::-1], axis=1)[:, ::-1]
    return broken[:, :-1], left[:, :-1]


def _round(series: Sequence[tuple[Array, Array]], prior: WalkPrior) -> WalkPrior:
    """One expectation and one maximisation."""
    found, n = walk.kernels(prior.scales, CELLS), len(prior.manners)
    kinds = np.array([[m.stay, *m.drift, m.jump] for m in prior.manners])
    landing = walk.beta_cells(*prior.landing, CELLS)
    used, first, landed, shares = kinds.mean(axis=0) * np.ones((n, 1)), np.zeros(CELLS), np.zeros(CELLS), np.ones(n)
    for y, trials in series:
        weight, start, pairs = _expected(y, trials, prior)
        shares += weight
        first += start
        moved = np.einsum("mij,kij->mk", pairs, found) * kinds[:, :-1]
        jumped = kinds[:, -1:] * landing * pairs.sum(axis=1)
        used += weight[:, None] * np.column_stack([moved, jumped.sum(axis=1)])
        landed += weight @ jumped
    used /= used.sum(axis=1, keepdims=True)
    shares /= shares.sum()
    manners = tuple(
        Manner(float(share), float(k[0]), tuple(float(x) for x in k[1:-1]), float(k[-1]))
        for share, k in zip(shares, used, strict=True)
    )
    return WalkPrior(prior.scales, manners, _beta(first), _beta(landed))


def _expected(y: Array, trials: Array, prior: WalkPrior) -> tuple[Array, Array, Array]:
    """Weights of the manners, expected first cells, and expected pairs of cells over the transition, a manner each."""
    points = walk.grid_points(CELLS)
    chance = y[..., None] * np.log(points) + (trials - y)[..., None] * np.log1p(-points)
    chance = np.exp(chance - chance.max(axis=-1, keepdims=True))
    steps, first = walk.transitions(prior, CELLS), walk.beta_cells(*prior.first, CELLS)
    forward, scale = walk._forward(chance, steps, first)
    backward = walk._backward(chance, steps, scale)
    log_evidence = np.log(scale).sum(axis=(0, 2)) + np.log([m.share for m in prior.manners])
    weight = np.exp(log_evidence - log_evidence.max())
    weight /= weight.sum()
    arriving = backward[1:] * chance[1:, None] / scale[1:][..., None]
    pairs = np.einsum("tmsi,tmsj->mij", forward[:-1], arriving, optimize=True)
    start = np.einsum("m,msg->g", weight, forward[0] * backward[0])
    return weight, start, pairs


def _beta(mass: Array) -> tuple[float, float]:
    """Beta distribution that gives these masses of cells, with a weak pull towards the uniform one."""

    def loss(logs: Array) -> float:
        a, b = np.exp(logs)
        return float(-(mass * np.log(walk.beta_cells(a, b, CELLS))).sum() + 0.1 * (logs**2).sum())

    best = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-2, "fatol": 1e-3})
    a, b = np.exp(best.x)
    return float(a), float(b)

"""Features that carry a hallucination: what raises Yes where the first shape is there and the second is not.

A feature's attribution in one run is Σ over tokens of activation · (∂ log odds of Yes / ∂x · its direction): to first
order what ablating it takes away. For each case three runs are attributed, which differ in one object:

- **carried** = attribution in `primed` less that in `control`, both without the second shape: its part in the error;
- **real** = the same of `there` less `control`: its part in a true Yes.

p: a signed-rank test of carried over cases, one-sided; q over all features that are active in some run (Benjamini and
Hochberg). `chosen` takes those of q below the level by how much they carry beyond what a true Yes needs of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cotlab.chains.prefix import Prefix
from cotlab.errors import DataError
from cotlab.sampling.progress import Progress, Silent
from cotlab.whitebox.vision import Asking, Case

if TYPE_CHECKING:
    from cotlab.interventions import SparseAutoencoder

__all__ = ["Carrying", "attribution", "carrying_features"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Carrying:
    """What each feature carries, by case."""

    carried: Array
    """[cases, d_sae] nats"""
    real: Array
    """[cases, d_sae] nats"""
    rates: Array
    """[d_sae] share of the tokens of all runs at which it is active."""
    sizes: Array
    """[d_sae] mean norm of what it adds to a token, over all tokens of all runs, raw units."""
    q: Array
    """[d_sae] NaN where it is never active."""

    def chosen(self, most: int, level: float = 0.05) -> tuple[int, ...]:
        """Features that carry the error, the one that carries most beyond a true Yes first; none is possible."""
        beyond = self.carried.mean(0) - np.maximum(self.real.mean(0), 0)
        found = np.flatnonzero((self.q < level) & (self.carried.mean(0) > 0) & (beyond > 0))
        return tuple(int(one) for one in found[np.argsort(-beyond[found], kind="stable")][:most])

    @property
    def carriers(self) -> tuple[int, ...]:
        """All that carry the error, whatever a true Yes needs of them."""
        return tuple(np.flatnonzero((self.q < 0.05) & (self.carried.mean(0) > 0)).tolist())

    def like(
        self, features: Sequence[int], rng: np.random.Generator, near: int = 20, without: Sequence[int] = ()
    ) -> tuple[int, ...]:
        """As many others, each of nearly the firing rate and size of one of these, none of some.

        Raises:
            DataError: There are too few others.
        """
        taken = {*features, *without}
        alive = [i for i in np.flatnonzero(self.rates > 0).tolist() if i not in taken]
        if len(alive) < len(features):
            raise DataError(f"{len(alive)} other features are active, {len(features)} are needed to compare with")
        rate, size = np.log(self.rates + 1e-9), np.log(self.sizes + 1e-9)
        found: list[int] = []
        for feature in features:
            free = np.array([i for i in alive if i not in found])
            apart = np.abs(rate[free] - rate[feature]) + np.abs(size[free] - size[feature])
            found.append(int(rng.choice(free[np.argsort(apart, kind="stable")[:near]])))
        return tuple(found)

    def exchanged(self, rng: np.random.Generator) -> Carrying:
        """As if `primed` and `control` were the other way round in half of the cases, by chance."""
        turn = rng.random(len(self.carried)) < 0.5
        carried = np.where(turn[:, None], -self.carried, self.carried)
        real = np.where(turn[:, None], self.real - self.carried, self.real)
        return Carrying(carried, real, self.rates, self.sizes, tested(carried))

    def to_json(self, features: Sequence[int]) -> list[dict[str, Any]]:
        """Some features."""
        return [
            {
                "feature": int(i),
                "carried": float(self.carried[:, i].mean()),
                "real": float(self.real[:, i].mean()),
                "q": None if np.isnan(self.q[i]) else float(self.q[i]),
                "rate": float(self.rates[i]),
                "size": float(self.sizes[i]),
            }
            for i in features
        ]


def carrying_features(
    asking: Asking, sae: SparseAutoencoder, cases: Sequence[Case], progress: Progress | None = None
) -> Carrying:
    """Attribute the error to features.

    Args:
        asking: The model.
        sae: Of the model, at a point of its decoder or its vision side.
        cases: Six or more.
        progress: Told how far it is.

    Raises:
        DataError: Fewer than six cases: no test can find anything.
        ModelError: The autoencoder does not fit the model.
        UserError: The autoencoder normalises each token by itself.
    """
    if len(cases) < 6:
        raise DataError(f"{len(cases)} cases, at least 6 are needed for a test at 5%")
    sae.check(asking.inside.shape, asking.inside.name, asking.inside.revision)
    tell = progress or Silent()
    tell.phase("attributing the error", len(cases), "cases")
    carried, real = np.zeros((2, len(cases), sae.d_sae))
    active, size, tokens = np.zeros(sae.d_sae), np.zeros(sae.d_sae), 0
    sae.directions([0])  # says so where there is none
    norms = (sae.W_dec.norm(dim=1) / sae.card.scale).double().cpu().numpy()
    for number, case in enumerate(cases):
        runs = {version: attribution(asking, sae, case.prefixes[version]) for version in ("primed", "control", "there")}
        carried[number] = runs["primed"].effect - runs["control"].effect
        real[number] = runs["there"].effect - runs["control"].effect
        for run in runs.values():
            active += run.counts
            size += run.sums * norms
            tokens += run.n_tokens
        tell.advance(1, 0)
    return Carrying(carried, real, active / tokens, size / tokens, tested(carried))


def tested(carried: Array) -> Array:
    """Test what features carry, [cases, d_sae]: q over those that are active in some run, NaN of the others."""
    from scipy.stats import false_discovery_control, wilcoxon

    q = np.full(carried.shape[1], np.nan)
    some = np.flatnonzero((carried != 0).any(0))
    if len(some):
        p = wilcoxon(carried[:, some], alternative="greater", axis=0, method="approx").pvalue
        q[some] = false_discovery_control(np.nan_to_num(p, nan=1.0))
    return q


@dataclass(frozen=True, slots=True, eq=False)
class Attributed:
    """One run. Arrays are (d_sae,)."""

    effect: Array
    """Σ over tokens of activation · gradient along its direction, nats."""
    counts: Array
    """Tokens at which it is active."""
    sums: Array
    """Sum of its activations."""
    n_tokens: int


def attribution(asking: Asking, sae: SparseAutoencoder, prefix: Prefix) -> Attributed:
    """Attribute the log odds of Yes behind a prefix to the features of an autoencoder."""
    held: list[Tensor] = []

    def watch(value: Tensor) -> Tensor:
        held.append(value.detach().clone().requires_grad_())
        return held[0]

    logits = asking.inside.logits(prefix, {sae.point: watch})
    odds = logits[-1, asking.yes] - logits[-1, asking.no]
    (gradient,) = torch.autograd.grad(odds, held[0])
    with torch.no_grad():
        found = sae.encode_sparse(held[0].to(sae.b_dec))
        along = (gradient[found.tokens] * sae.directions(found.features).to(gradient)).sum(-1)
        values, features = found.values.double(), found.features.cpu().numpy()
        effect = np.bincount(features, (values * along.double()).cpu().numpy(), minlength=sae.d_sae)
        sums = np.bincount(features, values.cpu().numpy(), minlength=sae.d_sae)
        counts = np.bincount(features, minlength=sae.d_sae).astype(float)
    return Attributed(effect.astype(float), counts, sums.astype(float), len(held[0]))

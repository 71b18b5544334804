"""What an intervention on features is compared with: how large it is, and what else is as large.

- reconstruction: the autoencoder's x̂ in place of x, no feature touched;
- random features: of nearly the same firing rate, changed in the same way by as much (`cotlab.saes.feature_sizes`);
- the vector: the mean change as a steering vector, at the mean norm of the change (of one feature: its decoder row);
- the same vector the other way, and random directions of its norm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cotlab.errors import UserError
from cotlab.interventions import FeatureSteering, Reconstruction, Steering, SteeringVector, VectorCard
from cotlab.interventions.base import Intervention
from cotlab.interventions.where import Where
from cotlab.saes.feature_sizes import FeatureSizes

if TYPE_CHECKING:
    from cotlab.engines.base import Engine, Passage
    from cotlab.interventions import SparseAutoencoder, SparseFeatures
    from cotlab.saes.stored import StoredAutoencoder

__all__ = ["RANDOM", "ChangeSize", "FeatureControls", "measure_changes"]

NEAR = 10
"""A random feature is one of so many that are most like in firing rate and size."""
DIRECTIONS = 2
"""Random directions at most."""
RANDOM = "random features"
"""What names of arms with random features begin with."""


@dataclass(frozen=True, slots=True)
class ChangeSize:
    """How much an intervention on features changes activations, where it holds."""

    relative: float
    """Mean norm of the change over mean norm of the activations."""
    rates: dict[int, float]
    """Share of tokens at which each changed feature is active."""
    n_tokens: int


@dataclass(frozen=True, eq=False)
class FeatureControls:
    """Activations at the tokens where an intervention would hold, and what follows from them."""

    sae: SparseAutoencoder | StoredAutoencoder
    where: Where
    x: Tensor
    """Shape (tokens, d_model), raw units."""
    active: SparseFeatures
    """Features at these tokens."""
    model: str
    revision: str

    @cached_property
    def sizes(self) -> FeatureSizes:
        """How often features are active here, and how much a change of each changes."""
        return FeatureSizes.of(self.active, self.sae.norms())

    @property
    def rates(self) -> NDArray[np.float64]:
        """Share of these tokens at which each feature is active."""
        return self.sizes.rates

    def vector(self, its: FeatureSteering) -> SteeringVector:
        """The mean change, at the mean norm of the change.

        Raises:
            UserError: Nothing is changed at any of the tokens.
        """
        moved = self._moved(its)
        mean, norm = moved.mean(0), float(moved.norm(dim=-1).mean())
        if norm < 1e-9 or float(mean.norm()) < 1e-9:
            raise UserError(
                f"{', '.join(map(str, its.changes))} changes nothing at {len(self.x)} tokens: the feature is never "
                "active there. Clamp it, or choose another"
            )
        card = VectorCard(
            name=f"features {', '.join(str(change.feature) for change in its.changes)}",
            model=self.model,
            revision=self.revision,
            method="sae-features",
            data=f"mean change of intervention {its.id[:12]}",
            n=(len(self.x),),
            mean_norms=(float(self.x.norm(dim=-1).mean()),),
        )
        return SteeringVector(its.points, (mean / mean.norm() * norm)[None].numpy(), card)

    def arms(
        self, its: FeatureSteering, *, n_random: int, seed: int, reconstruction: bool = True
    ) -> list[tuple[str, Intervention]]:
        """Controls by name, the reconstruction first.

        Args:
            its: What is compared.
            n_random: Random features; random directions too, `DIRECTIONS` at most.
            seed: Of both.
            reconstruction: Whether it is among them: it needs all of the autoencoder in memory.

        Raises:
            UserError: Nothing is changed at any of the tokens, or there are not so many features like these.
        """
        vector = self.vector(its)
        found: list[tuple[str, Intervention]] = []
        if reconstruction:
            found.append(("reconstruction", Reconstruction(self.sae.load(), self.where)))
        found += [
            (f"{RANDOM} {i + 1}: {', '.join(str(c.feature) for c in other.changes)}", other)
            for i, other in enumerate(self.random_features(its, n_random, seed))
        ]
        found += [
            ("steering vector of equal norm", Steering(vector, (1.0,), self.where)),
            ("the same vector, wrong sign", Steering(vector, (-1.0,), self.where)),
        ]
        found += [
            (f"random direction {i + 1}", Steering(vector.random_like(seed + i), (1.0,), self.where))
            for i in range(min(n_random, DIRECTIONS))
        ]
        return found

    def random_features(self, its: FeatureSteering, n: int, seed: int) -> list[FeatureSteering]:
        """Others, each changed in the same way by as much; none twice.

        Raises:
            UserError: There are not so many.
        """
        rng = np.random.default_rng(seed)
        taken = {change.feature for change in its.changes}
        sets: list[list[int]] = [[] for _ in range(n)]
        for change in its.changes:
            like = self.sizes.like(change, max(NEAR, 2 * n), without=taken)
            if len(like) < n:
                raise UserError(
                    f"SAE {self.sae.card.label} has {len(like)} further features that can be changed as much as "
                    f"feature {change.feature}, {n} are asked for: take fewer random ones, or clamp to another value"
                )
            chosen = rng.choice(like, n, replace=False).tolist()
            taken |= set(chosen)
            for one, other in zip(sets, chosen, strict=True):
                one.append(int(other))
        return [
            FeatureSteering.of(
                self.sae, [self.sizes.resized(c, other) for c, other in zip(its.changes, one, strict=True)], self.where
            )
            for one in sets
        ]

    def size(self, its: FeatureSteering) -> ChangeSize:
        """How much it changes."""
        relative = float(self._moved(its).norm(dim=-1).mean() / self.x.norm(dim=-1).mean())
        rates = {change.feature: float(self.rates[change.feature]) for change in its.changes}
        return ChangeSize(relative, rates, len(self.x))

    def _moved(self, its: FeatureSteering) -> Tensor:
        offset, factor = (torch.tensor(part) for part in its.coefficients())
        rows = its.rows.to(self.x.device)
        return rows.write(self.x, offset + factor * rows.read(self.x)).float()


def measure_changes(
    engine: Engine, sae: SparseAutoencoder | StoredAutoencoder, where: Where, passages: Sequence[Passage]
) -> FeatureControls:
    """Read the tokens where interventions would hold.

    Args:
        engine: That can read activations.
        sae: Of its model, or said to be transferred to it.
        where: Which tokens; of its rules those that look at tokens are not applied.
        passages: Unchanged ones.

    Raises:
        UserError: There is no token.
    """
    spans = [where.place(passage.prefix.n_prompt, len(passage.prefix.token_ids)) for passage in passages]
    places = [
        list(range(span.start, len(passage.token_ids) if span.stop is None else span.stop))
        for span, passage in zip(spans, passages, strict=True)
    ]
    chosen = [(passage, its) for passage, its in zip(passages, places, strict=True) if its]
    if not chosen:
        raise UserError(f"no token fits where features should be changed ({where})")
    read = engine.read((passage for passage, _ in chosen), [sae.point], (its for _, its in chosen))
    x = torch.from_numpy(np.concatenate([rows[sae.point] for rows in read]))
    active = sae.encode_sparse(x.to(sae.b_dec.device))
    return FeatureControls(sae, where, x, active, engine.card.model, engine.card.revision)

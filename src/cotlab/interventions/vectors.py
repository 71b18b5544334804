"""Steering vectors: directions at hook points, with a card that says where they are from."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotlab.errors import ModelError, UserError
from cotlab.identity import content_id
from cotlab.interventions.hook_points import STEERABLE, HookPoint, ModelShape

__all__ = ["SteeringVector", "VectorCard"]


@dataclass(frozen=True, slots=True)
class VectorCard:
    """What a vector is of and how it was made. Not part of its id, but for the model that it fits."""

    name: str = ""
    """What a person calls it: the behaviour, such as `backtracking`."""
    model: str = ""
    """Model whose activations it was made from; "" where that is not known (a control vector of another tool)."""
    revision: str = ""
    template_id: str = ""
    method: str = ""
    """difference-of-means, pca, prompt-pairs, random, imported:gguf, …"""
    positions: str = ""
    """Which tokens the activations were taken from."""
    data: str = ""
    """Which chains or texts."""
    n: tuple[int, ...] = ()
    """Activations on each side of the contrast."""
    mean_norms: tuple[float, ...] = ()
    """Mean norm of the activations at each hook point, raw units: what a relative dose is relative to."""
    stability: dict[str, Any] = field(default_factory=dict)
    """How stable labels and direction are (split-half cosine, agreement of labels)."""
    notes: str = ""

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {**asdict(self), "n": list(self.n), "mean_norms": list(self.mean_norms)}

    @classmethod
    def from_json(cls, card: dict[str, Any]) -> VectorCard:
        """Inverse of `to_json`."""
        return cls(**{**card, "n": tuple(card["n"]), "mean_norms": tuple(card["mean_norms"])})


@dataclass(frozen=True, eq=False)
class SteeringVector:
    """One direction for each of some hook points, in raw units of the residual stream.

    Equal directions at equal points of equal models are the same vector: `id` is a hash of these.
    """

    points: tuple[HookPoint, ...]
    directions: NDArray[np.float32]
    """Shape (points, d_model)."""
    card: VectorCard = field(default_factory=VectorCard)

    def __post_init__(self) -> None:
        directions = np.ascontiguousarray(self.directions, dtype=np.float32)
        _check(self.points, directions, self.card)
        directions.setflags(write=False)
        object.__setattr__(self, "directions", directions)

    @cached_property
    def id(self) -> str:
        """Tagged hash of the numbers, their points and the model that they are of."""
        tensor = hashlib.blake2b(self.directions.tobytes(), digest_size=16).hexdigest()
        spec = [[str(point) for point in self.points], self.card.model, self.card.revision, list(self.card.mean_norms)]
        return content_id("vector", [*spec, list(self.directions.shape), tensor])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SteeringVector) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def d_model(self) -> int:
        """Width."""
        return int(self.directions.shape[1])

    @property
    def norms(self) -> tuple[float, ...]:
        """Norm of the direction at each point."""
        return tuple(float(norm) for norm in np.linalg.norm(self.directions.astype(np.float64), axis=1))

    def check(self, shape: ModelShape, model: str, revision: str) -> None:
        """Say so where it does not fit a model.

        Raises:
            ModelError: The vector is of another model, width or depth.
        """
        mine = (self.card.model, self.card.revision)
        if self.card.model and mine != (model, revision):
            raise ModelError(
                f"vector {self.label} is of the model '{mine[0]}' at revision '{mine[1]}', and this is '{model}' at "
                f"'{revision}'; make one from this model's chains, or say so with `vector.for_model(...)`"
            )
        if self.d_model != shape.d_model:
            raise ModelError(f"vector {self.label} has width {self.d_model}, the model '{model}' has {shape.d_model}")
        for point in self.points:
            point.check(shape)

    def for_model(self, model: str, revision: str) -> SteeringVector:
        """The same directions, to be used on another model (a distill of the model that they are from).

        Norms of the old model are dropped: they do not hold for the new one.
        """
        old = f"transferred from {self.card.model} at {self.card.revision}".strip()
        notes = f"{self.card.notes}; {old}" if self.card.notes else old
        return replace(self, card=replace(self.card, model=model, revision=revision, mean_norms=(), notes=notes))

    def with_mean_norms(self, mean_norms: tuple[float, ...]) -> SteeringVector:
        """The same vector, knowing the mean norm of the activations at its points."""
        return replace(self, card=replace(self.card, mean_norms=mean_norms))

    def at(self, *points: HookPoint) -> SteeringVector:
        """Only some of its points.

        Raises:
            UserError: It has no direction there.
        """
        for point in points:
            if point not in self.points:
                have = ", ".join(map(str, self.points))
                raise UserError(f"vector {self.label} has no direction at {point}; it has: {have}")
        index = [self.points.index(point) for point in points]
        norms = tuple(self.card.mean_norms[i] for i in index) if self.card.mean_norms else ()
        return SteeringVector(points, self.directions[index], replace(self.card, mean_norms=norms))

    def random_like(self, seed: int) -> SteeringVector:
        """A control: an isotropic random direction of the same norm at each point."""
        noise = np.random.default_rng(seed).standard_normal(self.directions.shape)
        noise *= np.array(self.norms)[:, None] / np.linalg.norm(noise, axis=1, keepdims=True)
        name = f"random {seed} like {self.card.name or self.id}"
        card = replace(self.card, name=name, method="random", n=(), stability={}, notes=f"norm-matched to {self.id}")
        return SteeringVector(self.points, noise.astype(np.float32), card)

    @property
    def label(self) -> str:
        """Name and id, for messages."""
        return f"'{self.card.name}' ({self.id[:8]})" if self.card.name else self.id[:8]


def _check(points: tuple[HookPoint, ...], directions: NDArray[np.float32], card: VectorCard) -> None:
    name = f"vector '{card.name}'" if card.name else "vector"
    if directions.ndim != 2 or len(directions) != len(points) or not points:
        raise UserError(
            f"{name} has directions of shape {directions.shape} for {len(points)} hook points; expected "
            f"({len(points) or 'points'}, d_model)"
        )
    if len(set(points)) != len(points):
        raise UserError(f"{name} has two directions at one hook point: {', '.join(map(str, points))}")
    for point, direction in zip(points, directions, strict=True):
        if point.kind not in STEERABLE:
            raise UserError(f"{name} cannot be added at {point}; it can at: {', '.join(STEERABLE)}")
        bad = int((~np.isfinite(direction)).sum())
        if bad:
            raise UserError(f"{name} holds {bad} values at {point} that are NaN or infinite; make it again")
        if not direction.any():
            raise UserError(f"{name} is zero at {point}; leave the point out")
    if card.mean_norms and (
        len(card.mean_norms) != len(points) or not all(math.isfinite(norm) and norm > 0 for norm in card.mean_norms)
    ):
        raise UserError(
            f"{name} has mean norms {card.mean_norms}; expected one above 0 for each of {len(points)} points"
        )

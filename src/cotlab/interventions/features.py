"""Interventions on the features of a sparse autoencoder, what it misses of the activations (the error term) kept.

x' = x + Σ_f (a'_f − a_f) · d_f with a_f the feature's activation at the token and d_f what one unit of it adds. The
reconstruction is an intervention of its own: x' = x̂, the control that says what the autoencoder alone does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from cotlab.errors import UserError
from cotlab.interventions.autoencoder import SparseAutoencoder
from cotlab.interventions.base import ActivationChange
from cotlab.interventions.feature_change import FeatureChange
from cotlab.interventions.feature_rows import FeatureRows, HasFeatures, token_by_token
from cotlab.interventions.hook_points import STEERABLE, HookPoint, ModelShape
from cotlab.interventions.sae_card import SAECard
from cotlab.interventions.sae_files import sae_from_file, sae_to_file
from cotlab.interventions.where import Where

__all__ = ["FeatureChange", "FeatureSteering", "Reconstruction"]


@dataclass(frozen=True, slots=True)
class FeatureSteering(ActivationChange):
    """Set features of an autoencoder, at the tokens that `where` names. Make one with `FeatureSteering.of`."""

    kind: ClassVar[str] = "sae-features"

    rows: FeatureRows = field(compare=False)
    changes: tuple[FeatureChange, ...]
    """One for each feature of `rows`, in their order, values in the autoencoder's own units."""
    where: Where = field(default_factory=Where)
    rows_id: str = ""

    def __post_init__(self) -> None:
        if tuple(change.feature for change in self.changes) != self.rows.features:
            raise UserError("each feature needs one change")
        if self.rows.card.point.kind not in STEERABLE:
            raise UserError(
                f"SAE {self.rows.card.label} is of {self.rows.card.point}, where nothing can be changed; it can at: "
                f"{', '.join(STEERABLE)}"
            )
        object.__setattr__(self, "rows_id", self.rows.id)

    @classmethod
    def of(cls, sae: HasFeatures, changes: Sequence[FeatureChange], where: Where | None = None) -> FeatureSteering:
        """Change features of an autoencoder.

        Args:
            sae: Of the model, or said to be transferred to it; in memory, or on disk (`open_sae`), of which the rows of
                these features are read (all of it, where which are active depends on the others: topk).
            changes: One a feature, in any units that the autoencoder knows.
            where: Which tokens; default: all.

        Raises:
            UserError: A feature is not there or named twice, or a value cannot be converted.
        """
        numbers = [change.feature for change in changes]
        twice = next((number for number in numbers if numbers.count(number) > 1), None)
        if twice is not None:
            raise UserError(f"feature {twice} is changed twice; name it once")
        own = sorted((_in_own_units(sae.card, change) for change in changes), key=lambda change: change.feature)
        return cls(FeatureRows.of(sae, numbers), tuple(own), where or Where())

    @property
    def points(self) -> tuple[HookPoint, ...]:
        """Where it changes something."""
        return (self.rows.card.point,)

    def check(self, shape: ModelShape, model: str, revision: str) -> None:
        """Say so where the autoencoder does not fit a model.

        Raises:
            ModelError: It is of another model, width or depth.
        """
        self.rows.sae.check(shape, model, revision)

    def delta(self) -> Tensor | None:
        """What is added at every token, shape (d_model,), where that is the same for all; None where it depends."""
        if self.rows.card.per_token or any(change.action != "add" for change in self.changes):
            return None
        return torch.tensor([change.value for change in self.changes]) @ self.rows.directions.float().cpu()

    def coefficients(self) -> tuple[list[float], list[float]]:
        """The change of each feature as offset + factor · a."""
        offset = [float(change.value or 0) if change.action in ("clamp", "add") else 0.0 for change in self.changes]
        factor = {"clamp": -1.0, "ablate": -1.0, "add": 0.0}
        return offset, [factor.get(change.action, float(change.value or 0) - 1) for change in self.changes]

    def to_json(self) -> dict[str, Any]:
        """The spec: everything that decides what is applied, the rows by their id."""
        return {
            "kind": self.kind,
            "sae": self.rows.sae_id,
            "rows": self.rows_id,
            "points": [str(point) for point in self.points],
            "changes": [change.to_json() for change in self.changes],
            "where": self.where.to_json(),
        }

    def artifact(self, folder: Path) -> str:
        """Write what is needed of the autoencoder into a run folder, once; the path there."""
        name = f"saes/{self.rows.file}"
        if not (folder / name).exists():
            self.rows.save(folder / name)
        return name

    @classmethod
    def from_json(cls, spec: dict[str, Any], artifact: Path) -> FeatureSteering:
        """Inverse of `to_json`, with the file that `artifact` wrote.

        Raises:
            UserError: The file holds other rows.
        """
        rows = FeatureRows.load(artifact, tuple(change["feature"] for change in spec["changes"]))
        if rows.id != spec["rows"]:
            raise UserError(f"{artifact} holds the rows {rows.id}, and the intervention is of {spec['rows']}")
        return cls(rows, tuple(FeatureChange(**change) for change in spec["changes"]), Where.from_json(spec["where"]))


@dataclass(frozen=True, slots=True)
class Reconstruction(ActivationChange):
    """Put what an autoencoder makes of the activations in their place, the error term lost: a control."""

    kind: ClassVar[str] = "sae-reconstruction"

    sae: SparseAutoencoder
    where: Where = field(default_factory=Where)

    def __post_init__(self) -> None:
        token_by_token(self.sae)
        if self.sae.point.kind not in STEERABLE:
            raise UserError(f"SAE {self.sae.card.label} is of {self.sae.point}, where nothing can be changed")

    @property
    def points(self) -> tuple[HookPoint, ...]:
        """Where it changes something."""
        return (self.sae.point,)

    def check(self, shape: ModelShape, model: str, revision: str) -> None:
        """Say so where the autoencoder does not fit a model.

        Raises:
            ModelError: It is of another model, width or depth.
        """
        self.sae.check(shape, model, revision)

    def to_json(self) -> dict[str, Any]:
        """The spec, the autoencoder by its id."""
        points = [str(point) for point in self.points]
        return {"kind": self.kind, "sae": self.sae.id, "points": points, "where": self.where.to_json()}

    def artifact(self, folder: Path) -> str:
        """Write the autoencoder into a run folder, once; the path there."""
        name = f"saes/{self.sae.id}.safetensors"
        if not (folder / name).exists():
            sae_to_file(self.sae, folder / name)
        return name

    @classmethod
    def from_json(cls, spec: dict[str, Any], artifact: Path) -> Reconstruction:
        """Inverse of `to_json`, with the file that `artifact` wrote.

        Raises:
            UserError: The file holds another autoencoder.
        """
        sae, _ = sae_from_file(artifact)
        if sae.id != spec["sae"]:
            raise UserError(f"{artifact} holds the SAE {sae.id}, and the intervention is of {spec['sae']}")
        return cls(sae, Where.from_json(spec["where"]))


def _in_own_units(card: SAECard, change: FeatureChange) -> FeatureChange:
    if change.value is None or change.units is None:
        return change
    return replace(change, value=change.value * card.own_factor(change.units), units=card.units)

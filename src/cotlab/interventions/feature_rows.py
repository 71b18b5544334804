"""What of an autoencoder is needed to read and write some of its features, token by token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from cotlab.errors import UserError
from cotlab.identity import content_id
from cotlab.interventions.autoencoder import SAECard, SparseAutoencoder
from cotlab.interventions.sae_files import sae_from_file, sae_to_file
from cotlab.interventions.sae_kernel import enter

__all__ = ["FeatureRows", "HasFeatures", "token_by_token"]


class HasFeatures(Protocol):
    """An autoencoder in memory, or one on disk of which only what is needed is read."""

    @property
    def card(self) -> SAECard:
        """What it is of."""

    @property
    def d_sae(self) -> int:
        """Number of features."""

    @property
    def id(self) -> str:
        """Tagged hash of its numbers."""

    @property
    def threshold(self) -> Tensor | None:
        """Shape (d_sae,)."""

    def some(self, features: Sequence[int]) -> SparseAutoencoder:
        """One of some of its features alone, in their order."""

    def load(self) -> SparseAutoencoder:
        """All of it in memory."""


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """Some features of an autoencoder."""

    sae: SparseAutoencoder
    """These features alone; all of them where which are active depends on the others (topk)."""
    features: tuple[int, ...]
    """Their numbers in the whole autoencoder, ascending."""
    sae_id: str
    """Id of the whole autoencoder."""

    @classmethod
    def of(cls, sae: HasFeatures, features: Iterable[int]) -> FeatureRows:
        """Take what is needed.

        Raises:
            UserError: A feature is not there, or what it is depends on the tokens beside it.
        """
        wanted = tuple(sorted(set(features)))
        token_by_token(sae)
        if not wanted:
            raise UserError("no feature is named")
        for feature in wanted:
            if not 0 <= feature < sae.d_sae:
                raise UserError(f"SAE {sae.card.label} has no feature {feature}; it has 0..{sae.d_sae - 1}")
        return cls(sae.load() if sae.card.activation == "topk" else sae.some(wanted), wanted, sae.id)

    @property
    def card(self) -> SAECard:
        """Of the autoencoder."""
        return self.sae.card

    @cached_property
    def id(self) -> str:
        """Tagged hash of the autoencoder, the features' numbers, and their rows."""
        return content_id("sae-rows", [self.sae_id, list(self.features), self.sae.id])

    @cached_property
    def directions(self) -> Tensor:
        """What a unit of each feature adds, shape (features, d_model), raw units.

        Where each token is normalised by itself it is added times what brings the token back.
        """
        return self.sae.W_dec[self._columns] / self.card.scale

    def read(self, x: Tensor) -> Tensor:
        """Feature activations in the autoencoder's units, shape (…, d_model) raw to (…, features)."""
        return self.sae.encode(x)[..., self._columns]

    def write(self, x: Tensor, change: Tensor) -> Tensor:
        """What a change of the features adds to activations; what the autoencoder misses of them stays as it is.

        Args:
            x: Shape (…, d_model), raw units.
            change: Shape (…, features), the autoencoder's units.

        Returns:
            Shape (…, d_model), raw units.
        """
        added: Tensor = change.to(self.directions.dtype) @ self.directions
        return added * enter(self.card, x, self.sae.b_dec)[2] if self.card.per_token else added

    def to(self, device: torch.device) -> FeatureRows:
        """The same on a device."""
        return FeatureRows(self.sae.to(device), self.features, self.sae_id)

    @property
    def _columns(self) -> Tensor | slice:
        return torch.tensor(self.features, device=self.sae.W_enc.device) if self.whole else slice(None)

    @property
    def whole(self) -> bool:
        """Whether all of the autoencoder is here."""
        return self.card.activation == "topk"

    @property
    def file(self) -> str:
        """Name of the file that holds what is needed: all sets of features of one whole autoencoder share one."""
        return f"{self.sae_id if self.whole else self.id}.safetensors"

    def save(self, path: Path) -> None:
        """As a file."""
        sae_to_file(self.sae, path, None if self.whole else {"features": list(self.features), "sae": self.sae_id})

    @classmethod
    def load(cls, path: Path, features: tuple[int, ...]) -> FeatureRows:
        """Inverse of `save`.

        Args:
            path: The file.
            features: The numbers of the rows; a whole autoencoder's file does not tell which of its features are meant.

        Raises:
            UserError: There is no such file, or it holds something else; one line.
        """
        sae, told = sae_from_file(path)
        if "features" in told:
            return cls(sae, tuple(told["features"]), told["sae"])
        if sae.card.activation != "topk":
            raise UserError(f"{path} holds a whole autoencoder, not the rows of some features")
        return cls(sae, features, sae.id)


def token_by_token(sae: HasFeatures) -> None:
    """Say so where a token's features depend on the tokens beside it: chunks and caches would then change them.

    Raises:
        UserError: They do.
    """
    if sae.card.activation == "batchtopk" and sae.threshold is None:
        raise UserError(
            f"SAE {sae.card.label} is a batchtopk SAE without a threshold: which features are active depends on the "
            "tokens that are read together. Take one with the threshold that was learned in training"
        )

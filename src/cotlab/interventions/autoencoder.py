"""Sparse autoencoders: the numbers, the card that says what they are of, encode and decode.

Activations go in and come out in raw units of the model. Feature activations are in the autoencoder's own units, in
which it was trained: `scale` is between the two (x · scale is what the encoder sees). `Units` keeps them apart.
Readers of published formats are in `cotlab.saes`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from cotlab.errors import UserError
from cotlab.identity import content_id
from cotlab.interventions.feature_value import FeatureValue, Units
from cotlab.interventions.hook_points import HookPoint, ModelShape
from cotlab.interventions.sae_card import Activation, SAECard
from cotlab.interventions.sae_kernel import Block, activate, encode_blocks, enter
from cotlab.interventions.sparse_features import SparseFeatures

__all__ = ["Activation", "FeatureValue", "SAECard", "SparseAutoencoder", "SparseFeatures", "Units", "sae_id"]

BLOCK = 16_384
"""Features that `encode_sparse` takes at a time."""
SPARSE = 32
"""Where the card says that no more than one feature in so many is active, `reconstruct` decodes sparsely: well within
what pays (docs/benchmarks.md), and the same for every batch."""


@dataclass(frozen=True, eq=False)
class SparseAutoencoder:
    """x̂ = (a W_dec + b_dec) / scale with a = act((x · scale − [b_dec]) W_enc + b_enc)."""

    card: SAECard
    W_enc: Tensor
    """Shape (d_model, d_sae)."""
    b_enc: Tensor
    """Shape (d_sae,)."""
    W_dec: Tensor
    """Shape (d_sae, d_model)."""
    b_dec: Tensor
    """Shape (d_model,)."""
    threshold: Tensor | None = field(default=None)
    """Shape (d_sae,), in units of the encoder: jumprelu, and batchtopk for inference. A feature is active above it."""

    def __post_init__(self) -> None:
        d_model, d_sae = self.W_enc.shape
        expected = {"W_dec": (d_sae, d_model), "b_enc": (d_sae,), "b_dec": (d_model,), "threshold": (d_sae,)}
        for name, shape in expected.items():
            tensor: Tensor | None = getattr(self, name)
            if tensor is not None and tuple(tensor.shape) != shape:
                raise UserError(
                    f"SAE {self.card.label}: {name} has shape {tuple(tensor.shape)}, expected {shape}: W_enc has "
                    f"({d_model}, {d_sae})"
                )
        if self.card.activation == "jumprelu" and self.threshold is None:
            raise UserError(f"SAE {self.card.label}: a jumprelu SAE needs thresholds")

    @property
    def d_model(self) -> int:
        """Width of the activations."""
        return int(self.W_enc.shape[0])

    @property
    def d_sae(self) -> int:
        """Number of features."""
        return int(self.W_enc.shape[1])

    @property
    def point(self) -> HookPoint:
        """Whose activations it takes."""
        return self.card.point

    @cached_property
    def id(self) -> str:
        """Tagged hash of the numbers and what decides how they are used."""
        matrices = (self.W_enc, self.b_enc, self.W_dec, self.b_dec, self.threshold)
        return sae_id(self.card, self.d_model, self.d_sae, (one for one in matrices if one is not None))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SparseAutoencoder) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def encode(self, x: Tensor) -> Tensor:
        """Feature activations, in the autoencoder's units.

        Args:
            x: Shape (…, d_model), raw units.

        Returns:
            Shape (…, d_sae), mostly 0.
        """
        return self._encode(enter(self.card, x, self.b_dec)[0])

    def encode_sparse(self, x: Tensor) -> SparseFeatures:
        """The same as `encode`, without the zeros; d_sae features of all tokens are never in memory together.

        Args:
            x: Shape (n, d_model), raw units.

        Raises:
            UserError: Weights or activations hold NaN or infinity.
        """
        return encode_blocks(self.card, enter(self.card, x, self.b_dec)[0], self._blocks(), self.d_sae)

    def decode_sparse(self, active: SparseFeatures) -> Tensor:
        """The same as `decode`, of active features in any units that there is a factor for; shape (n, d_model).

        Raises:
            UserError: They are in units that this autoencoder does not have.
        """
        own = active.times(self.card.own_factor(active.units), self.card.units)
        return (own.decode(self.W_dec) + self.b_dec) / self.card.scale

    def decode(self, features: Tensor) -> Tensor:
        """Activations that features stand for.

        Args:
            features: Shape (…, d_sae), the autoencoder's units.

        Returns:
            Shape (…, d_model), raw units (where each token is normalised: of the normalised token).
        """
        return (features @ self.W_dec + self.b_dec) / self.card.scale

    def reconstruct(self, x: Tensor) -> Tensor:
        """What is left of activations, shape (…, d_model), raw units, after encoding and decoding."""
        inside, mean, deviation = enter(self.card, x, self.b_dec)
        if self.card.k is not None and self.card.k * SPARSE <= self.d_sae:
            active = encode_blocks(self.card, inside.reshape(-1, self.d_model), self._blocks(), self.d_sae)
            decoded = self.decode_sparse(active).reshape(inside.shape)
        else:
            decoded = self.decode(self._encode(inside))
        return decoded * deviation + mean if self.card.per_token else decoded

    def directions(self, features: Tensor | list[int]) -> Tensor:
        """What one unit of some features adds to the raw activation, shape (features, d_model).

        Raises:
            UserError: Each token is normalised by itself, so that there is no such direction.
        """
        if self.card.per_token:
            raise UserError(f"SAE {self.card.label} normalises each token by itself: its features have no raw unit")
        return self.W_dec[features] / self.card.scale

    def convert(self, value: float, *, read_in: Units, to: Units) -> float:
        """A feature's value in other units.

        Raises:
            UserError: There is no fixed factor between them.
        """
        if read_in == to:
            return value
        if self.card.per_token:
            raise UserError(f"SAE {self.card.label} normalises each token by itself: values have no raw unit")
        return value / self.card.scale if to == "raw" else value * self.card.scale

    def value(self, feature: int, value: float) -> FeatureValue:
        """A number that `encode` gave for a feature, or that is to be given to `decode`, with its units.

        Raises:
            UserError: There is no such feature, or it is no number.
        """
        self._check_feature(feature)
        return FeatureValue(feature, value, self.card.units)

    def own(self, given: FeatureValue) -> float:
        """A feature's value in the autoencoder's own units, in which `encode` and `decode` speak.

        Raises:
            UserError: There is no such feature, or the value is in units that this autoencoder does not have.
        """
        self._check_feature(given.feature)
        return given.value * self.card.own_factor(given.units)

    def _encode(self, inside: Tensor) -> Tensor:
        before = torch.nn.functional.linear(inside, self.W_enc.T, self.b_enc)
        return activate(self.card, before, self.threshold)

    def _check_feature(self, feature: int) -> None:
        if not 0 <= feature < self.d_sae:
            raise UserError(f"SAE {self.card.label} has no feature {feature}; it has 0..{self.d_sae - 1}")

    def check(self, shape: ModelShape, model: str, revision: str = "") -> None:
        """Say so where it does not fit a model.

        Raises:
            ModelError: The width or the layer is not there, or it is of another model and not said to be transferred.
        """
        self.card.check(self.d_model, shape, model, revision)

    def for_model(self, model: str, revision: str = "") -> SparseAutoencoder:
        """The same numbers on another model, recorded as a transfer."""
        return replace(self, card=self.card.for_model(model, revision))

    def load(self) -> SparseAutoencoder:
        """Itself: it is in memory."""
        return self

    def some(self, features: Sequence[int]) -> SparseAutoencoder:
        """An autoencoder of some of its features alone, in their order."""
        index = torch.tensor(list(features), device=self.W_enc.device)
        threshold = None if self.threshold is None else self.threshold[index]
        return replace(
            self, W_enc=self.W_enc[:, index], b_enc=self.b_enc[index], W_dec=self.W_dec[index], threshold=threshold
        )

    def norms(self) -> Tensor:
        """Norm of each feature's row of the decoder, shape (d_sae,), float32."""
        found: Tensor = self.W_dec.float().norm(dim=1)
        return found

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> SparseAutoencoder:
        """The same on a device, in a number format (another format is another id)."""
        names = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
        found = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(self, **{name: tensor.to(device=device, dtype=dtype) for name, tensor in found.items()})

    def _blocks(self) -> Iterator[Block]:
        for start in range(0, self.d_sae, BLOCK):
            part = slice(start, start + BLOCK)
            yield Block(
                start, self.W_enc[:, part], self.b_enc[part], None if self.threshold is None else self.threshold[part]
            )


def sae_id(card: SAECard, d_model: int, d_sae: int, tensors: Iterable[Tensor]) -> str:
    """Tagged hash of an autoencoder's numbers and what decides how they are used.

    Args:
        card: Of the autoencoder.
        d_model: Width.
        d_sae: Number of features.
        tensors: W_enc, b_enc, W_dec, b_dec, and the thresholds where there are any, all of one number format; a matrix
            may come in several parts, along its first dimension.
    """
    digest, dtype = hashlib.blake2b(digest_size=16), ""
    for tensor in tensors:
        dtype = str(tensor.dtype)
        digest.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().data)
    spec = [str(card.point), card.activation, card.k, card.scale, card.centre, card.layer_norm]
    if card.norm_rescale:
        spec.append("norm_rescale")
    return content_id("sae", [*spec, d_model, d_sae, dtype, digest.hexdigest()])

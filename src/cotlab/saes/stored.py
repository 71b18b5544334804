"""An autoencoder on disk: its card and biases, and its matrices read a block of features at a time.

Memory is that of one block of weights and of the active features, however large the autoencoder is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from cotlab.errors import DataError, UserError
from cotlab.interventions.autoencoder import SparseAutoencoder, sae_id
from cotlab.interventions.hook_points import HookPoint, ModelShape
from cotlab.interventions.sae_card import SAECard
from cotlab.interventions.sae_kernel import Block, encode_blocks, enter
from cotlab.interventions.sparse_features import SparseFeatures
from cotlab.saes.tensor_file import HeldTensor
from cotlab.saes.weights import Weights

__all__ = ["StoredAutoencoder"]

BLOCK = 8192
"""Features that are read at a time: 128 MiB in float32 where d_model is 4,096."""
AT_ONCE = 1 << 24
"""Numbers of a matrix that are hashed at once: 64 MiB in float32."""


@dataclass(frozen=True, eq=False)
class StoredAutoencoder:
    """The numbers of a `SparseAutoencoder` where they lie. It computes in float32."""

    card: SAECard
    path: Path
    """What it was read from, for messages."""
    encoder: Weights
    decoder: Weights
    b_enc: Tensor
    """Shape (d_sae,)."""
    b_dec: Tensor
    """Shape (d_model,)."""
    threshold: Tensor | None = None
    """Shape (d_sae,)."""

    def __post_init__(self) -> None:
        d_sae, d_model = self.encoder.shape
        expected = {"b_enc": (d_sae,), "b_dec": (d_model,), "threshold": (d_sae,)}
        found = {name: getattr(self, name) for name in expected if getattr(self, name) is not None}
        shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
        for name, shape in {"decoder": self.decoder.shape, **shapes}.items():
            wanted = expected.get(name, (d_sae, d_model))
            if shape != wanted:
                raise DataError(
                    f"{self.path}: its {name} has shape {shape}, expected {wanted}, since the encoder has {d_sae} "
                    f"features of width {d_model}"
                )
        for name, tensor in found.items():
            self._check_finite(name, tensor)

    @classmethod
    def of(cls, sae: SparseAutoencoder) -> StoredAutoencoder:
        """One that is in memory."""
        encoder = Weights(HeldTensor(sae.W_enc.detach().cpu()), features_last=True)
        decoder = Weights(HeldTensor(sae.W_dec.detach().cpu()))
        small = (sae.b_enc, sae.b_dec, sae.threshold)
        b_enc, b_dec, threshold = (None if one is None else one.detach().cpu() for one in small)
        return cls(sae.card, Path("memory"), encoder, decoder, b_enc, b_dec, threshold)  # type: ignore[arg-type]

    @property
    def d_model(self) -> int:
        """Width of the activations."""
        return self.encoder.shape[1]

    @property
    def d_sae(self) -> int:
        """Number of features."""
        return self.encoder.shape[0]

    @property
    def point(self) -> HookPoint:
        """Whose activations it takes."""
        return self.card.point

    @cached_property
    def id(self) -> str:
        """That of the autoencoder in memory, in float32; the numbers are read a part at a time."""
        return sae_id(self.card, self.d_model, self.d_sae, self._numbers())

    def _numbers(self) -> Iterator[Tensor]:
        """W_enc, b_enc, W_dec, b_dec, thresholds in float32; matrices in parts along their first dimension."""
        columns, rows = max(1, AT_ONCE // self.d_sae), max(1, AT_ONCE // self.d_model)
        for start in range(0, self.d_model, columns):
            yield self.encoder.columns(start, start + columns).float().T
        yield self.b_enc.float()
        for start in range(0, self.d_sae, rows):
            yield self.decoder.rows(start, start + rows).float()
        yield self.b_dec.float()
        if self.threshold is not None:
            yield self.threshold.float()

    def some(self, features: Sequence[int]) -> SparseAutoencoder:
        """An autoencoder of some of its features alone, in their order, in memory; no other rows are read.

        Raises:
            DataError: A file is damaged, or holds NaN or infinity.
        """
        index = torch.tensor(list(features))
        parts = {}
        for name, weights in (("encoder", self.encoder), ("decoder", self.decoder)):
            parts[name] = torch.cat([weights.rows(feature, feature + 1).float() for feature in features])
            self._check_finite(name, parts[name])
        threshold = None if self.threshold is None else self.threshold[index].float()
        # Stacked as columns: a matrix that was turned would give other roundings than that of the whole autoencoder.
        W_enc, b_enc = torch.stack(list(parts["encoder"]), dim=1), self.b_enc[index].float()
        return SparseAutoencoder(self.card, W_enc, b_enc, parts["decoder"], self.b_dec.float(), threshold)

    def norms(self) -> Tensor:
        """Norm of each feature's row of the decoder, shape (d_sae,), float32."""
        return self.decoder.norms(BLOCK)

    def load(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = torch.float32
    ) -> SparseAutoencoder:
        """All of it in memory.

        Args:
            device: Default: CPU.
            dtype: Number format; None keeps that of the encoder's file.

        Raises:
            DataError: A file is damaged, or holds NaN or infinity.
        """
        as_type = dtype or self.encoder.dtype
        W_enc = torch.empty(self.d_model, self.d_sae, dtype=as_type, device=device)
        W_dec = torch.empty(self.d_sae, self.d_model, dtype=as_type, device=device)
        for start, stop in self._spans(BLOCK):
            for name, weights, into in (("encoder", self.encoder, W_enc.T), ("decoder", self.decoder, W_dec)):
                rows = weights.rows(start, stop)
                self._check_finite(name, rows)
                into[start:stop] = rows
        small = (self.b_enc, self.b_dec, self.threshold)
        b_enc, b_dec, threshold = (None if one is None else one.to(device, as_type) for one in small)
        return SparseAutoencoder(self.card, W_enc, b_enc, W_dec, b_dec, threshold)  # type: ignore[arg-type]

    def encode_sparse(self, x: Tensor, *, block: int = BLOCK) -> SparseFeatures:
        """Active features.

        Args:
            x: Shape (n, d_model), raw units.
            block: Features that are read at a time.

        Raises:
            DataError: A file is damaged.
            UserError: Weights or activations hold NaN or infinity.
        """
        return encode_blocks(self.card, self._enter(x)[0], self._blocks(block), self.d_sae)

    def decode_sparse(self, active: SparseFeatures, *, block: int = BLOCK) -> Tensor:
        """Activations that features stand for, shape (n, d_model), raw units (as `SparseAutoencoder.decode`)."""
        decoded = self.b_dec.float().repeat(active.n_tokens, 1)
        active = active.times(self.card.own_factor(active.units), self.card.units)
        for start, stop in self._spans(block):
            part = active.between(start, stop)
            if part.values.numel():
                decoded += part.decode(self.decoder.rows(start, stop).float())
        return decoded / self.card.scale

    def reconstruct(self, x: Tensor, *, block: int = BLOCK) -> Tensor:
        """What is left of activations, shape (n, d_model), raw units, after encoding and decoding."""
        inside, mean, deviation = self._enter(x)
        active = encode_blocks(self.card, inside, self._blocks(block), self.d_sae)
        return self.decode_sparse(active, block=block) * deviation + mean

    def directions(self, features: list[int]) -> Tensor:
        """What one unit of some features adds to the raw activation, shape (features, d_model).

        Raises:
            UserError: There is no such feature, or each token is normalised by itself.
        """
        if self.card.per_token:
            raise UserError(f"SAE {self.card.label} normalises each token by itself: its features have no raw unit")
        for feature in features:
            if not 0 <= feature < self.d_sae:
                raise UserError(f"SAE {self.card.label} has no feature {feature}; it has 0..{self.d_sae - 1}")
        rows = [self.decoder.rows(feature, feature + 1).float() for feature in features]
        return torch.cat(rows) / self.card.scale

    def check(self, shape: ModelShape, model: str, revision: str = "") -> None:
        """Say so where it does not fit a model (see `SAECard.check`)."""
        self.card.check(self.d_model, shape, model, revision)

    def for_model(self, model: str, revision: str = "") -> StoredAutoencoder:
        """The same numbers on another model, recorded as a transfer."""
        return replace(self, card=self.card.for_model(model, revision))

    def _enter(self, x: Tensor) -> tuple[Tensor, Tensor | float, Tensor | float]:
        if x.ndim != 2 or x.shape[1] != self.d_model:
            raise UserError(
                f"SAE {self.card.label} takes activations of shape (n, {self.d_model}), got {tuple(x.shape)}"
            )
        return enter(self.card, x, self.b_dec.float())

    def _blocks(self, block: int) -> Iterator[Block]:
        for start, stop in self._spans(block):
            threshold = None if self.threshold is None else self.threshold[start:stop].float()
            yield Block(start, self.encoder.rows(start, stop).float().T, self.b_enc[start:stop].float(), threshold)

    def _spans(self, block: int) -> Iterator[tuple[int, int]]:
        for start in range(0, self.d_sae, block):
            yield start, min(start + block, self.d_sae)

    def _check_finite(self, name: str, tensor: Tensor) -> None:
        if not bool(torch.isfinite(tensor).all()):
            raise DataError(f"{self.path}: its {name} holds NaN or infinity; the file is damaged, fetch it again")

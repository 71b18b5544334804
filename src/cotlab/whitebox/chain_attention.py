"""Attention between the steps of one chain, and what hiding each costs the others: one reading, saved and loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cotlab.chains.chain import Chain
from cotlab.errors import DataError
from cotlab.whitebox.attention import step_attention, suppression_matrix
from cotlab.whitebox.inside import Inside
from cotlab.whitebox.run_chain import chain_spans
from cotlab.whitebox.tensor_files import load_tensors, save_tensors

__all__ = ["ChainAttention"]

FORMAT = "cotlab-chain-attention/1"


@dataclass(frozen=True, slots=True, eq=False)
class ChainAttention:
    """Both matrices of a chain."""

    chain_id: str
    weights: Tensor
    """(layers, heads, steps, steps) `step_attention`."""
    suppression: Tensor
    """(steps, steps) `suppression_matrix`: row i is what hiding step i costs, nats; NaN on and below the diagonal."""
    model: str
    revision: str

    @classmethod
    def read(
        cls, inside: Inside, chain: Chain, *, progress: Callable[[int, int], None] | None = None
    ) -> ChainAttention:
        """Read a chain.

        Raises:
            DataError: The chain has no steps, or is too long for the model.
        """
        spans = chain_spans(chain)
        weights = torch.from_numpy(step_attention(inside, chain.whole, spans))
        hidden = torch.from_numpy(suppression_matrix(inside, chain.whole, spans, progress=progress))
        return cls(chain.id, weights, hidden, inside.name, inside.revision)

    def save(self, path: Path | str) -> Path:
        """Write one safetensors file."""
        card = {"chain_id": self.chain_id, "model": self.model, "revision": self.revision}
        return save_tensors(path, FORMAT, card, {"weights": self.weights, "suppression": self.suppression})

    @classmethod
    def load(cls, path: Path | str) -> ChainAttention:
        """Read one back.

        Raises:
            DataError: The file is not there, or is something else.
        """
        card, (weights, suppression) = load_tensors(path, FORMAT, _Card, ("weights", "suppression"))
        if weights.shape[2:] != suppression.shape:
            raise DataError(f"{path} holds matrices of {tuple(weights.shape[2:])} and {tuple(suppression.shape)} steps")
        return cls(card.chain_id, weights, suppression, card.model, card.revision)


@dataclass(frozen=True, slots=True)
class _Card:
    chain_id: str
    model: str
    revision: str

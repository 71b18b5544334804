"""The computational graph of a model as edges: who writes to the residual stream, and who reads what was written.

Writers are the embedding (`input`), every attention head (`a1.h2`) and every MLP (`m1`). Readers are the queries of
every head (`a1.h2.q`), the keys and values of every key-value head (`a1.g0.k`, `a1.g0.v`: grouped queries share
them), every MLP and the logits. The residual stream that a reader reads is the sum of all writers before it, so each
pair of a writer and a later reader is an edge (Elhage et al. 2021; grouped heads as Hanna et al. 2024 need them).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["EdgeGraph"]


@dataclass(frozen=True, slots=True)
class EdgeGraph:
    """Writers and readers of a model, in the order in which they are computed."""

    n_layers: int
    n_heads: int
    n_kv_heads: int

    @property
    def writers(self) -> tuple[str, ...]:
        """Names; their number is the first dimension of scores."""
        found = ["input"]
        for layer in range(self.n_layers):
            found += [*(f"a{layer}.h{head}" for head in range(self.n_heads)), f"m{layer}"]
        return tuple(found)

    @property
    def readers(self) -> tuple[str, ...]:
        """Names; their number is the second dimension of scores."""
        found = []
        for layer in range(self.n_layers):
            found += [f"a{layer}.h{head}.q" for head in range(self.n_heads)]
            found += [f"a{layer}.g{group}.{part}" for part in "kv" for group in range(self.n_kv_heads)]
            found.append(f"m{layer}")
        return (*found, "logits")

    def before_attention(self, layer: int) -> int:
        """How many writers the attention of a layer reads."""
        return 1 + layer * (self.n_heads + 1)

    def before_mlp(self, layer: int) -> int:
        """How many writers the MLP of a layer reads: its heads as well."""
        return self.before_attention(layer) + self.n_heads

    def attention_readers(self, layer: int) -> slice:
        """Queries, then keys, then values of a layer, among the readers."""
        start = layer * (self.n_heads + 2 * self.n_kv_heads + 1)
        return slice(start, start + self.n_heads + 2 * self.n_kv_heads)

    def mlp_reader(self, layer: int) -> int:
        """The MLP of a layer, among the readers."""
        end: int = self.attention_readers(layer).stop
        return end

    def heads_of(self, group: int) -> range:
        """The query heads that share a key-value head."""
        size = self.n_heads // self.n_kv_heads
        return range(group * size, (group + 1) * size)

    def exists(self) -> Tensor:
        """(writers, readers): which pairs are edges."""
        found = torch.zeros(len(self.writers), len(self.readers), dtype=torch.bool)
        for layer in range(self.n_layers):
            found[: self.before_attention(layer), self.attention_readers(layer)] = True
            found[: self.before_mlp(layer), self.mlp_reader(layer)] = True
        found[:, -1] = True
        return found

    def connected(self, kept: Tensor) -> Tensor:
        """Those of some edges, (writers, readers), that lie on a way from the input to the logits.

        A head counts as reached where its queries, its keys or its values are.
        """
        kept = kept & self.exists()
        while True:
            reads = kept.any(dim=0)
            writes = kept.any(dim=1)
            alive_writers, alive_readers = self._flows(reads, writes)
            pruned = kept & alive_writers[:, None] & alive_readers[None, :]
            if torch.equal(pruned, kept):
                return kept
            kept = pruned

    def _flows(self, reads: Tensor, writes: Tensor) -> tuple[Tensor, Tensor]:
        """Writers that read something, and readers whose writer writes something."""
        writers, readers = torch.zeros_like(writes), torch.zeros_like(reads)
        writers[0] = readers[-1] = True
        for layer in range(self.n_layers):
            first, inputs, mlp = self.before_attention(layer), self.attention_readers(layer), self.mlp_reader(layer)
            for head in range(self.n_heads):
                group = inputs.start + self.n_heads + head // (self.n_heads // self.n_kv_heads)
                own = [inputs.start + head, group, group + self.n_kv_heads]
                writers[first + head] = reads[own].any()
                readers[own] |= writes[first + head]
            writers[first + self.n_heads] = reads[mlp]
            readers[mlp] = writes[first + self.n_heads]
        return writers, readers

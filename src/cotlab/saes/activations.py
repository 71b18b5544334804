"""Activations of traces as shuffled batches: what autoencoders are trained on.

1. An epoch takes the traces in an order of its own, in blocks of about `buffer` tokens.
2. A block is read (teacher-forced, special tokens left out), its rows are shuffled and served as batches; what does not
   fill a batch is left out. One block is in memory, or all of them where they fit.
3. Order and shuffles depend on seed, epoch and block alone, so that `seek` comes back to any batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor

from cotlab.errors import DataError
from cotlab.identity import seed_for
from cotlab.interventions.hook_points import HookPoint
from cotlab.saes.traces import Trace, kept
from cotlab.whitebox.inside import Inside

__all__ = ["ActivationStream", "read_rows"]

CACHE = 1 << 30
"""Bytes of activations that may stay in memory from one epoch to the next."""


def read_rows(
    inside: Inside, traces: Iterable[Trace], point: HookPoint, special: frozenset[int]
) -> Iterator[tuple[Trace, Tensor]]:
    """Activations of the measured tokens of each trace, shape (tokens, width), float32, on the model's device."""
    for trace in traces:
        rows = inside.read(trace.whole, [point])[point].float()
        yield trace, rows[torch.from_numpy(kept(trace, special)).to(rows.device)]


class ActivationStream:
    """Endless batches of activations at one hook point."""

    def __init__(
        self,
        inside: Inside,
        point: HookPoint,
        traces: Sequence[Trace],
        *,
        special: frozenset[int],
        batch: int = 1024,
        buffer: int = 1 << 16,
        seed: int = 0,
    ) -> None:
        """Plan what is read; nothing is read yet.

        Args:
            inside: The model.
            point: Where.
            traces: What it reads.
            special: Tokens that are left out.
            batch: Rows that are served at once.
            buffer: Tokens that are shuffled together.
            seed: Of order and shuffles.

        Raises:
            DataError: There are fewer tokens than a batch.
        """
        self.inside, self.point, self.traces, self.special = inside, point, list(traces), special
        self.batch, self.buffer, self.seed = batch, max(buffer, batch), seed
        self.served = 0
        """Batches so far."""
        self._sizes = [int(kept(trace, special).sum()) for trace in self.traces]
        self._rows: dict[int, Tensor] | None = {} if self._bytes() <= CACHE else None
        self._batches = self._from(0)
        if self.n_tokens < batch:
            raise DataError(
                f"{self.n_tokens} tokens to train on, fewer than one batch of {batch}: sample more rollouts"
            )

    @property
    def n_tokens(self) -> int:
        """Tokens of one epoch."""
        return sum(self._sizes)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Tensor:
        """The next batch, shape (batch, width)."""
        found = next(self._batches)
        self.served += 1
        return found

    def seek(self, served: int) -> None:
        """Go on as if so many batches had been served."""
        self.served, self._batches = served, self._from(served)

    def _bytes(self) -> int:
        return 4 * self.n_tokens * self.point.width(self.inside.shape)

    def _from(self, skipped: int) -> Iterator[Tensor]:
        epoch = 0
        while True:
            for number, block in enumerate(self._blocks(epoch)):
                n = sum(self._sizes[i] for i in block) // self.batch
                if skipped < n:
                    rows = self._read(block)
                    order = torch.from_numpy(self._generator("rows", epoch, number).permutation(len(rows)))
                    for at in range(skipped, n):
                        yield rows[order[at * self.batch : (at + 1) * self.batch].to(rows.device)]
                skipped = max(0, skipped - n)
            epoch += 1

    def _blocks(self, epoch: int) -> Iterator[list[int]]:
        """Traces that are shuffled together; a last block that is small joins the one before it."""
        order = self._generator("order", epoch, 0).permutation(len(self.traces)).tolist()
        left, block, size = self.n_tokens, list[int](), 0
        for i in order:
            block.append(i)
            size += self._sizes[i]
            left -= self._sizes[i]
            if size >= self.buffer and left >= self.buffer:
                yield block
                block, size = [], 0
        yield block

    def _read(self, block: list[int]) -> Tensor:
        missing = [i for i in block if self._rows is None or i not in self._rows]
        traces = [self.traces[i] for i in missing]
        rows = (its for _, its in read_rows(self.inside, traces, self.point, self.special))
        found = dict(zip(missing, rows, strict=True))
        if self._rows is not None:
            self._rows.update(found)
            found = self._rows
        return torch.cat([found[i] for i in block])

    def _generator(self, what: str, epoch: int, block: int) -> np.random.Generator:
        return np.random.default_rng(seed_for(self.seed, f"{what}/{epoch}", block))

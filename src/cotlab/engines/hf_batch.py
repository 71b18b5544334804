"""The rollouts that the transformers engine samples at the same moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from cotlab.chains.tokens import Tokenizer
from cotlab.engines.base import Request
from cotlab.engines.draft import Draft
from cotlab.engines.hf_cache import RowCache
from cotlab.engines.hf_model import LoadedModel, RowEdit
from cotlab.engines.hf_sampler import choose
from cotlab.engines.hf_vision import Sight
from cotlab.engines.noise import keys
from cotlab.engines.requests import new_token_limit

__all__ = ["Batch"]


@dataclass(frozen=True, slots=True)
class Row:
    """A rollout on its way."""

    draft: Draft
    keys: Iterator[int]
    longest: int
    """Most tokens that prefix and rollout may have: what memory is kept for."""
    edit: RowEdit | None
    sight: Sight | None


class Batch:
    """Rows that take one token each per step. They may have different prefixes, lengths and settings."""

    def __init__(self, model: LoadedModel, tokenizer: Tokenizer, max_rows: int) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._max_rows = max_rows
        self._max_tokens = model.kv_tokens()
        self._cache = RowCache(max_rows, model.device)
        self._rows: list[Row] = []

    def __len__(self) -> int:
        return len(self._rows)

    def room(self, request: Request, waiting: int) -> bool:
        """Whether one more row fits beside the present ones and `waiting` others like it; a first one always does."""
        rows = len(self._rows) + waiting + 1
        longest = max([self._longest(request), *(row.longest for row in self._rows)])
        return rows == 1 or (rows <= self._max_rows and rows * longest <= self._max_tokens)

    @torch.inference_mode()
    def add(
        self,
        requests: Sequence[Request],
        prefix: DynamicCache,
        logits: Tensor,
        edit: RowEdit | None = None,
        sight: Sight | None = None,
    ) -> list[Draft]:
        """Begin rollouts from one prefix.

        Args:
            requests: From that prefix.
            prefix: Its keys and values.
            logits: After its last token, shape (vocabulary,).
            edit: What is changed in these rows, with the prefix read.
            sight: What the prefix shows.

        Returns:
            Those that are finished after their first token.
        """
        first = len(self._rows)
        self._cache.add(prefix, len(requests))
        for request in requests:
            draft = Draft(request, new_token_limit(request, self._model.max_model_len), self._tokenizer)
            own = None if edit is None else (edit[0], edit[1].copy())
            self._rows.append(Row(draft, keys(request.seed), self._longest(request), own, sight))
        return self._take(first, logits.expand(len(requests), -1))

    @torch.inference_mode()
    def step(self) -> list[Draft]:
        """Give every row one more token; the rollouts that finished with it, which leave the batch."""
        positions, mask = self._cache.begin()
        last = torch.tensor([[row.draft.token_ids[-1]] for row in self._rows], device=self._model.device)
        edits, sights = [row.edit for row in self._rows], [row.sight for row in self._rows]
        logits = self._model.forward(last, self._cache, edits, positions=positions, mask=mask, sights=sights)
        self._cache.end()
        return self._take(0, logits[:, -1])

    def _take(self, first: int, logits: Tensor) -> list[Draft]:
        """Sample a token for the rows from `first` on, from their logits; drop and return those that finished."""
        rows = self._rows[first:]
        settings = [row.draft.request.condition.settings for row in rows]
        tokens, logprobs = choose(logits, settings, [next(row.keys) for row in rows])
        finished = []
        for i in reversed(range(len(rows))):  # from the end, as the last row takes the place of one that leaves
            if rows[i].draft.add(tokens[i], logprobs[i]):
                edit = rows[i].edit
                rows[i].draft.steered_tokens = None if edit is None else edit[1].count()
                finished.append(rows[i].draft)
                self._rows[first + i] = self._rows[-1]
                self._rows.pop()
                self._cache.drop(first + i)
        return finished

    def _longest(self, request: Request) -> int:
        return len(request.condition.prefix.token_ids) + new_token_limit(request, self._model.max_model_len)

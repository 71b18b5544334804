"""Keys and values of the transformers engine: those of the last prefix, and those of the rows of a batch."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache, CacheLayerMixin

from cotlab.engines.edits import Edit
from cotlab.engines.hf_model import LoadedModel, RowEdit
from cotlab.engines.hf_vision import Sight
from cotlab.interventions.where import Placement

__all__ = ["PrefixReader", "RowCache", "row_edit"]


class PrefixReader:
    """Computes the keys and values of a prefix once, and of the next one only what it does not share with the last."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._edit: tuple[Edit, Placement] | None = None
        self._keys: tuple[int, ...] = ()
        """Of the last prefix: its token ids, and what its images are known by (`Sight.keys`)."""
        self._cache = DynamicCache()
        self._logits = torch.empty(0)

    @torch.inference_mode()
    def read(
        self,
        ids: tuple[int, ...],
        edit: Edit | None = None,
        placement: Placement | None = None,
        sight: Sight | None = None,
    ) -> tuple[DynamicCache, Tensor, int]:
        """Read a prefix; keys and values that were made under another edit, or another placing, are never used for it.

        Args:
            ids: The prefix.
            edit: What is changed, if anything.
            placement: Where, with an edit.
            sight: What the prefix shows.

        Returns:
            Its cache (valid until the next call), the logits after its last token, shape (vocabulary,), and how many of
            its tokens were not computed again.
        """
        its = None if edit is None or placement is None else (edit, placement)
        same = its == self._edit
        keys = ids if sight is None else sight.whole_keys(ids)
        if same and keys == self._keys:
            return self._cache, self._logits, len(ids)
        shared = self._shared(keys) if same else 0
        if not shared:
            self._cache = DynamicCache()
        elif shared < len(self._keys):
            self._cache.crop(shared - len(self._keys))
        self._keys = ()  # if the model breaks below, the cache is of no known prefix
        rest = torch.tensor([ids[shared:]], device=self._model.device)
        edits = [row_edit(its, ids[:shared])]
        self._logits = self._model.forward(rest, self._cache, edits, sights=[sight])[0, -1]
        self._keys, self._edit = keys, its
        return self._cache, self._logits, shared

    def _shared(self, keys: tuple[int, ...]) -> int:
        """Length of the common beginning; the last token is always read, for its logits."""
        most = min(len(keys) - 1, len(self._keys))
        if keys[:most] == self._keys[:most]:
            return most
        return next(i for i in range(most) if keys[i] != self._keys[i])


def row_edit(its: tuple[Edit, Placement] | None, ids: tuple[int, ...]) -> RowEdit | None:
    """An edit in a row of which these tokens were read."""
    if its is None:
        return None
    edit, placement = its
    state = edit.state(placement)
    state.read(0, len(ids), ids)
    return edit, state


class RowLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer: keys and values of all rows, shape (row capacity, key heads, token capacity, dim), left-aligned."""

    def __init__(self, cache: RowCache, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self._cache = cache
        self.keys = self._empty(keys)
        self.values = self._empty(values)
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing is left to do: the prefix told the shapes."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write the one new token of each row behind its others; keys and values of all rows, to the longest one."""
        rows, at, longest = self._cache.rows, self._cache.lengths, self._cache.longest + 1
        row_index = self._cache.row_index[:rows]
        self.keys[row_index, :, at] = key_states[:, :, 0]
        self.values[row_index, :, at] = value_states[:, :, 0]
        return self.keys[:rows, :, :longest], self.values[:rows, :, :longest]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of a mask (the engine gives its own mask, so nobody asks)."""
        return self._cache.longest + query_length, 0

    def get_seq_length(self) -> int:
        """Tokens of the longest row."""
        return self._cache.longest

    def get_max_length(self) -> int:
        """No bound."""
        return -1

    def resize(self) -> None:
        """Grow to the capacity of the cache, keeping what is there."""
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = self._empty(old)
            new[: old.shape[0], :, : old.shape[2]] = old
            setattr(self, name, new)

    def _empty(self, like: Tensor) -> Tensor:
        # Zeros, not empty: masked places get weight 0, and 0 × NaN would be NaN.
        shape = (self._cache.row_capacity, like.shape[1], self._cache.token_capacity, like.shape[3])
        return torch.zeros(shape, dtype=like.dtype, device=like.device)


class RowCache(Cache):  # type: ignore[misc]
    """Keys and values of the rows of a batch. Row r holds its tokens at places 0 … length − 1, its positions.

    Rows come (`add`) and go (`drop`: the last row takes the place), so the active rows are always 0 … rows − 1.
    """

    def __init__(self, max_rows: int, device: torch.device) -> None:
        super().__init__(layers=[])
        self.layers: list[RowLayer]
        self.rows = 0
        self.row_capacity = 0
        self.token_capacity = 0
        self.row_index = torch.arange(max_rows, device=device)
        self._max_rows = max_rows
        self._lengths: list[int] = []
        self.longest = 0
        self.lengths = self.row_index[:0]

    def add(self, prefix: DynamicCache, rows: int) -> None:
        """Append `rows` rows that hold the tokens of a prefix (a cache of one row)."""
        length = prefix.get_seq_length()
        self._grow(self.rows + rows, length + 1, prefix)
        for mine, theirs in zip(self.layers, prefix.layers, strict=True):
            mine.keys[self.rows : self.rows + rows, :, :length] = theirs.keys
            mine.values[self.rows : self.rows + rows, :, :length] = theirs.values
        self._lengths += [length] * rows
        self._changed()

    def drop(self, row: int) -> None:
        """Remove a row; the last row moves to its place."""
        last = len(self._lengths) - 1
        if row != last:
            length = self._lengths[last]
            for layer in self.layers:
                layer.keys[row, :, :length] = layer.keys[last, :, :length]
                layer.values[row, :, :length] = layer.values[last, :, :length]
            self._lengths[row] = length
        self._lengths.pop()
        self._changed()

    def begin(self) -> tuple[Tensor, Tensor]:
        """Make room for one new token a row.

        Returns:
            Positions of the new tokens, shape (rows, 1), and the mask, shape (rows, 1, 1, longest + 1): True where a
            row may look.
        """
        self._grow(self.rows, self.longest + 1)
        places = torch.arange(self.longest + 1, device=self.lengths.device)
        mask = places <= self.lengths[:, None]
        return self.lengths[:, None], mask[:, None, None, :]

    def end(self) -> None:
        """Count the new token of each row."""
        self._lengths = [length + 1 for length in self._lengths]
        self._changed()

    def _changed(self) -> None:
        self.rows = len(self._lengths)
        self.longest = max(self._lengths, default=0)
        self.lengths = torch.tensor(self._lengths, dtype=torch.long, device=self.row_index.device)

    def _grow(self, rows: int, tokens: int, prefix: DynamicCache | None = None) -> None:
        if rows <= self.row_capacity and tokens <= self.token_capacity:
            return
        if rows > self.row_capacity:
            self.row_capacity = min(self._max_rows, max(rows, 2 * self.row_capacity))
        if tokens > self.token_capacity:
            self.token_capacity = -(-tokens * 5 // 4 // 64) * 64
        for layer in self.layers:
            layer.resize()
        if prefix is not None and not self.layers:
            self.layers = [RowLayer(self, layer.keys, layer.values) for layer in prefix.layers]

"""Tokens of the markov engine: one a symbol, and one a byte for all other text."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from cotlab.engines.markov_spec import MarkovSpec
from cotlab.identity import content_id

__all__ = ["MarkovTokenizer"]

N_BYTES = 256


class MarkovTokenizer:
    """Ids 0–255 are bytes, 256 is the end of sequence, 257 … are the symbols of the spec in its order."""

    eos_id = N_BYTES

    def __init__(self, spec: MarkovSpec) -> None:
        self._texts = spec.symbols
        self._ids = {text: N_BYTES + 1 + i for i, text in enumerate(self._texts)}
        self._longest_first = sorted(self._texts, key=len, reverse=True)

    @property
    def id(self) -> str:
        """Hash of the vocabulary."""
        return content_id("markov_tokenizer", list(self._texts))

    @property
    def eos_ids(self) -> frozenset[int]:
        """The one token that ends a response."""
        return frozenset({self.eos_id})

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return N_BYTES + 1 + len(self._texts)

    def symbol(self, token_id: int) -> str | None:
        """Text of a symbol's token; None for a byte and for the end of sequence."""
        index = token_id - N_BYTES - 1
        return self._texts[index] if 0 <= index < len(self._texts) else None

    def token(self, symbol: str) -> int:
        """Token of a symbol.

        Raises:
            ValueError: The spec has no such symbol.
        """
        if symbol not in self._ids:
            raise ValueError(f"{symbol!r} is no symbol of the spec; its symbols are {list(self._texts)}")
        return self._ids[symbol]

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`: the longest symbol at each place, else the bytes of a character."""
        ids: list[int] = []
        at = 0
        while at < len(text):
            found = next((symbol for symbol in self._longest_first if text.startswith(symbol, at)), None)
            if found is None:
                ids.extend(text[at].encode())
                at += 1
            else:
                ids.append(self._ids[found])
                at += len(found)
        return ids

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of the tokens, without the end of sequence; bytes that are no UTF-8 show as U+FFFD."""
        return b"".join(self._bytes(token) for token in token_ids).decode(errors="replace")

    def pieces(self, token_ids: Sequence[int]) -> list[str]:
        """Text that each token adds; a character of several bytes belongs to the last of them."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        last = len(token_ids) - 1
        return [decoder.decode(self._bytes(token), i == last) for i, token in enumerate(token_ids)]

    def _bytes(self, token: int) -> bytes:
        if token < N_BYTES:
            return bytes([token])
        return (self.symbol(token) or "").encode()

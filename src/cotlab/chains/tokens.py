"""What the rooms above need of a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

__all__ = ["Tokenizer"]


class Tokenizer(Protocol):
    """Text to token ids and back. Implementations: `HFTokenizer` here, the markov engine's own."""

    @property
    def id(self) -> str:
        """Hash of the vocabulary and the rules."""
        ...

    @property
    def eos_ids(self) -> frozenset[int]:
        """Tokens that end a response."""
        ...

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; no special token is added."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of the tokens, special tokens left out, white space as it is."""
        ...

    def pieces(self, token_ids: Sequence[int]) -> list[str]:
        """Text that each token adds: `"".join(pieces(ids)) == decode(ids)`.

        Where a character is spread over several tokens, it belongs to the LAST of them and the others add "".
        """
        ...

"""Which text each token adds, for the two families of vocabularies that spell characters as bytes.

Both functions take tokens as the vocabulary spells them, None for those that show nothing, and give one piece each.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence
from itertools import groupby

__all__ = ["byte_fallback_pieces", "byte_level_pieces"]

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def byte_level_pieces(tokens: Iterable[str | None]) -> list[str]:
    """Pieces of GPT-2's family (Llama 3, Qwen): every token is a string of bytes, each written as one character."""
    return _decode([_unalias(token or "") for token in tokens])


def byte_fallback_pieces(tokens: Sequence[str | None]) -> list[str]:
    """Pieces of SentencePiece's family (Llama 2, Gemma): tokens `<0xE2>` stand for bytes, `▁` for a space.

    As in `tokenizers`, a run of byte tokens that is not valid UTF-8 as a whole gives one `\ufffd` a byte.
    """
    shown = [token for token in tokens if token is not None]  # what is hidden does not part a run
    pieces: list[str] = []
    for is_byte, group in groupby(shown, lambda token: _BYTE_TOKEN.fullmatch(token) is not None):
        run = list(group)
        pieces.extend(_byte_run(run) if is_byte else [token.replace("▁", " ") for token in run])
    remaining = iter(pieces)
    return ["" if token is None else next(remaining) for token in tokens]


def _byte_run(tokens: list[str]) -> list[str]:
    raw = [bytes([int(token[3:5], 16)]) for token in tokens]
    try:
        b"".join(raw).decode()
    except UnicodeDecodeError:
        return ["\ufffd"] * len(raw)
    return _decode(raw)


def _decode(chunks: list[bytes]) -> list[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pieces = [decoder.decode(chunk) for chunk in chunks]
    if pieces:
        pieces[-1] += decoder.decode(b"", final=True)
    return pieces


def _byte_aliases() -> dict[str, int]:
    """The characters that byte-level vocabularies write bytes with."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(plain)]
    return {chr(byte): byte for byte in plain} | {chr(256 + i): byte for i, byte in enumerate(others)}


_ALIASES = _byte_aliases()


def _unalias(token: str) -> bytes:
    """Bytes of a token; an added token that holds other characters (a space, `｜`) is plain text."""
    try:
        return bytes([_ALIASES[char] for char in token])
    except KeyError:
        return token.encode()

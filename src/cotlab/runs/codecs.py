"""How values are stored: text, JSON, token ids, log probabilities."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from typing import Any

from cotlab.identity import canonical_json

__all__ = [
    "pack_json",
    "pack_logprobs",
    "pack_text",
    "unpack_ids",
    "unpack_json",
    "unpack_logprobs",
    "unpack_text",
]


def pack_text(text: str) -> str | bytes:
    """TEXT for every string that UTF-8 can hold, a BLOB for one with lone surrogates (models do emit them)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def unpack_text(value: str | bytes) -> str:
    """Inverse of `pack_text`."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogatepass")


def pack_json(value: Any) -> str:
    r"""Canonical JSON; lone surrogates become `\udXXX` escapes, so that SQLite's JSON functions can read it.

    Raises:
        ValueError: `value` holds NaN or infinity.
    """
    text = canonical_json(value)
    if isinstance(pack_text(text), str):
        return text
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def unpack_json(text: str) -> Any:
    """Inverse of `pack_json`."""
    return json.loads(text)


def unpack_ids(blob: bytes) -> tuple[int, ...]:
    """Token ids out of little-endian int32 (the inverse of `cotlab.identity.token_bytes`)."""
    ids = array("i")
    ids.frombytes(blob)
    return tuple(ids)


def pack_logprobs(logprobs: Sequence[float]) -> bytes:
    """Pack as little-endian float32: 7 digits are more than engines agree on."""
    return array("f", logprobs).tobytes()


def unpack_logprobs(blob: bytes) -> tuple[float, ...]:
    """Inverse of `pack_logprobs`, up to the rounding to float32."""
    values = array("f")
    values.frombytes(blob)
    return tuple(values)

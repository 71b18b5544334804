"""How values are stored: text, JSON, token ids, log probabilities."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from typing import Any

from cotlab.errors import RunError
from cotlab.identity import canonical_json

__all__ = [
    "UNREADABLE",
    "pack_json",
    "pack_logprobs",
    "pack_text",
    "unpack_ids",
    "unpack_json",
    "unpack_logprobs",
    "unpack_text",
    "unreadable",
]

UNREADABLE = (AttributeError, RecursionError, TypeError, ValueError)
"""What reading a value raises that is of another kind than its column holds."""


def pack_text(text: str) -> str | bytes:
    """TEXT for every string that UTF-8 can hold, a BLOB for one with lone surrogates (models do emit them)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def unpack_text(value: str | bytes) -> str:
    """Inverse of `pack_text`.

    Raises:
        RunError: The value is damaged.
    """
    try:
        return value if isinstance(value, str) else value.decode("utf-8", "surrogatepass")
    except UNREADABLE as error:
        raise unreadable("text", error) from error


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
    """Inverse of `pack_json`.

    Raises:
        RunError: The value is damaged.
    """
    try:
        return json.loads(text)
    except UNREADABLE as error:
        raise unreadable("JSON", error) from error


def unpack_ids(blob: bytes) -> tuple[int, ...]:
    """Token ids out of little-endian int32 (the inverse of `cotlab.identity.token_bytes`).

    Raises:
        RunError: The value is damaged.
    """
    ids = array("i")
    try:
        ids.frombytes(blob)
    except UNREADABLE as error:
        raise unreadable("token ids", error) from error
    return tuple(ids)


def pack_logprobs(logprobs: Sequence[float]) -> bytes:
    """Pack as little-endian float32: 7 digits are more than engines agree on."""
    return array("f", logprobs).tobytes()


def unpack_logprobs(blob: bytes) -> tuple[float, ...]:
    """Inverse of `pack_logprobs`, up to the rounding to float32.

    Raises:
        RunError: The value is damaged.
    """
    values = array("f")
    try:
        values.frombytes(blob)
    except UNREADABLE as error:
        raise unreadable("log probabilities", error) from error
    return tuple(values)


def unreadable(what: str, error: Exception) -> RunError:
    """The error for a stored value that cannot be read as what it should be."""
    return RunError(
        f"a value cannot be read as {what} ({error}): the run is damaged, `cotlab runs verify` says where; restore it "
        "from a copy"
    )

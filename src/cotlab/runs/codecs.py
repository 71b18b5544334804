"""How values are stored: text, JSON, token ids, log probabilities."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cotlab.errors import RunError
from cotlab.identity import canonical_json, content_id

__all__ = [
    "UNREADABLE",
    "built",
    "pack_json",
    "pack_logprobs",
    "pack_text",
    "unpack_content",
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


class _Stored(dict[str, Any]):
    """An object of stored JSON: that a key is not there is damage to the run, whoever asks for it."""

    def __missing__(self, key: str) -> Any:
        raise _damaged(f"a stored value has no {key!r}")


def unpack_json(text: str) -> Any:
    """Inverse of `pack_json`. An object that is later asked for a key that it lacks raises a `RunError`, too.

    Raises:
        RunError: The value is damaged.
    """
    try:
        return json.loads(text, object_hook=_Stored)
    except UNREADABLE as error:
        raise unreadable("JSON", error) from error


def unpack_content(table: str, public_id: str, text: str, *more: Any) -> Any:
    """Inverse of `pack_json` for a value whose id is the hash of its content.

    Args:
        table: Where it lies; also the tag of its hash.
        public_id: Its id.
        text: What is stored.
        more: What else the id is a hash of, behind the value.

    Raises:
        RunError: The value is damaged, or another one than its id says.
    """
    value = unpack_json(text)
    with built("JSON"):  # NaN is none, and what reads JSON takes it
        found = content_id(table, [value, *more] if more else value)
    if found != public_id:
        raise _damaged(f"{table.replace('_', ' ')} {public_id} has the content of {found}")
    return value


@contextmanager
def built(what: str) -> Iterator[None]:
    """Raise as `RunError` what is raised where something is made of stored values that do not fit it."""
    try:
        yield
    except UNREADABLE as error:
        raise unreadable(what, error) from error


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
    return _damaged(f"a value cannot be read as {what} ({error})")


def _damaged(trouble: str) -> RunError:
    return RunError(f"{trouble}: the run is damaged, `cotlab runs verify` says where; restore it from a copy")

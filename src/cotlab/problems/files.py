"""Problem files of the user's own: JSONL, JSON, CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cotlab.chains.problem import Problem
from cotlab.errors import DataError
from cotlab.problems.pictures import with_images
from cotlab.problems.rows import read_row

__all__ = ["SUFFIXES", "load_file", "read_text"]

SUFFIXES = (".jsonl", ".json", ".csv")
MAX_BYTES = 512 << 20
"""Largest problem file."""
ReadRow = Callable[[object, str], Problem]
"""Problem of a row and of the name that it has unless the row says another; ValueError says what is wrong."""


def load_file(
    path: Path, n: int | None = None, *, read: ReadRow = read_row, columns: Sequence[str] | None = None
) -> list[Problem]:
    """The first `n` problems of a file, or all.

    Args:
        path: JSONL, JSON or CSV.
        n: How many; None: all.
        read: Makes a problem of a row and a name; by default the fields are those of `cotlab.problems.rows`. Images
            that a row names are read besides (`cotlab.problems.pictures`).
        columns: Names of the columns of a CSV file that has no header.

    Raises:
        DataError: The file is missing, empty, not UTF-8, or has bad lines: the first is shown, the others counted.
    """
    kind = path.suffix.lower()
    if kind not in SUFFIXES and path.exists():
        raise DataError(f"problem file {str(path)!r} ends in {kind or 'nothing'!r}: expected {', '.join(SUFFIXES)}")
    text = read_text(path, MAX_BYTES, "problem file")
    rows = _csv(text, columns) if kind == ".csv" else {".jsonl": _jsonl, ".json": _json}[kind](text)
    problems: list[Problem] = []
    bad: list[tuple[str, ValueError]] = []
    for place, row in rows:
        if n is not None and len(problems) >= n:
            break
        try:
            value = row if not isinstance(row, ValueError) else _raise(row)
            problem = read(value, f"{path.stem}/{place.split()[-1]}")
            problems.append(with_images(problem, value, path.parent))
        except ValueError as error:
            bad.append((place, error))
    if bad:
        raise DataError(_summary(path, bad))
    if not problems:
        raise DataError(f"problem file {str(path)!r} has no problems: give one object with question and answer a line")
    return problems


def read_text(path: Path, max_bytes: int, what: str) -> str:
    """Text of a UTF-8 file (with or without a byte order mark) of limited size.

    Raises:
        DataError: The file is missing, unreadable, too large or not UTF-8.
    """
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= max_bytes else b""
    except OSError as error:
        raise DataError(f"{what} {str(path)!r} cannot be read ({error.strerror}): check the path") from error
    if size > max_bytes:
        raise DataError(f"{what} {str(path)!r} has {size} bytes, the limit is {max_bytes}: cut or split it")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        value = data[error.start : error.start + 1].hex()
        raise DataError(f"{what} {str(path)!r} line {line} is not UTF-8 (byte 0x{value}): save it as UTF-8") from error


Rows = Iterator[tuple[str, object]]


def _jsonl(text: str) -> Rows:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"line {number}", _parsed(line)


def _json(text: str) -> Rows:
    value = _parsed(text)
    if isinstance(value, dict):
        inner = next(
            (value[key] for key in ("problems", "data", "questions") if isinstance(value.get(key), list)), None
        )
        value = inner if inner is not None else [value]
    if not isinstance(value, list):
        yield "item 1", value
        return
    for number, item in enumerate(value, 1):
        yield f"item {number}", item


def _csv(text: str, columns: Sequence[str] | None) -> Rows:
    reader = csv.DictReader(io.StringIO(text, newline=""), columns, restkey="(more fields)")
    try:
        for row in reader:
            if "(more fields)" in row:
                names = ", ".join(reader.fieldnames or [])
                yield f"line {reader.line_num}", ValueError(f"has more fields than the header ({names}): quote commas")
            else:
                yield f"line {reader.line_num}", row
    except csv.Error as error:
        yield f"line {reader.line_num}", ValueError(f"is not CSV ({error}): mend it")


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        excerpt = text[:40] + ("…" if len(text) > 40 else "")
        return ValueError(f"is not JSON ({error}): {excerpt!r}: mend it")


def _raise(error: ValueError) -> object:
    raise error


def _summary(path: Path, bad: list[tuple[str, ValueError]]) -> str:
    place, error = bad[0]
    message = f"problem file {str(path)!r} {place} {error}".replace("\n", " ")
    if len(bad) == 1:
        return message
    others = ", ".join(other.split()[-1] for other, _ in bad[1:6]) + (", …" if len(bad) > 6 else "")
    return f"{message} ({len(bad)} bad {place.split()[0]}s in all; the others: {others})"

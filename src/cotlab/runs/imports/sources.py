"""Where the files of an import are: a folder, or a Parquet copy of one.

The hub's copy has a row for each file: path, filename, extension, size_bytes, content.

Nothing is trusted: sizes are bounded before anything is read, names must stay inside, JSON holds no NaN and no number
that SQLite could not keep. Every fault is one line with the file's name.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from cotlab.errors import DataError

__all__ = ["MAX_BYTES", "FolderSource", "ParquetSource", "Source", "open_source", "parse_json"]

MAX_BYTES = 512 << 20
"""Largest single file."""
MAX_FILES = 500_000
MAX_INTEGER = 2**63 - 1


class Source(ABC):
    """Files by name, relative to the root, with slashes."""

    root: Path

    @abstractmethod
    def names(self) -> list[str]:
        """Names of the JSON files, sorted."""

    @abstractmethod
    def text(self, name: str) -> str:
        """What a file holds.

        Raises:
            DataError: It cannot be read, is too large or not UTF-8.
        """

    def json(self, name: str) -> Any:
        """What a JSON file says.

        Raises:
            DataError: It cannot be read or is no JSON.
        """
        return parse_json(self.text(name), f"{self.root}: {name}")


class FolderSource(Source):
    """A folder on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._resolved = root.resolve()

    def names(self) -> list[str]:
        """Names of the JSON files under the folder, sorted."""
        found = []
        for path in self.root.rglob("*.json"):
            found.append(path.relative_to(self.root).as_posix())
            if len(found) > MAX_FILES:
                raise DataError(f"{self.root} holds more than {MAX_FILES:,} files: import a part of it")
        return sorted(found)

    def text(self, name: str) -> str:
        """What a file holds; links that lead out of the folder are refused."""
        path = self.root / name
        if not path.resolve().is_relative_to(self._resolved):
            raise DataError(f"{path} is a link out of the folder {self.root}: copy what it points to")
        try:
            size = path.stat().st_size
            if size > MAX_BYTES:
                raise DataError(f"{path} has {size:,} bytes, more than the {MAX_BYTES:,} that are read")
            return path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path} cannot be read: {error}") from error


class ParquetSource(Source):
    """Parquet rows, one a file."""

    def __init__(self, root: Path, files: list[Path]) -> None:
        self.root = root
        self._content: dict[str, str] = {}
        for file in files:
            for name, content in _rows(file):
                if name in self._content:
                    raise DataError(f"{file}: the path {name[:100]!r} is there twice")
                self._content[name] = content

    def names(self) -> list[str]:
        """Names of the JSON files, sorted."""
        return sorted(self._content)

    def text(self, name: str) -> str:
        """What a file holds."""
        return self._content[name]


def open_source(path: Path) -> Source:
    """The files at a path: a folder of JSON files, a Parquet file, or a folder of Parquet files.

    Raises:
        DataError: There is nothing of the kind.
    """
    if "\0" in str(path) or not path.exists():
        raise DataError(f"there is nothing at {str(path)!r}: check the path")
    if path.is_file():
        if path.suffix != ".parquet":
            raise DataError(f"{path} is no folder and no .parquet file")
        return ParquetSource(path, [path])
    tables = sorted(path.rglob("*.parquet"))
    return ParquetSource(path, tables) if tables else FolderSource(path)


def parse_json(text: str, where: str) -> Any:
    """JSON without NaN, infinity, and integers beyond 64 bits.

    Raises:
        DataError: It is no such JSON; the line names `where`.
    """
    try:
        return json.loads(text, parse_constant=_constant, parse_int=_integer, parse_float=_number)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise DataError(f"{where} is no valid JSON: {reason[:200]}") from error


def _constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _integer(digits: str) -> int:
    if len(digits) > 20 or abs(int(digits)) > MAX_INTEGER:
        raise ValueError(f"the integer {digits[:24]}… does not fit into 64 bits")
    return int(digits)


def _number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"the number {digits[:24]} is too large")
    return number


def _rows(file: Path) -> Iterator[tuple[str, str]]:
    """Path and content of the JSON rows of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            missing = {"path", "content"} - set(table.schema_arrow.names)
            if missing:
                raise DataError(f"{file} has no column {sorted(missing)[0]!r}: expected path and content")
            for batch in table.iter_batches(batch_size=64, columns=["path", "content"]):
                for path, content in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    if str(path).endswith(".json"):
                        yield _inside(path, file), _content(content, path, file)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} cannot be read as Parquet: {str(error).splitlines()[0][:200]}") from error


def _inside(path: object, file: Path) -> str:
    text = str(path)
    parts = PurePosixPath(text).parts
    if not isinstance(path, str) or text.startswith("/") or ".." in parts or "\0" in text or "\\" in text:
        raise DataError(f"{file}: the path {text[:100]!r} leads out of the folder")
    return text


def _content(content: object, path: object, file: Path) -> str:
    if not isinstance(content, str):
        raise DataError(f"{file}: the content of {str(path)[:100]!r} is {type(content).__name__}, expected text")
    if len(content) > MAX_BYTES:
        raise DataError(f"{file}: the content of {str(path)[:100]!r} is larger than {MAX_BYTES:,} characters")
    return content

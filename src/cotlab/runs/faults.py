"""What an error of SQLite or of the disk means to the owner of a run."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cotlab.errors import RunError

__all__ = ["damaged", "disk_explained", "explained"]

_SAFE = "finished rows are safe"
_LINES = {
    sqlite3.SQLITE_FULL: "cannot write {folder}: the disk is full; free some space and give the command again, {safe}",
    sqlite3.SQLITE_IOERR: "cannot write {folder}: the disk is full or failing ({error}); free some space and give the "
    "command again, {safe}",
    sqlite3.SQLITE_READONLY: "cannot write {folder}: it is read-only; open it for reading, or write to a copy of it",
    sqlite3.SQLITE_CANTOPEN: "cannot open {folder} ({error}): see that its run.sqlite and its folder are yours",
    sqlite3.SQLITE_PERM: "cannot open {folder} ({error}): see that its run.sqlite and its folder are yours",
    sqlite3.SQLITE_BUSY: "{folder} is busy: another program holds run.sqlite; close it and give the command again",
    sqlite3.SQLITE_LOCKED: "{folder} is busy: another program holds run.sqlite; close it and give the command again",
}

_SPACE = "free some space and give the command again"
_RIGHTS = "choose another place, or work on a copy"
_FIXES = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: _SPACE,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS,
}


def damaged(folder: Path, error: sqlite3.Error | str) -> str:
    """The line for a run file that cannot be read."""
    said = " ".join(str(error).split())
    return (
        f"run.sqlite of {folder} is damaged ({said}): `cotlab runs verify {folder}` says what is lost; "
        "restore it from a copy, or rescue what can be read with `sqlite3 run.sqlite .recover | sqlite3 rescued.sqlite`"
    )


@contextmanager
def explained(folder: Path, *, reading: bool = False) -> Iterator[None]:
    """Raise errors that a user can mend as `RunError` with one line; other errors pass.

    Args:
        folder: The run.
        reading: Inside are our own questions alone. What SQLite then cannot answer is damage too: a schema whose text
            has changed, a value that is no JSON, a number that is none.
    """
    try:
        yield
    except UnicodeDecodeError as error:  # the text of SQLite's own message, which quotes a damaged schema
        if reading:
            raise RunError(damaged(folder, f"{error.reason} at byte {error.start}")) from error
        raise
    except sqlite3.Error as error:
        # Absent where Python itself raised, as for text that is not UTF-8.
        code = getattr(error, "sqlite_errorcode", None)
        primary = None if code is None else code & 0xFF
        if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "decode to UTF-8" in str(error):
            raise RunError(damaged(folder, error)) from error
        if primary in _LINES:
            raise RunError(_LINES[primary].format(folder=folder, error=error, safe=_SAFE)) from error
        if reading and not isinstance(error, sqlite3.ProgrammingError):
            raise RunError(damaged(folder, error)) from error
        raise


@contextmanager
def disk_explained(path: Path, *, doing: str = "write") -> Iterator[None]:
    """Raise what the operating system refuses (no space, no permission) as `RunError` with one line."""
    try:
        yield
    except OSError as error:
        fix = _FIXES.get(error.errno or 0, "see to it, or choose another place")
        raise RunError(f"cannot {doing} {path}: {error.strerror or error}; {fix}") from error

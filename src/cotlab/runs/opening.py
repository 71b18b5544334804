"""How `run.sqlite` is opened.

For writing: with a WAL on a local disk, where a killed writer loses nothing that was committed. For reading: also in a
place that cannot be written, where SQLite cannot make the shared memory that a WAL needs. There the file is opened as
immutable or, where a killed writer left rows in a WAL (which an immutable file would hide), as a temporary copy. So is
one whose killed writer left a rollback journal (on network file systems): undoing what it began would be writing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from urllib.parse import quote

from cotlab.errors import RunError
from cotlab.runs.schema import APPLICATION_ID

__all__ = ["DATABASE_FILE", "WAL_FILE", "connect", "fold_back", "open_writer", "readable_uri", "uri_of"]

DATABASE_FILE = "run.sqlite"
WAL_FILE = "run.sqlite-wal"
JOURNAL_FILE = "run.sqlite-journal"
_BUSY_SECONDS = 30.0
_NEEDS_WRITING = (
    "SQLITE_CANTOPEN",
    "SQLITE_READONLY",
    "SQLITE_READONLY_CANTINIT",
    "SQLITE_READONLY_DIRECTORY",
    "SQLITE_READONLY_ROLLBACK",
)
_NETWORK = frozenset("nfs nfs4 cifs smb3 smbfs lustre gpfs beegfs ceph 9p fuse.sshfs".split())
"""File systems on which the shared memory of a WAL is not shared between machines."""


def connect(uri: str) -> sqlite3.Connection:
    """Open a URI; transactions are ours, threads may share it."""
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=_BUSY_SECONDS)


def open_writer(folder: Path) -> sqlite3.Connection:
    """Open for writing.

    Raises:
        RunError: It is not there or not ours.
        sqlite3.Error: It is damaged or cannot be written.
    """
    connection = connect(uri_of(_existing(folder), "rw"))
    try:
        _check_magic(connection, folder)
        connection.execute(f"PRAGMA journal_mode = {'DELETE' if _on_network(folder) else 'WAL'}")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        # Tells now, not at the first row, that the disk or the folder takes no writes.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def readable_uri(folder: Path, cleanup: contextlib.ExitStack) -> str:
    """URI under which the file can be read, wherever it lies.

    Args:
        folder: The run.
        cleanup: Removes the temporary copy, where one was needed.

    Raises:
        RunError: It is not there or not ours.
        sqlite3.Error: It is damaged.
    """
    path = _existing(folder)
    uri = uri_of(path, "ro")
    try:
        _try(uri, folder)
    except sqlite3.OperationalError as error:
        # Absent where Python itself raised, as for text that is not UTF-8.
        if getattr(error, "sqlite_errorname", None) not in _NEEDS_WRITING:
            raise
        left = [path.with_name(name) for name in (WAL_FILE, JOURNAL_FILE)]
        left = [file for file in left if file.exists() and file.stat().st_size]
        if left:
            copy = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="cotlab-run-")))
            for file in (path, *left):
                shutil.copyfile(file, copy / file.name)
            _try(uri_of(copy / path.name, "rw"), folder)  # undoes what a journal says was begun
            uri = uri_of(copy / path.name, "ro")
        else:
            uri += "&immutable=1"
        _try(uri, folder)
    return uri


def fold_back(connection: sqlite3.Connection) -> None:
    """Make the run one plain file again, where nothing forbids it."""
    # A reader at work or a full disk forbids it: the WAL stays then, and keeps its rows for the next one who opens.
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA busy_timeout = 1000")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")


def uri_of(path: Path, mode: str) -> str:
    """URI of a file for SQLite; mode: ro or rw."""
    return f"file:{quote(os.fsencode(path))}?mode={mode}"


def _existing(folder: Path) -> Path:
    path = folder.absolute() / DATABASE_FILE
    if not path.exists():
        raise RunError(f"run.sqlite of {folder} is missing: restore it from a copy of the run")
    return path


def _try(uri: str, folder: Path) -> None:
    with contextlib.closing(connect(uri)) as connection:
        _check_magic(connection, folder)


def _check_magic(connection: sqlite3.Connection, folder: Path) -> None:
    (magic,) = connection.execute("PRAGMA application_id").fetchone()
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if magic != APPLICATION_ID:
        what = "empty" if not (folder / DATABASE_FILE).stat().st_size else "not one that cotlab wrote"
        raise RunError(f"run.sqlite of {folder} is damaged (it is {what}): restore it from a copy of the run")


def _on_network(folder: Path) -> bool:
    """Whether a network file system holds the folder; False where the machine does not say."""
    try:
        lines = Path("/proc/self/mounts").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return False
    best, kind = -1, ""
    for point, this in (line.split()[1:3] for line in lines if len(line.split()) > 2):
        where = Path(point.replace("\\040", " "))
        if len(where.parts) > best and folder.absolute().is_relative_to(where):
            best, kind = len(where.parts), this
    return kind in _NETWORK

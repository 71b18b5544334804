"""One connection to `run.sqlite`: queries, transactions, and errors in the words of a run."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from cotlab.errors import RunError
from cotlab.runs.faults import damaged, disk_explained, explained
from cotlab.runs.migrations import FORMAT, steps_from
from cotlab.runs.opening import DATABASE_FILE, connect, fold_back, open_writer, readable_uri, uri_of
from cotlab.runs.schema import APPLICATION_ID, PAGE_SIZE, ddl

__all__ = ["Database", "bring_up_to_date", "current_uri", "format_of", "stored_format"]

K = TypeVar("K", int, tuple[int | str, ...])


def bring_up_to_date(connection: sqlite3.Connection, folder: Path) -> None:
    """Add what newer formats have, a format at a time; a step that fails changes nothing.

    Raises:
        RunError: The format is a newer one.
    """
    number = format_of(connection, folder)
    for migration in steps_from(number):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in migration.statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {migration.number}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def current_uri(folder: Path, cleanup: contextlib.ExitStack) -> str:
    """URI under which a run can be read in this version's format: of a temporary copy, where it has an older one.

    Args:
        folder: The run; nothing in it is changed.
        cleanup: Removes the copy.

    Raises:
        RunError: It is not there, not ours or of a newer format, or there is no place for the copy.
        sqlite3.Error: It is damaged.
    """
    uri = readable_uri(folder, cleanup)
    with contextlib.closing(connect(uri)) as old:
        if format_of(old, folder) == FORMAT:
            return uri
        with disk_explained(Path(tempfile.gettempdir())):
            beside = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="cotlab-run-"))
        place = Path(beside) / DATABASE_FILE
        with contextlib.closing(sqlite3.connect(place, isolation_level=None)) as copy:
            old.backup(copy)
            copy.execute("PRAGMA synchronous = OFF")
            bring_up_to_date(copy, folder)
    return uri_of(place, "ro")


def format_of(connection: sqlite3.Connection, folder: Path) -> int:
    """The format of a run's tables.

    Raises:
        RunError: It is a newer one.
    """
    ((number,),) = connection.execute("PRAGMA user_version").fetchall()
    if number > FORMAT:
        raise RunError(f"{folder} has format {number}, this cotlab reads up to {FORMAT}: update cotlab")
    return int(number)


def stored_format(folder: Path) -> int:
    """The format of a run as it lies there; nothing is copied where it can be read in its place.

    Raises:
        RunError: It is not there, not ours, damaged or of a newer format.
    """
    with contextlib.ExitStack() as cleanup, explained(folder, reading=True):
        connection = cleanup.enter_context(contextlib.closing(connect(readable_uri(folder, cleanup))))
        return format_of(connection, folder)


class Database:
    """The tables of one run."""

    def __init__(self, folder: Path, *, writable: bool) -> None:
        """Open them; an older format is brought up to date: in place for writing, in a temporary copy for reading.

        Raises:
            RunError: The file is missing, damaged, of a newer format, or cannot be written.
        """
        self.folder = folder
        self.writable = writable
        self._lock = threading.RLock()
        self._depth = 0
        self._closed = False
        self._cleanup = contextlib.ExitStack()
        with self._cleanup, explained(folder):
            with explained(folder, reading=True):
                self.connection = open_writer(folder) if writable else connect(current_uri(folder, self._cleanup))
            self._cleanup.callback(self.connection.close)
            if writable:
                bring_up_to_date(self.connection, folder)
            self._cleanup = self._cleanup.pop_all()

    @staticmethod
    def create(folder: Path) -> None:
        """Make empty tables in `folder`.

        Raises:
            RunError: They cannot be written.
        """
        with (
            explained(folder),
            contextlib.closing(sqlite3.connect(folder / DATABASE_FILE, isolation_level=None)) as new,
        ):
            new.execute(f"PRAGMA page_size = {PAGE_SIZE}")
            new.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            new.execute("BEGIN")
            for statement in ddl():
                new.execute(statement)
            new.execute(f"PRAGMA user_version = {FORMAT}")
            new.execute("COMMIT")

    def query(self, sql: str, parameters: Iterable[Any] = ()) -> list[Any]:
        """All rows of an answer. Long ones are asked for in pages, so that memory is bounded and no read lasts."""
        with self._lock, explained(self.folder, reading=True):
            return self.connection.execute(sql, tuple(parameters)).fetchall()

    def forward(self, last: K, now: K) -> K:
        """The key at which the next page begins.

        Raises:
            RunError: It is not beyond the last one, as in a damaged index: reading on would never end.
        """
        if not (type(now) is type(last) and now > last):
            raise RunError(damaged(self.folder, "rows are out of order"))
        return now

    def execute(self, sql: str, parameters: Iterable[Any] = ()) -> sqlite3.Cursor:
        """Run one statement; to be used inside `transaction`, which explains its errors."""
        return self.connection.execute(sql, tuple(parameters))

    def key(self, table: str, public_id: str) -> int:
        """Internal number of a row.

        Raises:
            RunError: There is no such row.
        """
        found = self.query(f"SELECT key FROM {table} WHERE id = ?", (public_id,))
        if not found:
            raise RunError(f"{table.replace('_', ' ')} {public_id} is not in the run {self.folder}: add it first")
        return int(found[0][0])

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; an inner transaction is part of the outer one.

        Raises:
            RunError: The run is open for reading only, the disk is full, …
        """
        if not self.writable:
            raise RunError(f"{self.folder} is open for reading: open it with writable=True")
        with self._lock, explained(self.folder):
            if not self._depth:
                self.connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
                if self._depth == 1:
                    self.connection.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself where the disk was full.
                if self._depth == 1 and self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    def close(self) -> None:
        """Fold the WAL back and close. Closing twice is allowed."""
        with self._lock, self._cleanup:
            if self.writable and not self._closed:
                fold_back(self.connection)
            self._closed = True

"""One connection to `run.sqlite`: queries, transactions, and errors in the words of a run."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from cotlab.errors import RunError
from cotlab.runs.faults import damaged, explained
from cotlab.runs.migrations import FORMAT, steps_from
from cotlab.runs.opening import DATABASE_FILE, connect, fold_back, open_writer, readable_uri
from cotlab.runs.schema import APPLICATION_ID, PAGE_SIZE, ddl

__all__ = ["Database"]

K = TypeVar("K", int, tuple[int | str, ...])


class Database:
    """The tables of one run."""

    def __init__(self, folder: Path, *, writable: bool) -> None:
        """Open them; an older format is brought up to date where it can be written.

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
                self.connection = open_writer(folder) if writable else connect(readable_uri(folder, self._cleanup))
            self._cleanup.callback(self.connection.close)
            self._bring_up_to_date()
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

    def _bring_up_to_date(self) -> None:
        ((number,),) = self.query("PRAGMA user_version")
        if number > FORMAT:
            raise RunError(f"{self.folder} has format {number}, this cotlab reads up to {FORMAT}: update cotlab")
        if number < FORMAT and not self.writable:
            raise RunError(
                f"{self.folder} has format {number}, this cotlab reads {FORMAT}: open it, or a copy of it, "
                "for writing once to bring it up to date"
            )
        for migration in steps_from(number):
            with self.transaction():
                for statement in migration.statements:
                    self.connection.execute(statement)
                self.connection.execute(f"PRAGMA user_version = {migration.number}")

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

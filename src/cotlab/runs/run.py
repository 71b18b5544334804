"""One run: a folder with everything that was asked, sampled and judged."""

from __future__ import annotations

import contextlib
import difflib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from weakref import WeakValueDictionary

from cotlab.errors import RunError
from cotlab.runs.blocks import Blocks
from cotlab.runs.captures import Captures
from cotlab.runs.chains import Chains
from cotlab.runs.database import Database
from cotlab.runs.faults import disk_explained
from cotlab.runs.lease import Lease
from cotlab.runs.prefixes import Prefixes
from cotlab.runs.registry import Registry, now
from cotlab.runs.rollouts import Rollouts
from cotlab.runs.run_identity import IDENTITY_FILE, IDENTITY_FORMAT, RunIdentity, read_identity, write_identity
from cotlab.runs.scores import Scores
from cotlab.runs.text_search import TextSearch

if TYPE_CHECKING:
    import pandas as pd

    from cotlab.runs.datasets import DatasetName
    from cotlab.runs.summary import RunSummary

__all__ = ["Run", "building", "identity_in"]


class Run(Registry, Prefixes, Rollouts, Blocks, Chains, Scores, Captures, TextSearch):
    """A run folder, open. Use as a context manager: closing folds the write-ahead log back."""

    def __init__(self, path: Path, identity: RunIdentity, db: Database, lease: Lease | None) -> None:
        """Use `Run.open` or `Run.create`."""
        self.path = path
        self.identity = identity
        self._db = db
        self._lease = lease
        self._images = WeakValueDictionary()
        self._held = set()

    @classmethod
    def create(cls, path: Path | str, identity: RunIdentity) -> Run:
        """Make a run and open it for writing.

        Args:
            path: Folder that does not exist yet or is empty.
            identity: What the run is of; format, run id, time and version are filled in.

        Raises:
            RunError: The folder holds something, or cannot be written.
        """
        with building(Path(path), identity):
            pass
        return cls.open(path, writable=True)

    @classmethod
    def open(cls, path: Path | str, *, writable: bool = False) -> Run:
        """Open a run.

        Args:
            path: Its folder.
            writable: Also take the lease, so that nobody else writes.

        Raises:
            RunError: There is no such folder, it is not a run, damaged, of a newer format, read-only, or being written.
        """
        path = Path(path)
        identity = identity_in(path)
        with contextlib.ExitStack() as stack:
            lease = None
            if writable:
                with disk_explained(path):
                    lease = Lease(path)
                stack.callback(lease.release)
            db = Database(path, writable=writable)
            stack.pop_all()
        return cls(path, identity, db, lease)

    @classmethod
    def open_or_create(cls, path: Path | str, identity: RunIdentity) -> Run:
        """Open a run of that identity for writing, or make it.

        Raises:
            RunError: There is a run of another model, or what `open` and `create` raise.
        """
        path = Path(path)
        if not (path / IDENTITY_FILE).exists():
            return cls.create(path, identity)
        difference = read_identity(path).difference(identity)
        if difference:
            raise RunError(f"{path} is a run of something else: {difference}; choose another folder")
        return cls.open(path, writable=True)

    @property
    def writable(self) -> bool:
        """Whether it is open for writing."""
        return self._db.writable

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything that is added inside is stored together, or not at all."""
        with self._db.transaction():
            yield

    def summary(self) -> RunSummary:
        """Counts of everything."""
        from cotlab.runs.summary import summarize

        return summarize(self._db, self.path, self.identity)

    def frame(self, table: DatasetName) -> pd.DataFrame:
        """A dataset as a dataframe: rollouts, prefixes, scores, steps or problems (columns: `docs/run-folder.md`)."""
        from cotlab.runs.datasets import frame

        return frame(self._db, table)

    def close(self) -> None:
        """Fold the write-ahead log back and let others write. Closing twice is allowed."""
        try:
            self._db.close()
        finally:
            if self._lease is not None:
                self._lease.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def identity_in(path: Path) -> RunIdentity:
    """What the run in a folder is of.

    Raises:
        RunError: There is no such folder, it is no run, or of a newer version.
    """
    with disk_explained(path, doing="open"):
        if not path.is_dir():
            raise RunError(f"there is no run {path}{_near(path)}")
        return read_identity(path)


@contextlib.contextmanager
def building(path: Path, identity: RunIdentity) -> Iterator[Path]:
    """Build a run in a temporary folder beside `path`; renamed to `path` at the end, removed if anything fails.

    Raises:
        RunError: `path` holds something already, or cannot be written.
    """
    _check_free(path)
    filled = replace(
        identity, format=IDENTITY_FORMAT, run_id=secrets.token_hex(6), created=now(), cotlab_version=version("cotlab")
    )
    with disk_explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        with disk_explained(path):
            write_identity(work, filled)
        Database.create(work)
        yield work
        _check_free(path)
        with disk_explained(path):
            os.chmod(work, 0o755)
            os.rename(work, path)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _check_free(path: Path) -> None:
    if (path / IDENTITY_FILE).exists():
        raise RunError(f"{path} already holds a run: open it, or choose another folder")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(f"{path} already holds something that is not a run: choose another folder")


def _near(path: Path) -> str:
    parent = path.parent
    names = [entry.name for entry in parent.iterdir() if entry.is_dir()] if parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=3)
    if near:
        return f": did you mean {' or '.join(str(parent / name) for name in near)}?"
    return ": `cotlab runs list` shows the runs that there are"

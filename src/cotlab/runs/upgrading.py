"""Bring a run up to date in its place, so that opening it takes no temporary copy any more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cotlab.runs.database import stored_format
from cotlab.runs.migrations import FORMAT
from cotlab.runs.run import Run, identity_in

__all__ = ["Upgraded", "upgrade_run"]


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What became of a run."""

    path: Path
    before: int
    """Format that it had."""
    after: int
    """Format that it has now."""


def upgrade_run(folder: Path | str) -> Upgraded:
    """Give a run the format that this version writes; a run that has it is not touched.

    Each format is one transaction of SQLite: a run whose upgrade was interrupted, however, has the format before or
    after, whole, and the next upgrade goes on. Older versions of cotlab no longer read it.

    Raises:
        RunError: There is no such run, it is damaged, of a newer format, cannot be written, or is being written.
    """
    folder = Path(folder)
    identity_in(folder)
    before = stored_format(folder)
    if before < FORMAT:
        Run.open(folder, writable=True).close()
    return Upgraded(folder, before, FORMAT)

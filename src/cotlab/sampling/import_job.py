"""An import as a job: large folders take minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from cotlab.errors import DataError
from cotlab.runs.imports import IMPORTERS, import_run
from cotlab.sampling.branching import checked
from cotlab.sampling.progress import Progress

__all__ = ["ImportConfig", "import_job"]


class ImportConfig(BaseModel):
    """Files of another tool, and the run that they become."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: Path
    """New run folder."""
    format: str
    """One of `cotlab.runs.imports.IMPORTERS`."""
    path: Path
    """File or folder."""

    @classmethod
    def of(cls, **asked: Any) -> ImportConfig:
        """Check what was asked for.

        Raises:
            DataError: There is no such format, or nothing at the path.
        """
        found = checked(cls, asked)
        if found.format not in IMPORTERS:
            raise DataError(f"no import format is named '{found.format}'. Choose one of {', '.join(IMPORTERS)}")
        if not found.path.exists():
            raise DataError(f"nothing is at '{found.path}'. Give the folder or file of the {found.format} data")
        return found


def import_job(config: ImportConfig, progress: Progress) -> dict[str, Any]:
    """Import; returns what was made of it.

    Raises:
        DataError: The files cannot be read.
        RunError: The run folder holds something, or cannot be written.
    """
    progress.say(f"reading {config.path.name}")
    done = import_run(config.format, config.path, config.run)
    for note in done.notes:
        progress.say(note)
    return {"sampled_now": 0, "chains": done.chains, "rollouts": done.rollouts, "notes": list(done.notes)}

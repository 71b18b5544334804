"""A copy of what a run says and shows, without the other files that it points to."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

from cotlab.runs.faults import disk_explained, explained
from cotlab.runs.images import copy_images
from cotlab.runs.opening import DATABASE_FILE
from cotlab.runs.run import Run
from cotlab.runs.run_identity import IDENTITY_FILE

__all__ = ["copy_records"]


def copy_records(folder: Path, target: Path) -> None:
    """Copy a run, also while it is written: `run.json`, `run.sqlite`, images. Activations and vectors stay behind.

    Args:
        folder: The run.
        target: Folder that does not exist yet.

    Raises:
        RunError: The run cannot be read, or the copy cannot be written.
    """
    with Run.open(folder) as run:
        with disk_explained(target):
            target.mkdir(parents=True)
            shutil.copyfile(folder / IDENTITY_FILE, target / IDENTITY_FILE)
        with explained(target), contextlib.closing(sqlite3.connect(target / DATABASE_FILE)) as copy:
            run._db.connection.backup(copy)
        copy_images(folder, target, [file for (file,) in run._db.query("SELECT file FROM image")])

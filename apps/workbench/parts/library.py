"""Which runs there are, and opening them: by name, under the root, nothing else."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import streamlit as st

import cotlab as ct
from cotlab.runs import Run, RunSummary, summarize_folder

__all__ = [
    "NAME",
    "SAMPLE",
    "experiments_folder",
    "fresh",
    "names",
    "root",
    "run_path",
    "stamp",
    "summary",
    "take_sample",
]

SAMPLE = "@sample"
"""Name of the run that ships with the app; no folder under a root can have it."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
"""Names that new runs may have."""
SAMPLE_FOLDER = Path(__file__).parents[1] / "sample"


def root() -> Path:
    """The folder of runs, as `cotlab app --root` gave it."""
    return Path(os.environ.get("COTLAB_APP_ROOT", "runs"))


def names() -> list[str]:
    """Runs under the root; the sample where there is none of the reader's own, and at the end."""
    sample = [SAMPLE] if (SAMPLE_FOLDER / "run.json").exists() else []
    return [name for name in ct.run_names(root()) if name != SAMPLE] + sample


def run_path(name: str) -> Path:
    """Where a run lies.

    Raises:
        RunError: There is none of that name, or it leads out of the root.
    """
    return SAMPLE_FOLDER if name == SAMPLE else ct.find_run(root(), name)


def stamp(path: Path) -> tuple[int, ...]:
    """Changes whenever a run does; what is computed of a run is kept under it."""
    found: list[int] = []
    for file in ("run.json", "run.sqlite", "run.sqlite-wal"):
        try:
            told = (path / file).stat()
        except OSError:
            continue
        found += [told.st_mtime_ns, told.st_size]
    return tuple(found)


@st.cache_data(max_entries=200, show_spinner=False)
def _summary(path: Path, at: tuple[int, ...]) -> RunSummary:
    return summarize_folder(path)


def summary(name: str) -> RunSummary:
    """What a run holds; a damaged one says so in its state."""
    path = run_path(name)
    told: RunSummary = _summary(path, stamp(path))
    return told


def fresh(name: str) -> tuple[Path, tuple[int, ...]]:
    """Path of a run and its stamp."""
    path = run_path(name)
    return path, stamp(path)


def take_sample() -> str:
    """Copy the sample under the root, so that it can be written to; returns the name of the copy."""
    name, number = "sample", 1
    while (root() / name).exists():
        number += 1
        name = f"sample-{number}"
    root().mkdir(parents=True, exist_ok=True)
    shutil.copytree(SAMPLE_FOLDER, root() / name)
    Run.open(root() / name, writable=True).close()
    return name


def experiments_folder() -> Path | None:
    """`experiments/` of the checkout that the app runs from; None where cotlab was installed without it."""
    folder = Path(__file__).resolve().parents[3] / "experiments"
    return folder if folder.is_dir() and (folder.parent / "pyproject.toml").exists() else None

"""Two or more runs of one model as one: the union by content ids."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cotlab.errors import RunError
from cotlab.runs import merge_sql
from cotlab.runs.database import Database, current_uri
from cotlab.runs.faults import damaged, disk_explained, explained
from cotlab.runs.images import copy_images
from cotlab.runs.registry import artifact_path
from cotlab.runs.run import Run, building
from cotlab.runs.run_identity import IDENTITY_FILE, RunIdentity, read_identity

__all__ = ["MergeReport", "OnConflict", "merge_runs"]

OnConflict = Literal["refuse", "keep-first"]
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What a merge did."""

    out: Path
    rollouts: int
    """Rollouts in the merged run."""
    added: int
    """Of those, how many were not in `out` before."""
    conflicts: tuple[str, ...]
    """One line for each thing that two runs hold with different content; the earlier run's was kept."""


def merge_runs(sources: Iterable[Path | str], out: Path | str, *, on_conflict: OnConflict = "refuse") -> MergeReport:
    """Merge runs into a new run, or into one that is there.

    All or nothing: a new run is built in a temporary folder and renamed, one that is there changes in one transaction.

    Args:
        sources: Run folders, of the same model, tokenizer, template and think tags. One may be `out` itself.
        out: Folder of the merged run.
        on_conflict: What to do where two runs hold the same rollout, score or chain with different content (other
            seeds, a scorer or cutter that changed without a new version): refuse, or keep that of the earlier run.

    Raises:
        RunError: A source cannot be read, is of something else, or conflicts; `out` cannot be written.
    """
    out = Path(out)
    folders = [Path(source) for source in sources]
    if not folders:
        raise RunError(f"nothing to merge into {out}: name two or more runs")
    there = (out / IDENTITY_FILE).exists()
    first = _same_identity([*([out] if there else []), *folders])
    if there:
        conflicts, before = _merge_into(out, [folder for folder in folders if not folder.samefile(out)], on_conflict)
    else:
        before = 0
        with building(out, first) as work:
            conflicts = _fill(work, folders, on_conflict)
    with Run.open(out) as run:
        rollouts = run.summary().rollouts
    return MergeReport(out, rollouts, rollouts - before, tuple(conflicts))


def _merge_into(out: Path, folders: Sequence[Path], on_conflict: OnConflict) -> tuple[list[str], int]:
    """Merge into a run that is there; returns conflicts and how many rollouts it had."""
    conflicts: list[str] = []
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(Run.open(out, writable=True))
        before = run.summary().rollouts
        if len(folders) > 1:  # together first, so that `out` changes in one transaction
            with disk_explained(out):
                beside = stack.enter_context(tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent))
            together = Path(beside) / "merged"
            with building(together, run.identity) as work:
                conflicts += _fill(work, folders, on_conflict)
            conflicts += _merge(run._db, together, on_conflict, name=" + ".join(map(str, folders)))
        elif folders:
            conflicts += _merge(run._db, folders[0], on_conflict, name=str(folders[0]))
    return conflicts, before


def _fill(work: Path, folders: Sequence[Path], on_conflict: OnConflict) -> list[str]:
    with contextlib.closing(Database(work, writable=True)) as db:
        return [line for folder in folders for line in _merge(db, folder, on_conflict, name=str(folder))]


def _same_identity(folders: Sequence[Path]) -> RunIdentity:
    for folder in folders:
        with Run.open(folder) as run, explained(folder, reading=True):
            (line,) = run._db.connection.execute("PRAGMA quick_check(1)").fetchone()
        if line != "ok":
            raise RunError(damaged(folder, line))
    first = read_identity(folders[0])
    for folder in folders[1:]:
        difference = first.difference(read_identity(folder))
        if difference:
            raise RunError(f"{folders[0]} and {folder} cannot be merged: {difference}")
    return first


def _merge(db: Database, source: Path, on_conflict: OnConflict, *, name: str) -> list[str]:
    """Add everything of one run to an open one, in one transaction; returns the conflicts."""
    with contextlib.ExitStack() as stack:
        with explained(source, reading=True):
            db.connection.execute("ATTACH ? AS src", (current_uri(source, stack),))
        stack.callback(db.connection.execute, "DETACH src")
        with db.transaction():
            conflicts = merge_sql.conflicts(db)
            if conflicts and on_conflict == "refuse":
                shown = "; ".join(conflicts[:_SHOWN])
                raise RunError(
                    f"{name} differs from what is merged before it in {len(conflicts)} places ({shown}): "
                    "merge with --keep-first (on_conflict='keep-first') to keep what the earlier run holds"
                )
            copy_images(source, db.folder, [file for (file,) in db.query("SELECT file FROM src.image")])
            merge_sql.copy(db)
            _copy_artifacts(db, source)
    return [f"{name}: {line}" for line in conflicts]


def _copy_artifacts(db: Database, source: Path) -> None:
    for (name,) in db.query("SELECT artifact FROM src.intervention WHERE artifact IS NOT NULL"):
        target = artifact_path(db.folder, name)
        if not target.exists():
            with disk_explained(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(artifact_path(source, name), target, follow_symlinks=False)

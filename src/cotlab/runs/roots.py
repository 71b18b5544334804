"""A folder of runs, and opening by name only what lies in it."""

from __future__ import annotations

from pathlib import Path

from cotlab.errors import RunError
from cotlab.runs.opening import DATABASE_FILE
from cotlab.runs.run_identity import IDENTITY_FILE

__all__ = ["find_run", "run_names"]


def run_names(root: Path | str) -> list[str]:
    """Names of the runs directly under a folder, sorted; those that lead out of it are left out."""
    root = Path(root)
    if not root.is_dir():
        return []
    names = [entry.name for entry in root.iterdir() if not entry.name.startswith(".") and _holds_run(entry)]
    return sorted(name for name in names if _inside(root, root / name))


def find_run(root: Path | str, name: str) -> Path:
    """The folder of a run, by its name under a root; for names that come from outside, such as a web address.

    Args:
        root: Folder of runs.
        name: One path component.

    Raises:
        RunError: The name is no plain name, nothing of that name is a run, or a link leads out of the root.
    """
    root = Path(root)
    plain = bool(name) and "\0" not in name and not name.startswith(".") and Path(name).name == name
    if not plain:
        raise RunError(f"run {name[:80]!r} is not a name of a run: only folders directly under {root} are opened")
    path = root / name
    if not _holds_run(path):
        known = ", ".join(run_names(root)[:5]) or "none"
        raise RunError(f"there is no run {name[:80]!r} under {root}; there are: {known}")
    if not _inside(root, path):
        raise RunError(f"run {name[:80]!r} leads out of {root}: only what lies in it is opened")
    return path


def _holds_run(path: Path) -> bool:
    try:
        return path.is_dir() and (path / IDENTITY_FILE).exists()
    except OSError:  # a name that is too long for the file system
        return False


def _inside(root: Path, path: Path) -> bool:
    """Whether a run and its files lie under the root when all links are followed."""
    base = root.resolve()
    files = (path, path / IDENTITY_FILE, path / DATABASE_FILE)
    return all(file.resolve().is_relative_to(base) for file in files)

"""What a run is of: the frozen content of `run.json`."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from cotlab.chains.think import DEFAULT_TAGS, ThinkTags
from cotlab.errors import RunError

__all__ = ["IDENTITY_FILE", "IDENTITY_FORMAT", "RunIdentity", "read_identity", "write_identity"]

IDENTITY_FILE = "run.json"
IDENTITY_FORMAT = 1
_COMPARED = ("model", "tokenizer_id", "template_id", "think_open", "think_close")


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What all rollouts of a run share. The last four fields are filled in by `Run.create`."""

    model: str
    """Name as the user gave it."""
    tokenizer_id: str
    template_id: str
    think_open: str
    """Tag that opens the reasoning; empty where the model has none."""
    think_close: str
    title: str = ""
    format: int = 0
    """Format of the run folder."""
    run_id: str = ""
    created: str = ""
    """When, UTC."""
    cotlab_version: str = ""

    @property
    def tags(self) -> ThinkTags:
        """Think tags of the model; the usual ones where it has none."""
        return ThinkTags(self.think_open, self.think_close) if self.think_open and self.think_close else DEFAULT_TAGS

    def difference(self, other: RunIdentity) -> str | None:
        """One line that says in what two runs cannot be one (`model is tiny against QwQ-32B`); None: they can."""
        parts = [
            f"{name} is {getattr(self, name)!r} against {getattr(other, name)!r}"
            for name in _COMPARED
            if getattr(self, name) != getattr(other, name)
        ]
        return "; ".join(parts) or None


def write_identity(folder: Path, identity: RunIdentity) -> None:
    """Write `run.json`: a temporary file first, then renamed."""
    handle, name = tempfile.mkstemp(prefix=".run-", suffix=".json", dir=folder)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        # Escapes keep lone surrogates of a title (a file name may hold some) out of the encoder.
        json.dump(asdict(identity), file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.chmod(name, 0o644)
    os.replace(name, folder / IDENTITY_FILE)


def read_identity(folder: Path) -> RunIdentity:
    """Read `run.json`.

    Raises:
        RunError: It is not there, cannot be read or was written by a newer version.
    """
    path = folder / IDENTITY_FILE
    restore = f"restore it from a copy of the run (`cotlab runs verify {folder}` checks the rest)"
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        if (folder / "run.sqlite").exists():
            raise RunError(f"run.json of {folder} is missing: {restore}") from None
        raise RunError(f"{folder} is not a run folder: it has no run.json") from None
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise RunError(f"{path} is damaged ({error}): {restore}") from error
    if isinstance(found, dict) and isinstance(found.get("format"), int) and found["format"] > IDENTITY_FORMAT:
        raise RunError(
            f"{folder} has format {found['format']}, this cotlab reads up to {IDENTITY_FORMAT}: update cotlab"
        )
    return _checked(path, found, restore)


def _checked(path: Path, found: object, restore: str) -> RunIdentity:
    kinds = {field.name: int if field.name == "format" else str for field in fields(RunIdentity)}
    if not isinstance(found, dict):
        raise RunError(f"{path} is damaged (expected an object, got {type(found).__name__}): {restore}")
    for name, kind in kinds.items():
        if not isinstance(found.get(name), kind):
            raise RunError(f"{path} is damaged ({name} is {found.get(name)!r}, expected {kind.__name__}): {restore}")
    return RunIdentity(**{name: found[name] for name in kinds})

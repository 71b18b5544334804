"""What others sampled, as runs: one importer a format.

An importer reads a path and makes a new run. What the format does not hold stays unknown: token ids where only text was
kept (`provenance` says `imported:<format>`; prefixes then count UTF-8 bytes in the place of tokens), seeds, log
probabilities. A further format is a module here with a function `(path, out) -> Imported`, named in `IMPORTERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from cotlab.errors import DataError

__all__ = ["IMPORTERS", "Imported", "import_run"]


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import made."""

    run: Path
    format: str
    chains: int
    rollouts: int
    notes: tuple[str, ...] = ()
    """What a reader should know: what the files did not hold, what was left out and why; a sentence each."""


Importer = Callable[[Path, Path], Imported]

IMPORTERS: dict[str, str] = {
    "math-rollouts": "cotlab.runs.imports.math_rollouts:import_math_rollouts",
    "forking-fast": "cotlab.runs.imports.forking_fast:import_forking_fast",
    "pivotal-tokens": "cotlab.runs.imports.pivotal_tokens:import_pivotal_tokens",
}
"""Where each format's importer is: `module:function`, loaded when it is used."""


def import_run(format_name: str, path: Path | str, out: Path | str) -> Imported:
    """Import files of another tool into a new run.

    Args:
        format_name: One of `IMPORTERS`.
        path: File or folder.
        out: Run folder, which must not exist yet or be empty.

    Raises:
        DataError: The format is unknown, or the files cannot be read: one line that names the place and what is wrong.
        RunError: `out` holds something, or cannot be written.
    """
    if format_name not in IMPORTERS:
        raise DataError(f"no import format is named '{format_name}'. Choose one of {', '.join(IMPORTERS)}")
    module, _, function = IMPORTERS[format_name].partition(":")
    importer: Importer = getattr(import_module(module), function)
    return importer(Path(path), Path(out))

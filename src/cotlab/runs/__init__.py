"""The run folder: everything that was asked, sampled and judged, resumable and mergeable.

`run.json` says what a run is of and never changes; `run.sqlite` holds the rest (columns: `schema.py`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cotlab.runs.copying import copy_records
    from cotlab.runs.export import export_run
    from cotlab.runs.imports import Imported, import_run
    from cotlab.runs.listing import list_runs, summarize_folder
    from cotlab.runs.mending import mend_problem
    from cotlab.runs.merge import MergeReport, merge_runs
    from cotlab.runs.prefixes import EdgeKind, NewPrefix
    from cotlab.runs.roots import find_run, run_names
    from cotlab.runs.rows import Attempt, EdgeRow, FoundRow, Note, OutcomeRow, PrefixRow, RolloutRow, Study
    from cotlab.runs.run import Run
    from cotlab.runs.run_identity import RunIdentity
    from cotlab.runs.summary import RunSummary
    from cotlab.runs.upgrading import upgrade_run
    from cotlab.runs.verify import verify_run

__all__ = [
    "Attempt",
    "EdgeKind",
    "EdgeRow",
    "FoundRow",
    "Imported",
    "MergeReport",
    "NewPrefix",
    "Note",
    "OutcomeRow",
    "PrefixRow",
    "RolloutRow",
    "Run",
    "RunIdentity",
    "RunSummary",
    "Study",
    "copy_records",
    "export_run",
    "find_run",
    "import_run",
    "list_runs",
    "mend_problem",
    "merge_runs",
    "run_names",
    "summarize_folder",
    "upgrade_run",
    "verify_run",
]

_MODULES = {
    "copying": ("copy_records",),
    "export": ("export_run",),
    "imports": ("Imported", "import_run"),
    "listing": ("list_runs", "summarize_folder"),
    "mending": ("mend_problem",),
    "merge": ("MergeReport", "merge_runs"),
    "prefixes": ("EdgeKind", "NewPrefix"),
    "rows": ("Attempt", "EdgeRow", "FoundRow", "Note", "OutcomeRow", "PrefixRow", "RolloutRow", "Study"),
    "roots": ("find_run", "run_names"),
    "run": ("Run",),
    "run_identity": ("RunIdentity",),
    "summary": ("RunSummary",),
    "upgrading": ("upgrade_run",),
    "verify": ("verify_run",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

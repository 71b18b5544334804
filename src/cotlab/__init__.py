"""cotlab: investigate the chains of thought of reasoning models.

    import cotlab as ct

    study = ct.resample(problems="countdown", n_problems=2, model="tiny", n=100)   # a folder under runs/
    with ct.Run.open(study.path) as run:
        report = ct.chain_report(run, run.chains()[0], ct.StudyView("answers/1"))  # values, importance, alternatives
        tree = ct.build_tree(run, scorer_id="answers/1")                           # networkx.DiGraph

Names load on first use, so that importing cotlab costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cotlab.chains import Chain, Prefix, Problem, Rollout, SamplingSettings, Score, Step, get_cutter, load_scorer
    from cotlab.engines import Engine, open_engine
    from cotlab.measures import chain_draws, importance, value_curve
    from cotlab.problems import load_problems
    from cotlab.reports import StudyView, chain_report, report_data, write_report
    from cotlab.runs import Run, find_run, list_runs, merge_runs, run_names, verify_run
    from cotlab.sampling import (
        BranchConfig,
        FinishedStudy,
        StudyConfig,
        list_jobs,
        resample,
        run_branch,
        run_study,
        score_run,
        start_job,
    )
    from cotlab.stats import Estimate
    from cotlab.trees import alternatives, build_tree

__all__ = [
    "BranchConfig",
    "Chain",
    "Engine",
    "Estimate",
    "FinishedStudy",
    "Prefix",
    "Problem",
    "Rollout",
    "Run",
    "SamplingSettings",
    "Score",
    "Step",
    "StudyConfig",
    "StudyView",
    "alternatives",
    "build_tree",
    "chain_draws",
    "chain_report",
    "find_run",
    "get_cutter",
    "importance",
    "list_jobs",
    "list_runs",
    "load_problems",
    "load_scorer",
    "merge_runs",
    "open_engine",
    "report_data",
    "resample",
    "run_branch",
    "run_names",
    "run_study",
    "score_run",
    "start_job",
    "value_curve",
    "verify_run",
    "write_report",
]

_ROOMS = {
    "chains": (
        "Chain",
        "Prefix",
        "Problem",
        "Rollout",
        "SamplingSettings",
        "Score",
        "Step",
        "get_cutter",
        "load_scorer",
    ),
    "engines": ("Engine", "open_engine"),
    "measures": ("chain_draws", "importance", "value_curve"),
    "problems": ("load_problems",),
    "reports": ("StudyView", "chain_report", "report_data", "write_report"),
    "runs": ("Run", "find_run", "list_runs", "merge_runs", "run_names", "verify_run"),
    "sampling": (
        "BranchConfig",
        "FinishedStudy",
        "StudyConfig",
        "list_jobs",
        "resample",
        "run_branch",
        "run_study",
        "score_run",
        "start_job",
    ),
    "stats": ("Estimate",),
    "trees": ("alternatives", "build_tree"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _ROOM_OF:
        return getattr(import_module(f"cotlab.{_ROOM_OF[name]}"), name)
    raise AttributeError(f"module 'cotlab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

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
    from cotlab.categories import (
        CategoryModel,
        score_categories,
    )
    from cotlab.chains import (
        Chain,
        Prefix,
        Problem,
        Rollout,
        SamplingSettings,
        Score,
        Step,
        get_cutter,
        load_scorer,
    )
    from cotlab.engines import (
        Engine,
        open_engine,
    )
    from cotlab.interventions import (
        HookPoint,
        Steering,
        SteeringVector,
        Where,
        load_vector,
        save_vector,
    )
    from cotlab.measures import (
        chain_curve,
        chain_determinism,
        chain_draws,
        chain_progress,
        chain_rollouts,
        counterfactual_importance,
        importance,
        measure_steps,
        smooth_curve,
        value_curve,
    )
    from cotlab.problems import (
        load_problems,
    )
    from cotlab.reports import (
        StudyView,
        chain_report,
        export_math_rollouts,
        report_data,
        search_report,
        write_report,
    )
    from cotlab.runs import (
        Run,
        find_run,
        import_run,
        list_runs,
        merge_runs,
        run_names,
        verify_run,
    )
    from cotlab.sampling import (
        BranchConfig,
        FinishedStudy,
        StudyConfig,
        draw_edited,
        draw_forced,
        find_chain,
        list_jobs,
        resample,
        revisit,
        run_branch,
        run_study,
        score_run,
        start_job,
    )
    from cotlab.stats import (
        Estimate,
    )
    from cotlab.trees import (
        alternatives,
        build_tree,
    )
    from cotlab.whitebox import (
        Attribution,
        ChainAttention,
        Inside,
        Inspection,
        Pair,
        Probe,
        attribute_edges,
        capture_live,
        capture_run,
        chain_pair,
        compare_suppression,
        evaluate_circuit,
        exit_run,
        make_vector,
        open_bridge,
        patch_grid,
        patch_heads,
        patchscope,
        probe_curve,
        probe_run,
        read_lens,
        receiver_heads,
        steer_layers,
        steer_report,
        step_attention,
        step_pairs,
        suppress_run,
        suppression_matrix,
        train_tuned_lens,
    )

__all__ = [
    "Attribution",
    "BranchConfig",
    "CategoryModel",
    "Chain",
    "ChainAttention",
    "Engine",
    "Estimate",
    "FinishedStudy",
    "HookPoint",
    "Inside",
    "Inspection",
    "Pair",
    "Prefix",
    "Probe",
    "Problem",
    "Rollout",
    "Run",
    "SamplingSettings",
    "Score",
    "Steering",
    "SteeringVector",
    "Step",
    "StudyConfig",
    "StudyView",
    "Where",
    "alternatives",
    "attribute_edges",
    "build_tree",
    "capture_live",
    "capture_run",
    "chain_curve",
    "chain_determinism",
    "chain_draws",
    "chain_pair",
    "chain_progress",
    "chain_report",
    "chain_rollouts",
    "compare_suppression",
    "counterfactual_importance",
    "draw_edited",
    "draw_forced",
    "evaluate_circuit",
    "exit_run",
    "export_math_rollouts",
    "find_chain",
    "find_run",
    "get_cutter",
    "import_run",
    "importance",
    "list_jobs",
    "list_runs",
    "load_problems",
    "load_scorer",
    "load_vector",
    "make_vector",
    "measure_steps",
    "merge_runs",
    "open_bridge",
    "open_engine",
    "patch_grid",
    "patch_heads",
    "patchscope",
    "probe_curve",
    "probe_run",
    "read_lens",
    "receiver_heads",
    "report_data",
    "resample",
    "revisit",
    "run_branch",
    "run_names",
    "run_study",
    "save_vector",
    "score_categories",
    "score_run",
    "search_report",
    "smooth_curve",
    "start_job",
    "steer_layers",
    "steer_report",
    "step_attention",
    "step_pairs",
    "suppress_run",
    "suppression_matrix",
    "train_tuned_lens",
    "value_curve",
    "verify_run",
    "write_report",
]

_ROOMS = {
    "categories": (
        "CategoryModel",
        "score_categories",
    ),
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
    "engines": (
        "Engine",
        "open_engine",
    ),
    "interventions": (
        "HookPoint",
        "Steering",
        "SteeringVector",
        "Where",
        "load_vector",
        "save_vector",
    ),
    "measures": (
        "chain_curve",
        "chain_determinism",
        "chain_draws",
        "chain_progress",
        "chain_rollouts",
        "counterfactual_importance",
        "importance",
        "measure_steps",
        "smooth_curve",
        "value_curve",
    ),
    "problems": ("load_problems",),
    "reports": (
        "StudyView",
        "chain_report",
        "export_math_rollouts",
        "report_data",
        "search_report",
        "write_report",
    ),
    "runs": (
        "Run",
        "find_run",
        "import_run",
        "list_runs",
        "merge_runs",
        "run_names",
        "verify_run",
    ),
    "sampling": (
        "BranchConfig",
        "FinishedStudy",
        "StudyConfig",
        "draw_edited",
        "draw_forced",
        "find_chain",
        "list_jobs",
        "resample",
        "revisit",
        "run_branch",
        "run_study",
        "score_run",
        "start_job",
    ),
    "stats": ("Estimate",),
    "trees": (
        "alternatives",
        "build_tree",
    ),
    "whitebox": (
        "Attribution",
        "ChainAttention",
        "Inside",
        "Inspection",
        "Pair",
        "attribute_edges",
        "capture_run",
        "chain_pair",
        "compare_suppression",
        "evaluate_circuit",
        "Probe",
        "capture_live",
        "capture_run",
        "exit_run",
        "make_vector",
        "open_bridge",
        "patch_grid",
        "patch_heads",
        "patchscope",
        "probe_curve",
        "probe_run",
        "read_lens",
        "receiver_heads",
        "steer_layers",
        "steer_report",
        "step_attention",
        "step_pairs",
        "suppress_run",
        "suppression_matrix",
        "train_tuned_lens",
    ),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _ROOM_OF:
        return getattr(import_module(f"cotlab.{_ROOM_OF[name]}"), name)
    raise AttributeError(f"module 'cotlab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

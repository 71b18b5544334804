"""A steering study from what a user names to files: model, run, problems, report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cotlab.errors import UserError
from cotlab.interventions import SteeringVector, Where, save_vector
from cotlab.runs import Run
from cotlab.sampling import Budget, Progress, Silent, find_chains
from cotlab.stats import Estimate
from cotlab.whitebox.arms import MEASURES
from cotlab.whitebox.behaviour_study import BehaviourStudy, StudyPlan, StudyResult
from cotlab.whitebox.branching import BranchPlan, BranchResult, branch_chain
from cotlab.whitebox.layer_study import LayerRow
from cotlab.whitebox.stage import Setting, open_steerable

__all__ = ["cell", "steer_branch", "steer_report"]


def steer_report(
    plan: StudyPlan,
    out: Path,
    *,
    model: str = "tiny",
    engine: str = "auto",
    problems: str = "countdown",
    vector: SteeringVector | None = None,
    max_tokens: int | None = None,
    engine_options: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
    progress: Progress | None = None,
) -> StudyResult:
    """Carry a steering study out and write its report; asked again, it samples only what is missing.

    Args:
        plan: What is asked.
        out: Folder: the run (`run/`), the vector, `report.json` and `report.md`.
        model: Name or folder.
        engine: auto, vllm or transformers.
        problems: Problem set or file; twice `plan.n_problems` are needed.
        vector: One that is there already, in place of one that is made.
        max_tokens: Longest response; default as the model's card recommends.
        engine_options: Of the engine.
        budget: Cap; what is in flight then is finished, and the report says what is missing.
        progress: Told how it goes.

    Raises:
        UserError: Something cannot be, one line.
        EngineError: The engine broke; what it gave is stored.
    """
    setting = Setting(model, engine, problems, max_tokens, engine_options or {}, budget, progress or Silent())
    with setting.open(out / "run", plan) as stage:
        study = BehaviourStudy(stage.arms, stage.engine, stage.arms.its, plan, setting.progress)
        layers = stage.engine.shape.n_layers
        result = study.go(stage.making, stage.judging, stage.asking(), layers, vector)
    save_vector(result.vector, out / "vector.safetensors")
    (out / "report.json").write_text(json.dumps(result.to_json(), indent=1, ensure_ascii=False) + "\n", "utf-8")
    (out / "report.md").write_text(markdown(result, model), "utf-8")
    return result


def steer_branch(
    path: Path,
    vector: SteeringVector,
    *,
    step: int,
    doses: tuple[float, ...],
    chain: str | None = None,
    where: Where | None = None,
    keep_norm: bool = False,
    n: int = 50,
    n_random: int = 2,
    model: str | None = None,
    engine: str = "auto",
    engine_options: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
    progress: Progress | None = None,
) -> BranchResult:
    """Branch a chain of a run under a vector (`branch_chain`), with the run's model, settings and seed.

    Raises:
        UserError: There is no such chain, or something else cannot be; one line.
        EngineError: The engine broke; what it gave is stored.
    """
    with Run.open(path) as run:
        found = find_chains(run, chain)
        if not 0 <= step <= len(found[0].steps):
            raise UserError(f"step {step} lies beyond the chain, which has {len(found[0].steps)} steps")
        seeds = [study.seed for study in run.studies() if study.spec.get("kind") == "resample"]
        ids = {row.settings_id for row in run.rollouts(prefix_id=found[0].prefix(step).id, bodies=False)}
        known_settings = [its for key, its in run.settings().items() if key in ids and its.temperature > 0]
        model = model or run.identity.model
    plan = BranchPlan(step, doses, where or Where("new"), keep_norm, n, n_random, seeds[0] if seeds else 0)
    opened = open_steerable(model, engine, engine_options)
    with opened.engine as sampled, Run.open_or_create(path, opened.identity) as run:
        settings = known_settings[0] if known_settings else opened.card.sampling
        return branch_chain(run, sampled, found[0], vector, plan, settings, budget=budget, progress=progress)


def markdown(result: StudyResult, model: str) -> str:
    """The report for people."""
    plan, vector = result.plan, result.vector
    lines = [
        f"# Steering {plan.behaviour} in {model}",
        "",
        result.verdict,
        "",
        f"Vector {vector.id[:12]} at {', '.join(map(str, vector.points))}: {vector.card.method}, {vector.card.n} "
        f"places with and without, from {vector.card.data or 'not told'}; stability {vector.card.stability}. "
        f"Applied at: {plan.where}. {plan.n_problems} problems × {plan.n} rollouts an arm, paired by seed; 95% "
        "intervals clustered by problem.",
        "",
        f"| arm | {' | '.join(MEASURES)} | shift of the rate |",
        f"|---|{'---|' * (len(MEASURES) + 1)}",
        f"| no steering | {' | '.join(cell(result.baseline[name]) for name in MEASURES)} | |",
    ]
    for row in result.doses:
        told = " | ".join(cell(row.measures[name]) for name in MEASURES)
        lines.append(f"| dose {row.dose:g} | {told} | {cell(row.shifts['rate'])} |")
        for kind, controls in row.controls.items():
            for i, control in enumerate(controls):
                name = kind.replace("_", " ") + (f" {i + 1}" if len(controls) > 1 else "")
                rate, accuracy, shift = (cell(Estimate(**control[key])) for key in ("rate", "accuracy", "shift"))
                lines.append(f"| dose {row.dose:g}, {name} | {rate} | {accuracy} | | | | {shift} |")
    if result.layers:
        lines += [
            "",
            "## Layers",
            "",
            "| hook point | dose | KL(base‖steered), nats a token | the same by attribution | times random directions' "
            "| rate, dose against its negative | accuracy, against no steering |",
            "|---|---|---|---|---|---|---|",
            *(f"| {' | '.join(told)} |" for told in layer_cells(result.layers)),
        ]
    lines += ["", "## Side by side", ""]
    for question, plain, steered in result.samples:
        lines += [f"**{question}**", "", "No steering:", "", _quoted(plain), "", "Steered:", "", _quoted(steered), ""]
    return "\n".join(lines) + "\n"


def layer_cells(rows: Sequence[LayerRow]) -> list[tuple[str, ...]]:
    """Hook point, dose, KL measured, attributed and over random directions', shift of the rate, cost in accuracy."""
    return [
        (
            row.hook,
            f"{at.dose:g}",
            f"{at.kl:.4f}",
            f"{at.attributed:.4f}",
            f"{row.specific:.2f}",
            cell(at.against_negative),
            cell(at.accuracy),
        )
        for row in rows
        for at in row.doses
    ]


def cell(estimate: Estimate) -> str:
    """A value with its interval, or why there is none."""
    if estimate.value is None:
        return estimate.reason or ""
    digits = 0 if abs(estimate.value) >= 10 else 3
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def _quoted(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines()) or "    (nothing)"

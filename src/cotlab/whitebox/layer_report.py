"""`cotlab steer layers` from what a user names to files: which layer to steer a behaviour at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotlab.errors import UserError
from cotlab.interventions import HookPoint, SteeringVector, save_vector
from cotlab.sampling import Budget, Progress, Silent
from cotlab.whitebox.behaviour_study import StudyPlan
from cotlab.whitebox.directions import behaviour_vector
from cotlab.whitebox.layer_study import LayerPlan, LayerRow, best_layer, try_layers
from cotlab.whitebox.stage import Setting, Stage

__all__ = ["LayerReport", "steer_layers"]


@dataclass(frozen=True, slots=True)
class LayerReport:
    """What a vector does at each layer."""

    plan: StudyPlan
    vector: SteeringVector
    """With a direction at each layer that was tried."""
    rows: tuple[LayerRow, ...]

    @property
    def chosen(self) -> LayerRow:
        """The layer whose best dose moves the rate most while accuracy holds."""
        return best_layer(self.rows)

    def to_json(self) -> dict[str, Any]:
        """The document of `cotlab steer layers --json`."""
        return {
            "behaviour": self.plan.behaviour,
            "vector": self.vector.id,
            "card": self.vector.card.to_json(),
            "where": self.plan.where.to_json(),
            "n_problems": self.plan.n_problems,
            "n": self.plan.n,
            "layers": [row.to_json() for row in self.rows],
            "chosen": {"hook": self.chosen.hook, "dose": self.chosen.best.dose},
        }


def steer_layers(
    plan: StudyPlan,
    out: Path,
    *,
    model: str = "tiny",
    engine: str = "auto",
    problems: str = "countdown",
    vector: SteeringVector | None = None,
    hooks: tuple[str, ...] = (),
    max_tokens: int | None = None,
    engine_options: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
    progress: Progress | None = None,
) -> LayerReport:
    """Try a vector at each layer, by attribution and by a sweep of doses; asked again, what is there is not sampled.

    It samples the first `plan.n_problems` problems, the ones that `steer_report` makes its vector from: that report
    judges on others.

    Args:
        plan: What is asked; its controls are left for the report.
        out: Folder: the run (`run/`), the vector with all its layers, `layers.json`.
        model: Name or folder.
        engine: auto, vllm or transformers.
        problems: Problem set or file; twice `plan.n_problems` are needed.
        vector: One that is there already; each of its points is tried.
        hooks: Hook points, in place of the residual stream behind each layer but the last.
        max_tokens: Longest response; default as the model's card recommends.
        engine_options: Of the engine.
        budget: Cap.
        progress: Told how it goes.

    Raises:
        UserError: Something cannot be, one line.
        EngineError: The engine broke; what it gave is stored.
    """
    points = [HookPoint.parse(hook) for hook in hooks]
    setting = Setting(model, engine, problems, max_tokens, engine_options or {}, budget, progress or Silent())
    with setting.open(out / "run", plan) as stage:
        found = _made(stage, plan, points) if vector is None else vector.at(*(points or vector.points))
        if not found.card.mean_norms:
            raise UserError(f"vector {found.label} does not say the activations' norms; see `cotlab steer norms`")
        trial = LayerPlan(plan.doses, plan.where, plan.keep_norm, plan.n, plan.seed)
        report = LayerReport(plan, found, try_layers(stage.arms, stage.engine, stage.making, found, trial))
    save_vector(found, out / "vector.safetensors")
    (out / "layers.json").write_text(json.dumps(report.to_json(), indent=1, ensure_ascii=False) + "\n", "utf-8")
    return report


def _made(stage: Stage, plan: StudyPlan, points: list[HookPoint]) -> SteeringVector:
    points = points or [HookPoint("resid_post", layer) for layer in range(stage.engine.shape.n_layers - 1)]
    labelled = stage.arms.labelled(stage.making, plan.n)
    data = f"{len(labelled)} unsteered rollouts of {len(stage.making)} problems, seed {plan.seed}"
    return behaviour_vector(stage.engine, stage.arms.its, labelled, points, method=plan.method, data=data)

"""What setting features does to a behaviour, against its controls: the report that steering vectors get, and more.

1. Baseline rollouts of some problems say how often features fire and how large the change is (`feature_controls`).
2. On other problems, arms with equal seeds: nothing; the features set, at each of some strengths; and beside each the
   controls: random features of the same firing rate, changed by as much, the mean change as a steering vector of equal
   norm, the same with the wrong sign, a random direction. Once: the reconstruction alone, and a prompt that asks for
   the behaviour.
3. A verdict: beyond the random features, and beyond the vector, or not shown. It holds for all strengths together
   (their intervals have level 1 − 0.05 / strengths), and beyond the mean of the random features is not enough: what the
   features do must lie outside of what each of them does, as an interval of their mean says nothing of their spread.
   The rank among them is told with its p (`cotlab.saes.feature_rank`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cotlab.errors import UserError
from cotlab.interventions import FeatureChange, FeatureSteering, Reconstruction, Where
from cotlab.interventions.base import Intervention
from cotlab.saes.feature_controls import RANDOM, ChangeSize, FeatureControls, measure_changes
from cotlab.saes.feature_rank import Rank
from cotlab.sampling import Budget, Progress, Silent
from cotlab.stats import Estimate
from cotlab.whitebox.arms import MEASURES, Arm
from cotlab.whitebox.stage import Setting, Stage
from cotlab.whitebox.steering_study import cell

if TYPE_CHECKING:
    from cotlab.interventions import SparseAutoencoder

__all__ = ["FeaturePlan", "FeatureStudy", "StrengthRow", "StudiedArm", "feature_report"]

MOST_READ = 60
"""Rollouts that firing rates and the size of the change are measured on."""


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """What is asked."""

    changes: tuple[FeatureChange, ...]
    behaviour: str = "backtracking"
    strengths: tuple[float, ...] = (1.0,)
    """Values of clamp and add are multiplied by these; factors and ablations have one strength only."""
    where: Where = field(default_factory=Where)
    n_problems: int = 50
    """Problems that arms are compared on; as many others say how features fire."""
    n: int = 5
    """Rollouts of each."""
    n_random: int = 5
    """Random features at each strength; random directions too, two at most."""
    seed: int = 0

    def __post_init__(self) -> None:
        fixed = any(change.units is None for change in self.changes)
        for ok, told in (
            (self.changes, "no feature is named"),
            (self.strengths and all(self.strengths), f"strengths {self.strengths}: give numbers other than 0"),
            (
                not fixed or self.strengths == (1.0,),
                "only clamp and add have strengths: a factor or an ablation is what it is",
            ),
            (self.n_problems >= 5, f"{self.n_problems} problems are too few for an interval; take 5 or more"),
            (self.n >= 1, f"{self.n} rollouts a problem; take 1 or more"),
            (self.n_random >= 1, f"{self.n_random} random features; take 1 or more"),
        ):
            if not ok:
                raise UserError(told)

    def at(self, strength: float) -> list[FeatureChange]:
        """The changes at a strength."""
        return [c if c.value is None or c.units is None else replace(c, value=c.value * strength) for c in self.changes]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        told = {**asdict(self), "strengths": list(self.strengths), "where": self.where.to_json()}
        return {"kind": "feature-report", **told, "changes": [change.to_json() for change in self.changes]}


@dataclass(frozen=True, slots=True)
class StudiedArm:
    """One arm; differences are to nothing changed, paired by problem and seed."""

    name: str
    intervention_id: str
    measures: dict[str, Estimate]
    shifts: dict[str, Estimate]
    steered_tokens: int

    @classmethod
    def of(cls, name: str, arm: Arm, base: Arm) -> StudiedArm:
        """What an arm says."""
        measures = {measure: arm.estimate(measure) for measure in MEASURES}
        shifts = {measure: arm.against(base, measure) for measure in MEASURES}
        return cls(name, arm.intervention.id, measures, shifts, arm.steered_tokens)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        told = {"name": self.name, "intervention": self.intervention_id, "steered_tokens": self.steered_tokens}
        measures = {name: estimate.to_json() for name, estimate in self.measures.items()}
        return {**told, **measures, "shifts": {name: estimate.to_json() for name, estimate in self.shifts.items()}}


@dataclass(frozen=True, slots=True)
class StrengthRow:
    """Features set at one strength, with its controls."""

    strength: float
    size: ChangeSize
    arm: StudiedArm
    beyond_random: Estimate
    """Rate minus the mean rate of the random features, paired; its level is that of all strengths together."""
    beyond_vector: Estimate
    """Rate minus that of the steering vector of equal norm, paired; level as before."""
    controls: tuple[StudiedArm, ...]
    random_sizes: tuple[float, ...] = ()
    """Of each random feature: mean norm of its change over mean norm of the activations."""

    @property
    def rank(self) -> Rank | None:
        """Where the shift of the rate stands among those of single random features."""
        others = [control.shifts["rate"].value for control in self.controls if control.name.startswith(RANDOM)]
        return Rank.of(self.arm.shifts["rate"].value, others)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        beyond = {"beyond_random": self.beyond_random.to_json(), "beyond_vector": self.beyond_vector.to_json()}
        controls = [control.to_json() for control in self.controls]
        sizes = {"size": asdict(self.size), "random_sizes": list(self.random_sizes)}
        rank = None if self.rank is None else self.rank.to_json()
        return {"strength": self.strength, **sizes, **self.arm.to_json(), **beyond, "rank": rank, "controls": controls}


@dataclass(frozen=True, slots=True)
class FeatureStudy:
    """What was found."""

    plan: FeaturePlan
    sae: str
    hook: str
    baseline: dict[str, Estimate]
    rows: tuple[StrengthRow, ...]
    reconstruction: StudiedArm
    prompt: StudiedArm
    verdict: str
    samples: tuple[tuple[str, str, str], ...]
    """Question, text without and with the features set, of the same seed."""

    def to_json(self) -> dict[str, Any]:
        """The document of `cotlab sae report --json`."""
        return {
            "plan": self.plan.to_json(),
            "sae": self.sae,
            "hook": self.hook,
            "baseline": {name: estimate.to_json() for name, estimate in self.baseline.items()},
            "rows": [row.to_json() for row in self.rows],
            "reconstruction": self.reconstruction.to_json(),
            "prompt": self.prompt.to_json(),
            "verdict": self.verdict,
        }


def feature_report(
    plan: FeaturePlan,
    sae: SparseAutoencoder,
    out: Path,
    *,
    model: str = "tiny",
    engine: str = "auto",
    problems: str = "countdown",
    max_tokens: int | None = None,
    engine_options: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
    progress: Progress | None = None,
) -> FeatureStudy:
    """Carry a study out and write its report; asked again, it samples only what is missing.

    Args:
        plan: What is asked.
        sae: Of the model, or said to be transferred to it.
        out: Folder: the run (`run/`), `report.json` and `report.md`.
        model: Name or folder.
        engine: auto, vllm or transformers.
        problems: Problem set or file; twice `plan.n_problems` are needed.
        max_tokens: Longest response; default as the model's card recommends.
        engine_options: Of the engine.
        budget: Cap.
        progress: Told how it goes.

    Raises:
        UserError: Something cannot be, one line.
        EngineError: The engine broke; what it gave is stored.
    """
    FeatureSteering.of(sae, plan.changes, plan.where)
    setting = Setting(model, engine, problems, max_tokens, engine_options or {}, budget, progress or Silent())
    with setting.open(out / "run", plan) as stage:
        found = _carried_out(stage, plan, sae)
    (out / "report.json").write_text(json.dumps(found.to_json(), indent=1, ensure_ascii=False) + "\n", "utf-8")
    (out / "report.md").write_text(_markdown(found, model), "utf-8")
    return found


def _carried_out(stage: Stage, plan: FeaturePlan, sae: SparseAutoencoder) -> FeatureStudy:
    sae.check(stage.engine.shape, stage.engine.card.model, stage.engine.card.revision)
    arms, judging, n = stage.arms, stage.judging, plan.n
    passages = [one.passage for one in arms.labelled(stage.making, 1)][:MOST_READ]
    controls = measure_changes(stage.engine, sae, plan.where, passages)
    base = arms.draw(judging, n, phase="nothing changed")
    asked = replace(arms.draw(stage.asking(), n, phase="prompt that asks for it"), problems=base.problems)
    drawn = [_strength(stage, plan, controls, base, strength) for strength in plan.strengths]
    rows, strongest = tuple(row for row, _ in drawn), drawn[-1][1]
    alone = arms.draw(judging, n, Reconstruction(sae, plan.where), phase="reconstruction")
    rebuilt = StudiedArm.of("reconstruction", alone, base)
    samples = [(judging[i][0].question, base.texts[i * n], strongest.texts[i * n]) for i in range(min(3, len(judging)))]
    return FeatureStudy(
        plan, sae.card.label, str(sae.point), {name: base.estimate(name) for name in MEASURES}, rows, rebuilt,
        StudiedArm.of("prompt", asked, base), _verdict(plan.behaviour, rows, rebuilt), tuple(samples),
    )  # fmt: skip


def _strength(
    stage: Stage, plan: FeaturePlan, controls: FeatureControls, base: Arm, strength: float
) -> tuple[StrengthRow, Arm]:
    its = FeatureSteering.of(controls.sae, plan.at(strength), plan.where)

    def draw(name: str, one: Intervention) -> Arm:
        return stage.arms.draw(stage.judging, plan.n, one, phase=f"strength {strength:g}: {name}")

    mine = draw("features", its)
    others = controls.arms(its, n_random=plan.n_random, seed=plan.seed, reconstruction=False)
    drawn = {name: draw(name, one) for name, one in others}
    randoms = [arm for name, arm in drawn.items() if name.startswith(RANDOM)]
    sizes = tuple(controls.size(one).relative for _, one in others if isinstance(one, FeatureSteering))
    pooled = replace(
        randoms[0],
        counts={name: np.mean([arm.counts[name] for arm in randoms], axis=0) for name in MEASURES},
        sizes={name: np.mean([arm.sizes[name] for arm in randoms], axis=0) for name in MEASURES},
    )
    vector, level = drawn["steering vector of equal norm"], 1 - 0.05 / len(plan.strengths)
    row = StrengthRow(
        strength, controls.size(its), StudiedArm.of("features", mine, base), mine.against(pooled, "rate", level=level),
        mine.against(vector, "rate", level=level), tuple(StudiedArm.of(name, arm, base) for name, arm in drawn.items()),
        sizes,
    )  # fmt: skip
    return row, mine


def _verdict(behaviour: str, rows: Sequence[StrengthRow], rebuilt: StudiedArm) -> str:
    shown = [row for row in rows if _beyond_random(row)]
    best = max(shown or rows, key=lambda row: abs(row.beyond_random.value or 0.0))
    shift, beyond, vector = best.arm.shifts["rate"], best.beyond_random, best.beyond_vector
    parts = [
        f"At strength {best.strength:g} the features move the rate of {behaviour} by {_told(shift)}, "
        f"{_told(beyond)} beyond random features of the same firing rate"
        if shown
        else f"That the features move the rate of {behaviour} beyond random features of the same firing rate is not "
        f"shown: at strength {best.strength:g} they move it by {_told(shift)}, {_told(beyond)} beyond"
    ]
    if best.rank is not None:
        parts.append(str(best.rank))
    if len(rows) > 1:
        parts.append(f"intervals of what is beyond hold for all {len(rows)} strengths together")
    parts.append(
        f"{_told(vector)} beyond the steering vector of equal norm" + ("" if _away(vector) else " (not shown)")
    )
    parts.append(f"the reconstruction alone moves it by {_told(rebuilt.shifts['rate'])}")
    parts.append(f"accuracy changes by {_told(best.arm.shifts['accuracy'])}")
    return "; ".join(parts) + "."


def _beyond_random(row: StrengthRow) -> bool:
    """Whether features do more than random ones: than their mean, and than each of them to the same side."""
    shift = row.arm.shifts["rate"]
    if shift.value is None or row.rank is None or not (_away(shift) and _away(row.beyond_random)):
        return False
    side = np.sign(shift.value)
    return all(side * shift.value > side * other for other in row.rank.others)


def _told(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"(not known: {estimate.reason})"
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"


def _away(estimate: Estimate) -> bool:
    return estimate.low is not None and estimate.high is not None and (estimate.low > 0 or estimate.high < 0)


def _markdown(found: FeatureStudy, model: str) -> str:
    plan = found.plan
    lines = [
        f"# Features of {found.sae} and {plan.behaviour} in {model}",
        "",
        found.verdict,
        "",
        f"{'; '.join(map(str, plan.changes))}; at {found.hook}; applied at: {plan.where}. {plan.n_problems} problems × "
        f"{plan.n} rollouts an arm, paired by seed; 95% intervals clustered by problem.",
        "",
        f"| arm | {' | '.join(MEASURES)} | shift of the rate |",
        f"|---|{'---|' * (len(MEASURES) + 1)}",
        f"| nothing changed | {' | '.join(cell(found.baseline[name]) for name in MEASURES)} | |",
        _line(found.reconstruction, "reconstruction"),
        _line(found.prompt, "prompt that asks for it"),
    ]
    for row in found.rows:
        lines.append(_line(row.arm, f"strength {row.strength:g} ({row.size.relative:.2f} of the norm)"))
        lines += [_line(control, f"strength {row.strength:g}, {control.name}") for control in row.controls]
    lines += ["", "## Side by side", ""]
    for question, plain, changed in found.samples:
        quoted = [
            "\n".join(f"    {line}" for line in text.splitlines()) or "    (nothing)" for text in (plain, changed)
        ]
        lines += [f"**{question}**", "", "Nothing changed:", "", quoted[0], "", "Features set:", "", quoted[1], ""]
    return "\n".join(lines) + "\n"


def _line(arm: StudiedArm, name: str) -> str:
    return f"| {name} | {' | '.join(cell(arm.measures[m]) for m in MEASURES)} | {cell(arm.shifts['rate'])} |"

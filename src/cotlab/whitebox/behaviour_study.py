"""What a steering vector does to a behaviour, against its controls.

1. Baseline rollouts of some problems give the vector (`directions`), at every layer where none is asked for.
2. Without a layer: each is tried at the middle dose, both signs, on the same problems (`layer_study`): the layer that
   moves the rate most while accuracy holds is taken.
3. On other problems, arms with equal seeds: no steering; each dose; the wrong sign; several random vectors of the same
   norm; a prompt that asks for the behaviour. Differences are paired by problem and seed, intervals clustered by
   problem.
4. A verdict: beyond the random vectors or not, the wrong sign the other way or not, and the largest dose whose accuracy
   cost is below 5 points at the upper end of its interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from cotlab.engines.base import Engine
from cotlab.errors import UserError
from cotlab.interventions import HookPoint, Steering, SteeringVector, Where
from cotlab.sampling import Progress
from cotlab.stats import Estimate
from cotlab.whitebox.arms import MEASURES, Arm, Arms, Prompted
from cotlab.whitebox.behaviours import Behaviour
from cotlab.whitebox.directions import VectorMethod, behaviour_vector
from cotlab.whitebox.layer_study import COST, LayerPlan, LayerRow, best_layer, try_layers

__all__ = ["BehaviourStudy", "DoseRow", "StudyPlan", "StudyResult"]

TOGETHER = 16
"""Random vectors of the rank test that are sampled in one batch."""


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """What is asked."""

    behaviour: str = "backtracking"
    hook: str | None = None
    """`resid_post:2`; None chooses a layer by measurement."""
    method: VectorMethod = "matched"
    doses: tuple[float, ...] = (0.1, 0.2, 0.3)
    """Relative doses, α‖v‖ / mean‖h‖."""
    where: Where = field(default_factory=Where)
    keep_norm: bool = False
    n_problems: int = 50
    """Problems that arms are compared on; as many others give the vector."""
    n: int = 5
    """Rollouts of each."""
    n_random: int = 3
    rank: int = 0
    """Random vectors that the effect of the largest dose is ranked among; 0 leaves that out."""
    seed: int = 0

    def __post_init__(self) -> None:
        for ok, told in (
            (self.doses and all(dose > 0 for dose in self.doses), f"doses {self.doses}: give numbers above 0"),
            (self.n_problems >= 5, f"{self.n_problems} problems are too few for an interval; take 5 or more"),
            (self.n >= 1, f"{self.n} rollouts a problem; take 1 or more"),
            (self.n_random >= 2, f"{self.n_random} random vectors; take 2 or more"),
        ):
            if not ok:
                raise UserError(str(told))

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"kind": "steer-report", **asdict(self), "doses": list(self.doses), "where": self.where.to_json()}


@dataclass(frozen=True, slots=True)
class DoseRow:
    """One dose with its controls; differences are to the unsteered arm."""

    dose: float
    measures: dict[str, Estimate]
    shifts: dict[str, Estimate]
    beyond_random: Estimate
    """Rate minus the mean rate of the random vectors, paired."""
    steered_tokens: int
    controls: dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class StudyResult:
    """What was found."""

    plan: StudyPlan
    vector: SteeringVector
    baseline: dict[str, Estimate]
    doses: tuple[DoseRow, ...]
    layers: tuple[LayerRow, ...]
    rank_p: float | None
    rank_n: int
    safe_dose: float | None
    verdict: str
    samples: tuple[tuple[str, str, str], ...]
    """Question, unsteered and steered text, of the same seed."""

    def to_json(self) -> dict[str, Any]:
        """The document of `cotlab steer report --json`."""
        point = self.vector.points[0]
        return {
            "behaviour": self.plan.behaviour,
            "layer": point.layer,
            "hook": str(point),
            "norm": self.vector.norms[0] / self.vector.card.mean_norms[0],
            "vector": self.vector.id,
            "card": self.vector.card.to_json(),
            "where": self.plan.where.to_json(),
            "baseline": _json(self.baseline),
            "layers": [row.to_json() for row in self.layers],
            "doses": [
                {
                    "dose": row.dose,
                    **_json(row.measures),
                    "shifts": _json(row.shifts),
                    "beyond_random": row.beyond_random.to_json(),
                    "steered_tokens": row.steered_tokens,
                    "controls": row.controls,
                }
                for row in self.doses
            ],
            "rank_p": self.rank_p,
            "rank_n": self.rank_n,
            "safe_dose": self.safe_dose,
            "verdict": self.verdict,
        }


class BehaviourStudy:
    """Carries a plan out on a run."""

    def __init__(self, arms: Arms, engine: Engine, its: Behaviour, plan: StudyPlan, progress: Progress) -> None:
        self.arms, self.engine, self.its, self.plan, self.progress = arms, engine, its, plan, progress

    def go(
        self,
        making: Sequence[Prompted],
        judging: Sequence[Prompted],
        asking: Sequence[Prompted],
        n_layers: int,
        vector: SteeringVector | None = None,
    ) -> StudyResult:
        """Make the vector where none is given, choose a layer, draw the arms, judge.

        Args:
            making: Problems that the vector is made from and layers are tried on.
            judging: Problems that arms are compared on.
            asking: The same problems with a prompt that asks for the behaviour.
            n_layers: Of the model.
            vector: One that is there already; its first hook point is taken.

        Raises:
            UserError: Something cannot be, one line.
            EngineError: The engine broke; what it gave is stored.
        """
        layers: tuple[LayerRow, ...] = ()
        if vector is None:
            vector, layers = self._make(making, n_layers)
        plan, n = self.plan, self.plan.n
        base = self.arms.draw(judging, n, phase="unsteered")
        prompted = self.arms.draw(asking, n, phase="prompt that asks for it")
        prompted = replace(prompted, problems=base.problems)
        arms = {
            dose: self.arms.draw(judging, n, self._steer(vector, dose), phase=f"dose {dose}") for dose in plan.doses
        }
        rows = tuple(self._row(dose, arms[dose], base, prompted, judging, vector) for dose in plan.doses)
        rank_p = self._rank(judging, base, arms[max(plan.doses)], vector) if plan.rank else None
        safe = [row.dose for row in rows if _surely_above(row.shifts["accuracy"], -COST)]
        first = arms[plan.doses[0]] if not safe else arms[max(safe)]
        samples = [
            (problem.question, base.texts[i * n], first.texts[i * n]) for i, (problem, _) in enumerate(judging[:3])
        ]
        return StudyResult(
            plan,
            vector,
            {name: base.estimate(name) for name in MEASURES},
            rows,
            layers,
            rank_p,
            plan.rank,
            max(safe, default=None),
            verdict(self.its.name, rows, max(safe, default=None), rank_p, plan.rank),
            tuple(samples),
        )

    def _steer(self, vector: SteeringVector, dose: float) -> Steering:
        return Steering.of(vector, dose, self.plan.where, keep_norm=self.plan.keep_norm)

    def _make(self, making: Sequence[Prompted], n_layers: int) -> tuple[SteeringVector, tuple[LayerRow, ...]]:
        labelled = self.arms.labelled(making, self.plan.n)
        hooks = [self.plan.hook] if self.plan.hook else [f"resid_post:{layer}" for layer in range(n_layers)]
        points = [HookPoint.parse(hook) for hook in hooks]
        data = f"{len(labelled)} unsteered rollouts of {len(making)} problems, seed {self.plan.seed}"
        self.progress.say(f"reading activations of {len(labelled)} rollouts at {', '.join(hooks)}")
        whole = behaviour_vector(self.engine, self.its, labelled, points, method=self.plan.method, data=data)
        if len(points) == 1:
            return whole, ()
        rows = try_layers(self.arms, self.engine, making, whole.at(*points[:-1]), self._trial())
        best = best_layer(rows)
        self.progress.say(f"layer chosen by measurement: {best.hook}")
        return whole.at(HookPoint.parse(best.hook)), rows

    def _trial(self) -> LayerPlan:
        plan = self.plan
        return LayerPlan((float(np.median(plan.doses)),), plan.where, plan.keep_norm, plan.n, plan.seed)

    def _row(
        self, dose: float, arm: Arm, base: Arm, prompted: Arm, judging: Sequence[Prompted], vector: SteeringVector
    ) -> DoseRow:
        wrong = self.arms.draw(judging, self.plan.n, self._steer(vector, -dose), phase=f"dose {-dose}: wrong sign")
        randoms = [
            self.arms.draw(
                judging,
                self.plan.n,
                self._steer(vector.random_like(self.plan.seed + i), dose),
                phase=f"dose {dose}: random vector {i + 1}",
            )
            for i in range(self.plan.n_random)
        ]
        pooled = replace(
            randoms[0],
            counts={name: np.mean([r.counts[name] for r in randoms], axis=0) for name in MEASURES},
            sizes={name: np.mean([r.sizes[name] for r in randoms], axis=0) for name in MEASURES},
        )
        return DoseRow(
            dose,
            {name: arm.estimate(name) for name in MEASURES},
            {name: arm.against(base, name) for name in MEASURES},
            arm.against(pooled, "rate"),
            arm.steered_tokens,
            {
                "random": [_control(control, base) for control in randoms],
                "wrong_sign": [_control(wrong, base)],
                "prompt": [_control(prompted, base)],
            },
        )

    def _rank(self, judging: Sequence[Prompted], base: Arm, arm: Arm, vector: SteeringVector) -> float:
        """(1 + number of random vectors with at least the effect) / (1 + number), one rollout a problem and vector."""
        dose = max(self.plan.doses)
        first = np.arange(len(judging)) * self.plan.n
        effect = _rate(arm, first) - _rate(base, first)
        larger = 0
        for begin in range(0, self.plan.rank, TOGETHER):
            numbers = range(begin, min(begin + TOGETHER, self.plan.rank))
            controls = [self._steer(vector.random_like(10_000 + self.plan.seed + i), dose) for i in numbers]
            told = f"random vectors {begin + 1}–{numbers[-1] + 1} of {self.plan.rank}"
            for drawn in self.arms.draw_mixed(judging, 1, controls, phase=told):
                larger += _rate(drawn, np.arange(len(judging))) - _rate(base, first) >= effect
        return (1 + larger) / (1 + self.plan.rank)


def verdict(behaviour: str, rows: Sequence[DoseRow], safe: float | None, rank_p: float | None, rank_n: int) -> str:
    """One paragraph that says what was found, also where that is nothing."""
    best = max(rows, key=lambda row: row.beyond_random.value or -1.0)
    shift, beyond = best.shifts["rate"], best.beyond_random
    wrong = best.controls["wrong_sign"][0]["shift"]["value"]
    works = _surely_above(beyond, 0) and _surely_above(shift, 0)
    parts = []
    if works:
        other = (
            "the wrong sign the other way" if wrong is not None and wrong < 0 else "the wrong sign not the other way"
        )
        parts.append(
            f"At dose {best.dose:g} the vector raises the rate of {behaviour} by {_told(shift)}, "
            f"{_told(beyond)} beyond norm-matched random vectors, {other}"
        )
    else:
        parts.append(
            f"The vector does nothing to the rate of {behaviour} beyond norm-matched random vectors: at its best dose "
            f"{best.dose:g} {_told(beyond)}"
        )
    if rank_p is not None:
        parts.append(f"rank p = {rank_p:.3f} among {rank_n} random vectors")
    parts.append(
        f"the largest dose whose accuracy cost is surely below {COST:.0%} is {safe:g}"
        if safe is not None
        else f"no dose costs surely less than {COST:.0%} of accuracy"
    )
    return "; ".join(parts) + "."


def _told(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"(not known: {estimate.reason})"
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"


def _surely_above(estimate: Estimate, bound: float) -> bool:
    return estimate.low is not None and estimate.low > bound


def _control(arm: Arm, base: Arm) -> dict[str, Any]:
    return {
        "vector": getattr(getattr(arm.intervention, "vector", None), "id", None),
        "rate": arm.estimate("rate").to_json(),
        "shift": arm.against(base, "rate").to_json(),
        "accuracy": arm.estimate("accuracy").to_json(),
    }


def _rate(arm: Arm, rows: Any) -> float:
    return float(arm.counts["rate"][rows].sum() / max(1.0, arm.sizes["rate"][rows].sum()))


def _json(estimates: dict[str, Estimate]) -> dict[str, Any]:
    return {name: estimate.to_json() for name, estimate in estimates.items()}

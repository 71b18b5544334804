"""Does a direction make the model go back, and what becomes of V? Learned on some problems, judged on others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from cotlab.errors import UserError
from cotlab.interventions import HookPoint, Steering
from cotlab.reports import Finding
from cotlab.stats import Estimate, NullRate, null_rate
from cotlab.whitebox import StudyPlan, behaviour_vector
from cotlab.whitebox.arms import MEASURES, Arm
from cotlab.whitebox.stage import Setting, Stage
from experiments.lab import Lab
from experiments.readings import Opened

__all__ = ["exchanged", "steered"]

DOSE = 0.2
"""α‖v‖ / mean‖h‖: where the direction moved the rate at little cost (`experiments/steering-backtracking`)."""
RANDOM = 3
ROWS = {
    "rate": "share of sentences that go back, other problems",
    "accuracy": "V of the prompt, other problems",
}
AGAINST = (
    ("with the direction, less without", "up", "none"),
    ("against the direction, less without", "down", "none"),
    ("with the direction, less random ones of its norm", "up", "random"),
    ("random directions of its norm, less without", "random", "none"),
)


def steered(lab: Lab, opened: Opened | str) -> tuple[list[Finding], list[NullRate]]:
    """Rows of an intervention, and how often it finds something where arms are exchanged within problems."""
    if isinstance(opened, str):
        return [Finding.of(ROWS["rate"], Estimate.missing(opened), evidence="caused")], []
    plan = StudyPlan(
        hook=f"resid_post:{opened.layer}",
        doses=(DOSE,),
        n_problems=lab.number("steered"),
        n=lab.number("steered_n"),
        n_random=RANDOM,
        seed=lab.seed,
    )
    setting = Setting(lab.model, lab.engine, lab.problems, lab.max_tokens, {}, lab.part(0.2), lab.progress)
    try:
        with setting.open(lab.out / "steering", plan) as stage:
            arms = _drawn(stage, plan)
    except UserError as error:
        return [Finding.of(ROWS["rate"], Estimate.missing(str(error)), evidence="caused")], []
    lab.uses(lab.out / "steering")
    lab.counted[lab.out / "steering"] = sum(len(arm.problems) for arm in arms.values()) + (RANDOM - 1) * len(
        arms["random"].problems
    )
    found = [Finding.of(ROWS["rate"], arms["none"].estimate("rate"), group="without any", evidence="observed")]
    found += [
        Finding.of(name, arms[one].against(arms[other], measure), group=told, evidence="caused")
        for measure, name in ROWS.items()
        for told, one, other in AGAINST
    ]
    return found, [_shuffled(arms, measure, lab.number("shuffles"), lab.seed) for measure in ROWS]


def _drawn(stage: Stage, plan: StudyPlan) -> Mapping[str, Arm]:
    """The direction, from problems that arms are not judged on, and the arms."""
    labelled = stage.arms.labelled(stage.making, plan.n)
    point = HookPoint.parse(plan.hook or "")
    data = f"{len(labelled)} unsteered rollouts of {len(stage.making)} problems, seed {plan.seed}"
    vector = behaviour_vector(stage.engine, stage.arms.its, labelled, [point], method=plan.method, data=data)
    dose = plan.doses[0]
    random = [
        stage.arms.draw(
            stage.judging,
            plan.n,
            Steering.of(vector.random_like(plan.seed + i), dose),
            phase=f"random direction {i + 1}",
        )
        for i in range(plan.n_random)
    ]
    return {
        "none": stage.arms.draw(stage.judging, plan.n, phase="unsteered"),
        "up": stage.arms.draw(stage.judging, plan.n, Steering.of(vector, dose), phase=f"dose {dose}"),
        "down": stage.arms.draw(stage.judging, plan.n, Steering.of(vector, -dose), phase=f"dose {-dose}"),
        "random": replace(random[0], counts=_mean(random, "counts"), sizes=_mean(random, "sizes")),
    }


def _mean(arms: Sequence[Arm], field: str) -> dict[str, np.ndarray]:
    return {name: np.mean([getattr(arm, field)[name] for arm in arms], axis=0) for name in MEASURES}


def exchanged(one: Arm, other: Arm, rng: np.random.Generator) -> tuple[Arm, Arm]:
    """The two arms, those of each problem exchanged or not by the throw of a coin."""
    names, index = np.unique(one.problems, return_inverse=True)
    swap = (rng.random(len(names)) < 0.5)[index]

    def mixed(first: Arm, second: Arm) -> Arm:
        counts, sizes = (
            {name: np.where(swap, getattr(second, field)[name], getattr(first, field)[name]) for name in ROWS}
            for field in ("counts", "sizes")
        )
        return replace(first, counts=counts, sizes=sizes)

    return mixed(one, other), mixed(other, one)


def _shuffled(arms: Mapping[str, Arm], measure: str, shuffles: int, seed: int) -> NullRate:
    def finds(rng: np.random.Generator) -> bool:
        one, other = exchanged(arms["up"], arms["random"], rng)
        found = one.against(other, measure)
        return found.low is not None and found.high is not None and (found.low > 0 or found.high < 0)

    told = f"the direction and random ones, exchanged within problems: {ROWS[measure]}, interval on one side of 0"
    return null_rate(finds, analysis=told, shuffles=shuffles, seed=seed)

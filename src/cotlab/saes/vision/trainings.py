"""Several autoencoders of one recipe on one model: what each is good for, and how much hangs on the training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cotlab.saes.vision.steering import ArmResult, Reduction
from cotlab.saes.vision.study import VisionFeatures
from cotlab.stats import Estimate

__all__ = ["MEASURES", "Spread", "Trainings"]

MEASURES = ("less_false", "less_true", "pope_less_false", "pope_less_true")
"""Shares after less before: false and true yes where the model errs, and on a POPE-style set."""


@dataclass(frozen=True, slots=True)
class Spread:
    """One measure over the autoencoders for which a setting was chosen."""

    measure: str
    n: int
    least: float
    mean: float
    most: float
    sd: float | None
    """None of one alone."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Trainings:
    """Studies of several autoencoders with the same plan."""

    found: tuple[VisionFeatures, ...]

    @property
    def n_holding(self) -> int:
        """Of how many the chosen features reduce false yes where the model errs, beyond every control."""
        return sum(one.reduction is not None and one.reduction.holds for one in self.found)

    def spread(self) -> tuple[Spread, ...]:
        """Each measure over the autoencoders; none where no setting was chosen."""
        made = []
        for measure in MEASURES:
            values = [one.value for its in self.found if (one := moved(its, measure)) and one.value is not None]
            if values:
                sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
                made.append(Spread(measure, len(values), min(values), float(np.mean(values)), max(values), sd))
        return tuple(made)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        first = self.found[0]
        plan = {**asdict(first.plan), "habits": [str(habit) for habit in first.plan.habits]}
        return {
            "model": first.model,
            "plan": plan,
            "autoencoders": [one.to_json() for one in self.found],
            "holding": self.n_holding,
            "spread": [one.to_json() for one in self.spread()],
        }


def moved(found: VisionFeatures, measure: str) -> Estimate | None:
    """A measure of one autoencoder; None where no setting was chosen."""
    where = found.pope if measure.startswith("pope_") else found.reduction
    arm = None if where is None else _features(where)
    if arm is None:
        return None
    return arm.less_false if measure.endswith("less_false") else arm.less_true


def _features(reduction: Reduction) -> ArmResult:
    return next(arm for arm in reduction.arms if arm.name == "features")

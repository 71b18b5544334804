"""Which features, how many, and how much of them is left: chosen on questions of their own.

Features come in the order of what they carry (`Carrying.chosen`); a setting is how many of these are scaled, and by
what factor (0 ablates, below 0 turns round). The rule, fixed before anything is asked: of the settings under which true
yes falls by no more than the tolerance, where the model errs and elsewhere alike, the one that takes most of the false
yes where it errs; among equals the one of fewest features, then the factor nearest to 1. Where none takes any, none is
chosen. What the chosen setting does is judged on other questions (`steering`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cotlab.saes.vision.asked import AskedSet
from cotlab.saes.vision.steering import feature_change
from cotlab.sampling.progress import Progress, Silent

if TYPE_CHECKING:
    from cotlab.interventions import SparseAutoencoder

__all__ = ["FACTORS", "TOLERANCE", "Choice", "ChoosingSets", "Setting", "Trial", "choose_setting"]

FACTORS = (0.0, -0.25, -0.5, -1.0)
TOLERANCE = 0.05
"""Largest fall of true yes that is taken, as a share."""
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Setting:
    """Some features, scaled."""

    features: tuple[int, ...]
    factor: float

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.features))} × {self.factor:g}"


@dataclass(frozen=True, slots=True)
class Trial:
    """What a setting does on the questions that are chosen on; shares after less before."""

    setting: Setting
    less_false: float
    """False yes where the model errs."""
    less_true: float | None
    """True yes, where it errs or elsewhere, whichever falls more; None: not asked, as the setting could not win."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        told = {"features": list(self.setting.features), "factor": self.setting.factor}
        return {**told, "less_false": self.less_false, "less_true": self.less_true}


@dataclass(frozen=True, slots=True)
class Choice:
    """All settings that were tried, and the one that the rule takes."""

    trials: tuple[Trial, ...]
    tolerance: float

    @property
    def setting(self) -> Setting | None:
        """The chosen one; None where none takes any false yes within the tolerance."""
        kept = [
            one for one in self.trials
            if one.less_true is not None and one.less_true >= -self.tolerance - 1e-9 and one.less_false < 0
        ]  # fmt: skip
        return min(kept, key=_order).setting if kept else None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        its = self.setting
        chosen = None if its is None else {"features": list(its.features), "factor": its.factor}
        return {"tolerance": self.tolerance, "chosen": chosen, "trials": [one.to_json() for one in self.trials]}


class _Set(NamedTuple):
    asked: AskedSet
    plain: Flags


@dataclass(frozen=True, slots=True, eq=False)
class ChoosingSets:
    """Questions that settings are chosen on, with the answers of the model as it is."""

    errs: _Set
    anything: _Set

    @classmethod
    def of(cls, errs: AskedSet, anything: AskedSet, sae: SparseAutoencoder) -> ChoosingSets:
        """Ask the model as it is."""
        return cls(*(_Set(asked, asked.says(sae.point, None)) for asked in (errs, anything)))


def choose_setting(
    sets: ChoosingSets,
    sae: SparseAutoencoder,
    ranked: Sequence[int],
    *,
    factors: Sequence[float] = FACTORS,
    tolerance: float = TOLERANCE,
    whole: bool = True,
    progress: Progress | None = None,
) -> Choice:
    """Try how many of some features are scaled by what factor.

    Args:
        sets: Questions that nothing is judged on.
        sae: Of the model.
        ranked: Features in the order in which they are taken.
        factors: What they are scaled by.
        tolerance: Largest fall of true yes.
        whole: Ask everything of every setting; else only what the choice hangs on, which gives the same choice.
        progress: Told how far it is.
    """
    settings = [Setting(tuple(ranked[:n]), factor) for n in range(1, len(ranked) + 1) for factor in factors]
    tell = progress or Silent()
    tell.phase("choosing features and factor", len(settings), "settings")
    trials: list[Trial] = []
    for setting in settings:
        trials.append(Trial(setting, _less_false(sets.errs, sae, setting, whole), None))
        tell.advance(1, 0)
    trials.sort(key=_order)
    done = False
    for place, trial in enumerate(trials):
        if whole or (not done and trial.less_false < 0):
            less = min(_less_true(one, sae, trial.setting) for one in (sets.errs, sets.anything))
            trials[place] = Trial(trial.setting, trial.less_false, less)
            done = done or less >= -tolerance - 1e-9
    return Choice(tuple(trials), tolerance)


def _order(trial: Trial) -> tuple[float, int, float]:
    return trial.less_false, len(trial.setting.features), abs(1 - trial.setting.factor)


def _less_false(its: _Set, sae: SparseAutoencoder, setting: Setting, whole: bool) -> float:
    asked, wrong = its.asked, ~its.asked.truth
    change = feature_change(sae, setting.features, "scale", setting.factor)
    erring = wrong & its.plain
    after = asked.says(sae.point, change, erring)
    if whole or after.sum() < erring.sum():  # else nothing can be taken away on the whole
        after = after | asked.says(sae.point, change, wrong & ~its.plain)
    return float(int(after.sum()) - int(erring.sum())) / int(wrong.sum())


def _less_true(its: _Set, sae: SparseAutoencoder, setting: Setting) -> float:
    asked, change = its.asked, feature_change(sae, setting.features, "scale", setting.factor)
    return float((asked.says(sae.point, change, asked.truth)[asked.truth]).mean() - its.plain[asked.truth].mean())

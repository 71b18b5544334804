"""Does changing features reduce a hallucination, beyond its controls, and what does it cost?

Arms, on the same questions of existence (POPE-style sets, say):

- **as it is**;
- **features**: ablated, scaled, or clamped, at every token; what the autoencoder misses stays as it is;
- **reconstruction**: the autoencoder's x̂ in the place of x, no feature touched: what it alone does;
- **random features**: as many others of nearly the same firing rate and size, changed in the same way; several sets.

False yes is the share of Yes where the shape is not there, true yes where it is: the cost on true objects. Differences
from the model as it is, and of the features from each control, are paired by question. Intervals draw clusters again:
scenes, or cases whose versions differ in one cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cotlab.errors import DataError, UserError
from cotlab.interventions.feature_rows import FeatureRows
from cotlab.saes.vision.asked import AskedSet
from cotlab.saes.vision.carrying import Carrying
from cotlab.sampling.progress import Progress, Silent
from cotlab.stats import Estimate, cluster_proportion, paired_difference
from cotlab.stats.proportion import agreed_interval
from cotlab.whitebox.inside import Change

if TYPE_CHECKING:
    from cotlab.interventions import SparseAutoencoder

__all__ = ["ACTIONS", "Action", "ArmResult", "Reduction", "feature_change", "reduce_errors", "reduces"]

Flags = NDArray[np.bool_]
Action = Literal["ablate", "scale", "clamp"]
ACTIONS: tuple[Action, ...] = get_args(Action)


@dataclass(frozen=True, slots=True)
class ArmResult:
    """What one arm says."""

    name: str
    features: tuple[int, ...]
    false_yes: Estimate
    true_yes: Estimate
    f1: float
    """Of Yes, as POPE counts it."""
    less_false: Estimate | None
    """False yes less that of the model as it is; None there."""
    less_true: Estimate | None
    """The same of true yes: below 0 is a cost."""
    beyond: Estimate | None = None
    """Of a control: false yes with the features changed less that of this arm; None elsewhere."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        names = ("false_yes", "true_yes", "less_false", "less_true", "beyond")
        estimates = {name: None if (its := getattr(self, name)) is None else its.to_json() for name in names}
        return {"arm": self.name, "features": list(self.features), "f1": self.f1, **estimates}


@dataclass(frozen=True, slots=True)
class Reduction:
    """All arms."""

    action: str
    value: float
    n_questions: int
    arms: tuple[ArmResult, ...]

    @property
    def holds(self) -> bool:
        """Whether features reduce false yes, beyond every control: all of these intervals lie below 0."""
        mine, *controls = (arm for arm in self.arms if arm.less_false is not None)
        return all(_below(one) for one in (mine.less_false, *(arm.beyond for arm in controls)))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        told = {"action": self.action, "value": self.value, "questions": self.n_questions, "holds": self.holds}
        return {**told, "arms": [arm.to_json() for arm in self.arms]}


def feature_change(
    sae: SparseAutoencoder, features: Sequence[int], action: Action = "ablate", value: float = 0.0
) -> Change:
    """The change of some features at every row.

    Args:
        sae: Whose.
        features: Which.
        action: ablate; scale: times the value; clamp: to the value, the autoencoder's units.
        value: For scale and clamp.

    Raises:
        UserError: There is no such action or feature.
    """
    if action not in ACTIONS:
        raise UserError(f"unknown action '{action}'; there are: {', '.join(ACTIONS)}")
    rows = FeatureRows.of(sae, features)
    factor = {"ablate": -1.0, "scale": value - 1, "clamp": -1.0}[action]
    offset = value if action == "clamp" else 0.0
    return lambda x: x + rows.write(x, offset + factor * rows.read(x)).to(x)


def reduce_errors(
    asked: AskedSet,
    sae: SparseAutoencoder,
    features: Sequence[int],
    carrying: Carrying,
    *,
    action: Action = "ablate",
    value: float = 0.0,
    n_random: int = 5,
    seed: int = 0,
    progress: Progress | None = None,
) -> Reduction:
    """Ask with features changed, and with the controls.

    Args:
        asked: Questions of either answer that neither features nor action were chosen on.
        sae: Of the model.
        features: What is changed.
        carrying: Rates and sizes of all features, for the controls.
        action: See `feature_change`.
        value: Likewise.
        n_random: Sets of random features.
        seed: Of their choice and the intervals.
        progress: Told how far it is.

    Raises:
        DataError: No feature is named.
    """
    arms = [("as it is", (), None), *_arms(sae, features, carrying, (action, value), n_random, seed)]
    tell = progress or Silent()
    tell.phase(f"asking {len(asked)} questions under {len(arms)} arms", len(arms), "arms")
    said = np.zeros((len(arms), len(asked)), dtype=bool)
    for arm, (_, _, change) in enumerate(arms):
        said[arm] = asked.says(sae.point, change)
        tell.advance(1, 0)
    found = (
        _result(name, its, said[arm], said, asked.truth, asked.clusters, seed)
        for arm, (name, its, _) in enumerate(arms)
    )
    return Reduction(action, value, len(asked), tuple(found))


def reduces(
    asked: AskedSet,
    sae: SparseAutoencoder,
    features: Sequence[int],
    carrying: Carrying,
    plain: Flags,
    *,
    action: Action = "ablate",
    value: float = 0.0,
    n_random: int = 5,
    seed: int = 0,
) -> bool:
    """Whether `reduce_errors` would hold: the same arms, asked only until one says no, from answers `plain`."""
    wrong = ~asked.truth
    arms = _arms(sae, features, carrying, (action, value), n_random, seed)
    mine = asked.says(sae.point, arms[0][2], wrong)
    if not _below(_moved(wrong, plain, mine, asked.clusters, seed)):
        return False
    return all(
        _below(_moved(wrong, asked.says(sae.point, change, wrong), mine, asked.clusters, seed))
        for _, _, change in arms[1:]
    )


def _arms(
    sae: SparseAutoencoder,
    features: Sequence[int],
    carrying: Carrying,
    action: tuple[Action, float],
    n_random: int,
    seed: int,
) -> list[tuple[str, tuple[int, ...], Change]]:
    """The features, then the controls."""
    if not features:
        raise DataError("no feature is named: none carries the error, or the level is too strict")
    rng = np.random.default_rng(seed)

    def reconstruct(x: Tensor) -> Tensor:
        return sae.reconstruct(x.to(sae.b_dec)).to(x)

    mine = tuple(features)
    sets = [carrying.like(mine, rng) for _ in range(n_random)]
    return [
        ("features", mine, feature_change(sae, mine, *action)),
        ("reconstruction", (), reconstruct),
        *((f"random features {i}", its, feature_change(sae, its, *action)) for i, its in enumerate(sets, 1)),
    ]


def _result(
    name: str,
    features: tuple[int, ...],
    said: Flags,
    by_arm: Flags,
    truth: Flags,
    clusters: Sequence[str],
    seed: int,
) -> ArmResult:
    def moved(side: Flags, before: Flags, after: Flags) -> Estimate:
        return _moved(side, before, after, clusters, seed)

    plain, changed = by_arm[:2]
    right = int((said & truth).sum())
    first = name == "as it is"
    return ArmResult(
        name,
        features,
        false_yes=cluster_proportion(said[~truth], _of(clusters, ~truth)),
        true_yes=cluster_proportion(said[truth], _of(clusters, truth)),
        f1=2 * right / max(1, int(said.sum() + truth.sum())),
        less_false=None if first else moved(~truth, plain, said),
        less_true=None if first else moved(truth, plain, said),
        beyond=None if name in ("as it is", "features") else moved(~truth, said, changed),
    )


def _moved(side: Flags, before: Flags, after: Flags, clusters: Sequence[str], seed: int) -> Estimate:
    """Share of Yes on one side of the questions after less before."""
    names, ones = _of(clusters, side), np.ones(int(side.sum()))
    found = paired_difference((before[side], ones), (after[side], ones), names, seed=seed)
    if found.value is None or found.low != found.high:
        return found
    low, high = agreed_interval(found.value, (-1.0, 1.0), (len(set(names)),), found.level)
    return replace(found, low=low, high=high)


def _of(clusters: Sequence[str], side: Flags) -> list[str]:
    return [one for one, here in zip(clusters, side, strict=True) if here]


def _below(one: Estimate | None) -> bool:
    return one is not None and one.high is not None and one.high < 0

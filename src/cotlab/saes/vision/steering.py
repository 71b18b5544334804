"""Does changing features reduce a hallucination, beyond its controls, and what does it cost?

Arms, on the same questions of existence (POPE-style sets, say):

- **as it is**;
- **features**: ablated, scaled, or clamped, at every token; what the autoencoder misses stays as it is;
- **reconstruction**: the autoencoder's x̂ in the place of x, no feature touched: what it alone does;
- **random features**: as many others of nearly the same firing rate and size, changed in the same way.

False yes is the share of Yes where the shape is not there, true yes where it is: the cost on true objects. Differences
from the model as it is, and of the features from each control, are paired by question. Intervals draw clusters again:
scenes, or cases whose versions differ in one cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cotlab.errors import DataError, UserError
from cotlab.interventions.feature_rows import FeatureRows
from cotlab.saes.vision.carrying import Carrying
from cotlab.sampling.progress import Progress, Silent
from cotlab.stats import Estimate, cluster_proportion, paired_difference
from cotlab.tiny.scenes import Question, Scene, problem_of
from cotlab.whitebox.inside import Change
from cotlab.whitebox.vision import Asking

if TYPE_CHECKING:
    from cotlab.interventions import SparseAutoencoder

__all__ = ["ACTIONS", "Action", "ArmResult", "Reduction", "feature_change", "reduce_errors"]

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
    asking: Asking,
    sae: SparseAutoencoder,
    features: Sequence[int],
    carrying: Carrying,
    asked: Sequence[tuple[Scene, Question]],
    *,
    clusters: Sequence[str] | None = None,
    action: Action = "ablate",
    value: float = 0.0,
    n_random: int = 3,
    seed: int = 0,
    progress: Progress | None = None,
) -> Reduction:
    """Ask with features changed, and with the controls.

    Args:
        asking: The model.
        sae: Of the model.
        features: What is changed; chosen on other scenes.
        carrying: Rates and sizes of all features, for the controls.
        asked: Questions of existence.
        clusters: What is drawn again as a whole, of each question; None: its scene. Versions of one scene belong
            together.
        action: See `feature_change`.
        value: Likewise.
        n_random: Sets of random features.
        seed: Of their choice and the intervals.
        progress: Told how far it is.

    Raises:
        DataError: No feature is named, or all questions have the same answer.
    """
    if not features:
        raise DataError("no feature is named: none carries the error, or the level is too strict")
    truth = np.array([question.answer == "Yes" for _, question in asked])
    if truth.all() or not truth.any():
        raise DataError(f"all {len(asked)} questions have the same answer: ask some of either kind")
    rng = np.random.default_rng(seed)

    def reconstruct(x: Tensor) -> Tensor:
        return sae.reconstruct(x.to(sae.b_dec)).to(x)

    sets = [tuple(features), *(carrying.like(features, rng) for _ in range(n_random))]
    arms: list[tuple[str, tuple[int, ...], Change | None]] = [("as it is", (), None)]
    arms += [("features", sets[0], feature_change(sae, sets[0], action, value))]
    arms += [("reconstruction", (), reconstruct)]
    arms += [
        (f"random features {i}", its, feature_change(sae, its, action, value)) for i, its in enumerate(sets[1:], 1)
    ]
    tell = progress or Silent()
    tell.phase(f"asking under {len(arms)} arms", len(asked))
    prefixes = [asking.prefix(problem_of(scene, question)) for scene, question in asked]
    said = np.zeros((len(arms), len(asked)), dtype=bool)
    for number, prefix in enumerate(prefixes):
        for arm, (_, _, change) in enumerate(arms):
            said[arm, number] = asking.says(prefix, None if change is None else {sae.point: change}) > 0
        tell.advance(1, 0)
    drawn = [scene.id for scene, _ in asked] if clusters is None else list(clusters)
    found = tuple(_result(name, its, said[arm], said, truth, drawn, seed) for arm, (name, its, _) in enumerate(arms))
    return Reduction(action, value, len(asked), found)


def _result(
    name: str,
    features: tuple[int, ...],
    said: NDArray[np.bool_],
    by_arm: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    clusters: Sequence[str],
    seed: int,
) -> ArmResult:
    def moved(side: NDArray[np.bool_], before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Estimate:
        names, ones = _of(clusters, side), np.ones(int(side.sum()))
        return paired_difference((before[side], ones), (after[side], ones), names, seed=seed)

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


def _of(clusters: Sequence[str], side: NDArray[np.bool_]) -> list[str]:
    return [one for one, here in zip(clusters, side, strict=True) if here]


def _below(one: Estimate | None) -> bool:
    return one is not None and one.high is not None and one.high < 0

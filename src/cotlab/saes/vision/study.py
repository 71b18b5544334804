"""The whole study of an autoencoder on an image-text model: its features' regions, what carries an error, steering.

Features, how many and their factor are chosen on some cases (`choosing`), and judged on others. How often the whole of
it reduces something where there is nothing to find is told beside: with `primed` and `control` exchanged by chance, and
with random features in the place of those that carry the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cotlab.errors import UserError
from cotlab.saes.vision.asked import AskedSet, asked_anything, asked_cases, cases_apart
from cotlab.saes.vision.carrying import Carrying, carrying_features
from cotlab.saes.vision.choosing import FACTORS, TOLERANCE, Choice, ChoosingSets, Setting, choose_setting
from cotlab.saes.vision.image_firings import ImageFirings, read_image_firings
from cotlab.saes.vision.monosemanticity import Monosemanticity, monosemanticity, scene_embeddings
from cotlab.saes.vision.regions import RegionFit, attribute_masks, region_fits
from cotlab.saes.vision.steering import Reduction, reduce_errors, reduces
from cotlab.sampling.progress import Progress, Silent
from cotlab.stats import NullRate, null_rate
from cotlab.tiny.scenes import draw_scenes
from cotlab.whitebox.vision import Asking, Habit, SceneCase, draw_cases

if TYPE_CHECKING:
    from cotlab.interventions import SparseAutoencoder

__all__ = ["FeaturePlan", "VisionFeatures", "vision_features"]

_LEASTS = (("n_images", 10), ("n_cases", 6), ("n_scenes", 5), ("most", 1), ("n_random", 1), ("n_shuffles", 0))


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """What is asked."""

    habits: tuple[Habit, ...]
    """Features are chosen on cases of these."""
    n_images: int = 200
    """Scenes whose regions are read."""
    n_cases: int = 20
    """Cases of each habit that features and factor are chosen on, and as many scenes of a POPE-style set."""
    n_scenes: int = 30
    """Cases of each habit that the choice is judged on, and as many scenes of a POPE-style set."""
    most: int = 3
    """Features that are changed at most."""
    factors: tuple[float, ...] = FACTORS
    """What they may be scaled by: 0 ablates, −1 turns round."""
    tolerance: float = TOLERANCE
    """Largest fall of true yes where the factor is chosen, as a share."""
    n_random: int = 5
    """Sets of random features beside."""
    n_shuffles: int = 0
    """Runs with exchanged labels, and as many with random features, for the null rates; 0: none."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in _LEASTS:
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}, expected {least} or more")
        if not self.habits:
            raise UserError("no habit is named: give at least one, such as star>moon")
        if len(set(self.habits)) < len(self.habits):
            raise UserError(f"habits {', '.join(map(str, self.habits))} name one twice: its cases would count twice")
        if not self.factors or not all(np.isfinite(self.factors)) or 1.0 in self.factors:
            raise UserError(f"factors {list(self.factors)} not understood: give numbers other than 1, such as 0,-0.5")
        if not 0 <= self.tolerance <= 1:
            raise UserError(f"tolerance is {self.tolerance:g}, expected 0..1")


@dataclass(frozen=True, slots=True, eq=False)
class VisionFeatures:
    """What was found."""

    model: str
    sae: str
    plan: FeaturePlan
    firings: ImageFirings
    regions: tuple[RegionFit, ...]
    """Best IoU first."""
    likeness: Monosemanticity
    """By what is in the scenes."""
    carrying: Carrying
    ranked: tuple[int, ...]
    """Features that carry the error; empty: none does."""
    choice: Choice | None
    """None where no feature carries the error."""
    reduction: Reduction | None
    """Where the model errs, on other cases than the choice; None where no setting was chosen."""
    pope: Reduction | None
    """On a POPE-style set with adversarial negatives of all shapes; likewise."""
    nulls: tuple[NullRate, ...] = ()

    @property
    def chosen(self) -> tuple[int, ...]:
        """The features of the chosen setting."""
        setting = None if self.choice is None else self.choice.setting
        return () if setting is None else setting.features

    def to_json(self) -> dict[str, Any]:
        """Plain data; regions are those beyond exchanged masks (q < 0.05)."""
        beyond = [fit for fit in self.regions if fit.iou.q is not None and fit.iou.q < 0.05]
        regions = [{**fit.to_json(), "monosemanticity": self.likeness.to_json(fit.feature)} for fit in beyond]
        return {
            "sae": self.sae,
            "point": str(self.firings.card.point),
            "regions_tested": len(self.regions),
            "regions": regions,
            "carrying": self.carrying.to_json(self.ranked),
            "choice": None if self.choice is None else self.choice.to_json(),
            "reduction": None if self.reduction is None else self.reduction.to_json(),
            "pope": None if self.pope is None else self.pope.to_json(),
            "null_rates": [asdict(rate) for rate in self.nulls],
        }


@dataclass(frozen=True, slots=True, eq=False)
class _Questions:
    """What is chosen on, and what is judged on: no scene of one is in the other, nor differs from one in one cell."""

    cases: list[SceneCase]
    choosing: tuple[AskedSet, AskedSet]
    judging: tuple[AskedSet, AskedSet]

    @classmethod
    def of(cls, asking: Asking, plan: FeaturePlan) -> _Questions:
        cases = [case for habit in plan.habits for case in draw_cases(asking, habit, plan.n_cases, plan.seed)]
        mine = [AskedSet.of(asking, asked_cases(cases)), AskedSet.of(asking, asked_anything(plan.n_cases, plan.seed))]
        taken = [scene for case in cases for scene in case.scenes.values()] + list(dict.fromkeys(mine[1].scenes))
        others = cases_apart(asking, plan.habits, plan.n_scenes, plan.seed + 1, taken)
        its = [asked_cases(others), asked_anything(plan.n_scenes, plan.seed + 1, taken)]
        return cls(cases, (mine[0], mine[1]), (AskedSet.of(asking, its[0]), AskedSet.of(asking, its[1])))


def vision_features(
    asking: Asking,
    sae: SparseAutoencoder,
    plan: FeaturePlan,
    *,
    progress: Progress | None = None,
) -> VisionFeatures:
    """Study an autoencoder on scenes.

    Args:
        asking: The model.
        sae: Of it.
        plan: What is asked.
        progress: Told how far it is.

    Raises:
        ModelError: The autoencoder does not fit the model.
        UserError: The autoencoder normalises each token by itself.
    """
    tell = progress or Silent()
    scenes = draw_scenes(plan.n_images, plan.seed + 7)
    first = plan.habits[0].second
    firings = read_image_firings(asking.inside, sae, [asking.exists(scene, first) for scene in scenes], tell)
    regions = region_fits(firings, [attribute_masks(scene) for scene in scenes], seed=plan.seed)
    likeness = monosemanticity(firings.by_image, scene_embeddings(scenes), seed=plan.seed)
    questions = _Questions.of(asking, plan)
    carrying = carrying_features(asking, sae, questions.cases, tell)
    ranked = carrying.chosen(plan.most)
    found = (asking.inside.name, sae.card.name or sae.id, plan, firings, tuple(regions), likeness, carrying, ranked)
    if not ranked and not plan.n_shuffles:
        return VisionFeatures(*found, None, None, None)
    sets = ChoosingSets.of(*questions.choosing, sae)
    choice, reduction, pope = None, None, None
    if ranked:
        choice = _choose(sets, sae, ranked, plan, tell)
        if choice.setting is not None:
            reduction, pope = (_judged(asked, sae, choice.setting, carrying, plan, tell) for asked in questions.judging)
    nulls = _nulls(sets, sae, carrying, questions.judging[0], plan, tell) if plan.n_shuffles else ()
    return VisionFeatures(*found, choice, reduction, pope, nulls)


def _judged(
    asked: AskedSet, sae: SparseAutoencoder, setting: Setting, carrying: Carrying, plan: FeaturePlan, tell: Progress
) -> Reduction:
    return reduce_errors(
        asked, sae, setting.features, carrying, action="scale", value=setting.factor,
        n_random=plan.n_random, seed=plan.seed, progress=tell,
    )  # fmt: skip


def _choose(
    sets: ChoosingSets, sae: SparseAutoencoder, ranked: Sequence[int], plan: FeaturePlan, tell: Progress | None = None
) -> Choice:
    return choose_setting(
        sets, sae, ranked, factors=plan.factors, tolerance=plan.tolerance, whole=tell is not None, progress=tell
    )


def _nulls(
    sets: ChoosingSets, sae: SparseAutoencoder, carrying: Carrying, judged: AskedSet, plan: FeaturePlan, tell: Progress
) -> tuple[NullRate, NullRate]:
    """How often the whole of it reduces false yes beyond every control where there is nothing to find."""
    plain = judged.says(sae.point, None, ~judged.truth)
    ranked = carrying.chosen(plan.most)

    def holds(features: Sequence[int], its: Carrying, rng: np.random.Generator) -> bool:
        tell.advance(1, 0)
        setting = _choose(sets, sae, features, plan).setting if features else None
        if setting is None:
            return False
        return reduces(
            judged, sae, setting.features, its, plain, action="scale", value=setting.factor,
            n_random=plan.n_random, seed=int(rng.integers(2**31)),
        )  # fmt: skip

    def exchanged(rng: np.random.Generator) -> bool:
        its = carrying.exchanged(rng)
        return holds(its.chosen(plan.most), its, rng)

    def at_random(rng: np.random.Generator) -> bool:
        like = ranked or tuple(rng.permutation(np.flatnonzero(carrying.rates > 0))[: plan.most].tolist())
        return holds(carrying.like(like, rng, without=carrying.carriers), carrying, rng)

    counts = "found: features are named, a setting is chosen, and it takes false yes beyond every control"
    tell.phase("analysing what holds nothing", 2 * plan.n_shuffles, "shuffles")
    return (
        null_rate(exchanged, analysis=f"primed and control exchanged at random in half of the cases that features are "
                  f"chosen on; {counts}", shuffles=plan.n_shuffles, seed=plan.seed),
        null_rate(at_random, analysis=f"random features of like rate and size in the place of those that carry the "
                  f"error; {counts}", shuffles=plan.n_shuffles, seed=plan.seed + 1),
    )  # fmt: skip

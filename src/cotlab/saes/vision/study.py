"""The whole study of an autoencoder on an image-text model: its features' regions, what carries an error, steering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cotlab.errors import UserError
from cotlab.saes.vision.carrying import Carrying, carrying_features
from cotlab.saes.vision.image_firings import ImageFirings, read_image_firings
from cotlab.saes.vision.monosemanticity import Monosemanticity, monosemanticity, scene_embeddings
from cotlab.saes.vision.regions import RegionFit, attribute_masks, region_fits
from cotlab.saes.vision.steering import Action, Reduction, reduce_errors
from cotlab.sampling.progress import Progress, Silent
from cotlab.tiny.scenes import Question, Scene, ask_exists, counts, draw_scenes, pope_questions
from cotlab.whitebox.vision import Asking, Habit, draw_cases

if TYPE_CHECKING:
    from cotlab.interventions import SparseAutoencoder

__all__ = ["FeaturePlan", "VisionFeatures", "asked_where_it_errs", "vision_features"]


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """What is asked."""

    habits: tuple[Habit, ...]
    """Features are chosen on cases of these."""
    n_images: int = 200
    """Scenes whose regions are read."""
    n_cases: int = 20
    """Of each habit."""
    n_scenes: int = 30
    """Unseen scenes of the questions that are asked before and after: of each habit, and of a POPE-style set."""
    most: int = 3
    """Features that are changed."""
    action: Action = "scale"
    value: float = -1.0
    """Times the value: −1 turns a feature round, 0 ablates it."""
    n_random: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("n_images", 10), ("n_cases", 6), ("n_scenes", 5), ("most", 1), ("n_random", 0)):
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}, expected {least} or more")
        if not self.habits:
            raise UserError("no habit is named: give at least one, such as star>moon")


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
    chosen: tuple[int, ...]
    """Features that carry the error; empty: none does."""
    reduction: Reduction | None
    """Where the model errs; None where no feature was chosen."""
    pope: Reduction | None
    """On a POPE-style set with adversarial negatives of all shapes; likewise."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        plan = {**asdict(self.plan), "habits": [str(habit) for habit in self.plan.habits]}
        regions = [{**fit.to_json(), "monosemanticity": self.likeness.to_json(fit.feature)} for fit in self.regions]
        return {
            "model": self.model,
            "sae": self.sae,
            "point": str(self.firings.card.point),
            "plan": plan,
            "regions": regions,
            "carrying": self.carrying.to_json(self.chosen),
            "reduction": None if self.reduction is None else self.reduction.to_json(),
            "pope": None if self.pope is None else self.pope.to_json(),
        }


def asked_where_it_errs(asking: Asking, habits: Sequence[Habit], n: int, seed: int = 0) -> list[tuple[Scene, Question]]:
    """Whether the second shape is there: where only the first is, where another is, where it is, where both are.

    Args:
        asking: The model.
        habits: Which shapes.
        n: Scenes of each habit, in four versions, two of either answer.
        seed: Of the scenes.
    """
    return [(scene, question) for _, scene, question in _by_case(asking, habits, n, seed)]


def _by_case(asking: Asking, habits: Sequence[Habit], n: int, seed: int) -> list[tuple[str, Scene, Question]]:
    """The same with the case of each: its versions share all but a cell, so they are drawn again together."""
    return [
        (case.id, case.scenes[version], ask_exists(case.scenes[version], habit.second))
        for habit in habits
        for case in draw_cases(asking, habit, n, seed)
        for version in ("primed", "control", "there", "both")
    ]


def asked_anything(n: int, seed: int = 0) -> list[tuple[Scene, Question]]:
    """A POPE-style set of adversarial negatives on n unseen scenes, three questions of either answer each."""
    drawn = [scene for scene in draw_scenes(8 * n, seed, split="heldout") if len(counts(scene)) >= 3]
    return pope_questions(drawn[:n], "adversarial", seed=seed)


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
    cases = [case for habit in plan.habits for case in draw_cases(asking, habit, plan.n_cases, plan.seed)]
    carrying = carrying_features(asking, sae, cases, tell)
    chosen = carrying.chosen(plan.most)

    def reduced(asked: list[tuple[str, Scene, Question]]) -> Reduction | None:
        if not chosen:
            return None
        clusters, questions = [one[0] for one in asked], [one[1:] for one in asked]
        return reduce_errors(
            asking, sae, chosen, carrying, questions, clusters=clusters,
            action=plan.action, value=plan.value, n_random=plan.n_random, seed=plan.seed, progress=tell,
        )  # fmt: skip

    reduction = reduced(_by_case(asking, plan.habits, plan.n_scenes, plan.seed + 1))
    pope = reduced([(scene.id, scene, question) for scene, question in asked_anything(plan.n_scenes, plan.seed + 1)])
    found = (tuple(regions), likeness, carrying, chosen, reduction, pope)
    return VisionFeatures(asking.inside.name, sae.card.name or sae.id, plan, firings, *found)

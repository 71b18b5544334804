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
from cotlab.tiny.scenes import PAIRS, Question, Scene, World, draw_scenes, pope_questions
from cotlab.tiny.scenes.worlds import Pair
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
    """Scenes of the questions that are asked before and after."""
    most: int = 5
    """Features that are changed."""
    action: Action = "ablate"
    value: float = 0.0
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
    """None where none was chosen."""

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
        }


def asked_where_it_errs(n: int, seed: int = 0) -> list[tuple[Scene, Question]]:
    """A POPE-style set of adversarial negatives on unseen scenes in which first shapes of pairs are common.

    Args:
        n: Scenes, with three questions of either answer each.
        seed: Of the scenes.
    """
    world = World(tuple(Pair(first, second, 0.3) for first, second in PAIRS.items()), boost=2.5)
    scenes: list[Scene] = []
    while True:
        scenes += draw_scenes(4 * n, seed + 1000 * len(scenes), world, split="heldout")
        asked = pope_questions(scenes, "adversarial", seed=seed)
        kept = list(dict.fromkeys(scene.id for scene, _ in asked))[:n]
        if len(kept) == n:
            chosen = set(kept)
            return [(scene, question) for scene, question in asked if scene.id in chosen]


def vision_features(
    asking: Asking,
    sae: SparseAutoencoder,
    plan: FeaturePlan,
    *,
    asked: Sequence[tuple[Scene, Question]] = (),
    progress: Progress | None = None,
) -> VisionFeatures:
    """Study an autoencoder on scenes.

    Args:
        asking: The model.
        sae: Of it.
        plan: What is asked.
        asked: Questions before and after; those of `asked_where_it_errs` by default.
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
    used = list(asked) or asked_where_it_errs(plan.n_scenes, plan.seed)
    reduction = None
    if chosen:
        reduction = reduce_errors(
            asking, sae, chosen, carrying, used,
            action=plan.action, value=plan.value, n_random=plan.n_random, seed=plan.seed, progress=tell,
        )  # fmt: skip
    label = sae.card.name or sae.id
    return VisionFeatures(
        asking.inside.name, label, plan, firings, tuple(regions), likeness, carrying, chosen, reduction
    )

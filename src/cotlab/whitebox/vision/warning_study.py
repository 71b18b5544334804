"""The whole question whether a model is about to say what is not there, on scenes: at a Yes, and in descriptions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cotlab.errors import UserError
from cotlab.interventions.autoencoder import SparseAutoencoder
from cotlab.interventions.hook_points import HookPoint
from cotlab.sampling.progress import Progress, Silent
from cotlab.tiny.scenes import Question, Scene, ask_exists, counts, draw_scenes, pope_questions
from cotlab.whitebox.probe_fit import Method, checked_method
from cotlab.whitebox.sparse_probe import SPARSE_K
from cotlab.whitebox.vision.asking import Asking
from cotlab.whitebox.vision.cases import VERSIONS, Habit, SceneCase, draw_cases, one_cell_apart
from cotlab.whitebox.vision.warning import Warned, judge_warning
from cotlab.whitebox.vision.warning_examples import word_examples, yes_examples

__all__ = ["WarningPlan", "WarningStudy", "warning_study"]

KINDS = ("yes", "words")


@dataclass(frozen=True, slots=True)
class WarningPlan:
    """What is asked."""

    habits: tuple[Habit, ...]
    """Half of the questions are on cases of these."""
    n_cases: int = 40
    """Of each habit, each asked in four versions and described in five."""
    n_scenes: int = 30
    """Other unseen scenes: of a POPE-style set with adversarial negatives, and to be described."""
    kinds: tuple[str, ...] = KINDS
    method: Method = "mass-mean"
    k: int = SPARSE_K
    """Features of a sparse probe."""
    n_shuffles: int = 100
    max_tokens: int = 160
    """Of a description, thoughts included."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("n_cases", 0), ("n_scenes", 0), ("k", 1), ("n_shuffles", 0), ("max_tokens", 1)):
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}, expected {least} or more")
        checked_method(self.method)
        for kind in self.kinds:
            if kind not in KINDS:
                raise UserError(f"unknown kind '{kind}': choose of {', '.join(KINDS)}")
        if 0 < self.n_scenes < 5:
            raise UserError(f"n_scenes is {self.n_scenes}, expected 5 or more, or 0 for none")
        if not self.kinds or self.n_cases * len(self.habits) + self.n_scenes < 10:
            raise UserError(f"{self.n_cases} cases and {self.n_scenes} scenes, at least 10 in all are needed")


@dataclass(frozen=True, slots=True)
class WarningStudy:
    """What was found."""

    model: str
    plan: WarningPlan
    sae: str | None
    warned: tuple[Warned, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        plan = {**asdict(self.plan), "habits": [str(habit) for habit in self.plan.habits]}
        found = [one.to_json() for one in self.warned]
        return {"model": self.model, "sae": self.sae, "plan": plan, "warned": found}


def warning_study(
    asking: Asking, plan: WarningPlan, *, sae: SparseAutoencoder | None = None, progress: Progress | None = None
) -> WarningStudy:
    """Find out whether what is not there is seen coming.

    Args:
        asking: The model.
        plan: What is asked.
        sae: Of the model, behind a layer of its decoder: sparse probes on its features stand beside.
        progress: Told how far it is.

    Raises:
        ModelError: The autoencoder does not fit the model.
        DataError: It is at another kind of place than behind a layer.
    """
    tell = progress or Silent()
    points = [HookPoint("resid_post", layer) for layer in range(asking.inside.shape.n_layers)]
    if sae is not None:
        sae.check(asking.inside.shape, asking.inside.name, asking.inside.revision)
    cases = [case for habit in plan.habits for case in draw_cases(asking, habit, plan.n_cases, plan.seed)]
    drawn = [scene for scene in draw_scenes(8 * plan.n_scenes, plan.seed, split="heldout") if len(counts(scene)) >= 3]
    taken = [scene for case in cases for scene in case.scenes.values()]
    others = [scene for scene in drawn if not any(one_cell_apart(scene, one) for one in taken)][: plan.n_scenes]
    found: list[Warned] = []
    for kind in plan.kinds:
        if kind == "yes":
            asked = _asked(cases, others, plan.seed)
            tell.phase("reading questions", len(asked), "questions")
            examples = yes_examples(
                asking, asked, points, lambda done, total: tell.advance(1, 0), habits=plan.habits
            )  # fmt: skip
        else:
            shown = [(case.id, case.scenes[version]) for case in cases for version in VERSIONS]
            shown += [(scene.id, scene) for scene in others]
            tell.phase("describing scenes", len(shown), "scenes")
            examples = word_examples(
                asking, shown, points, max_tokens=plan.max_tokens, habits=plan.habits,
                progress=lambda done, total: tell.advance(1, 0),
            )  # fmt: skip
        tell.phase("exchanging labels", plan.n_shuffles, "shuffles")
        found.append(
            judge_warning(
                examples, sae, method=plan.method, k=plan.k, n_shuffles=plan.n_shuffles, seed=plan.seed,
                progress=lambda done, total: tell.advance(1, 0),
            )
        )  # fmt: skip
    return WarningStudy(asking.inside.name, plan, None if sae is None else sae.card.name or sae.id, tuple(found))


def _asked(cases: list[SceneCase], others: list[Scene], seed: int) -> list[tuple[str, Scene, Question]]:
    """Questions on the versions of cases, and of a POPE-style set."""
    asked = [
        (case.id, case.scenes[version], ask_exists(case.scenes[version], case.habit.second))
        for case in cases
        for version in VERSIONS[1:]
    ]
    more = pope_questions(others, "adversarial", seed=seed) if others else []
    return asked + [(scene.id, scene, question) for scene, question in more]

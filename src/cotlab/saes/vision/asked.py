"""Questions of existence that are asked before and after a change, with what belongs together.

Two kinds: where a habit errs (its cases, in four versions), and anything (a POPE-style set with adversarial negatives).
Sets that something is chosen on and sets that it is judged on hold no scene in common, and none that differs from one
of the other's in a single cell: `without` keeps them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.prefix import Prefix
from cotlab.errors import DataError
from cotlab.interventions.hook_points import HookPoint
from cotlab.tiny.scenes import Question, Scene, ask_exists, counts, draw_scenes, pope_questions, problem_of
from cotlab.whitebox.inside import Change
from cotlab.whitebox.resuming import Resumed
from cotlab.whitebox.vision import Asking, Habit, SceneCase, Version, draw_cases, one_cell_apart

__all__ = ["AskedSet", "asked_anything", "asked_cases", "cases_apart"]

Flags = NDArray[np.bool_]
Asked = tuple[str, Scene, Question]
"""What is drawn again together, and a question on a scene."""
_VERSIONS: tuple[Version, ...] = ("primed", "control", "there", "both")


@dataclass(frozen=True, slots=True, eq=False)
class AskedSet:
    """Questions to one model; arrays are [questions]."""

    asking: Asking
    prefixes: tuple[Prefix, ...]
    truth: Flags
    """Whether Yes is right."""
    clusters: tuple[str, ...]
    """What is drawn again as a whole: a case, whose versions differ in one cell, or a scene."""
    scenes: tuple[Scene, ...]
    _read: dict[HookPoint, Resumed] = field(default_factory=dict)

    @classmethod
    def of(cls, asking: Asking, asked: Sequence[Asked]) -> AskedSet:
        """Take questions.

        Raises:
            DataError: All have the same answer.
        """
        truth = np.array([question.answer == "Yes" for _, _, question in asked], dtype=bool)
        if truth.all() or not truth.any():
            raise DataError(f"all {len(asked)} questions have the same answer: ask some of either kind")
        prefixes = tuple(asking.prefix(problem_of(scene, question)) for _, scene, question in asked)
        return cls(asking, prefixes, truth, tuple(one[0] for one in asked), tuple(one[1] for one in asked))

    def __len__(self) -> int:
        return len(self.truth)

    def says(self, point: HookPoint, change: Change | None, at: Flags | None = None) -> Flags:
        """Whether each answer is Yes under a change at a hook point.

        Args:
            point: Where. Behind a layer, what comes before it is computed once for all changes.
            change: None: none.
            at: [questions] those that are asked; the answer to others is False.
        """
        found = np.zeros(len(self), dtype=bool)
        numbers = np.flatnonzero(np.ones(len(self)) if at is None else at).tolist()
        if point.kind != "resid_post":
            for number in numbers:
                found[number] = self.asking.says(self.prefixes[number], None if change is None else {point: change}) > 0
        elif numbers:
            if point not in self._read:
                self._read[point] = self.asking.inside.resumed(point, self.prefixes)
            logits = self._read[point].last_logits(change, numbers)
            found[numbers] = [self.asking.odds(row[None]) > 0 for row in logits]
        return found


def asked_cases(cases: Sequence[SceneCase]) -> list[Asked]:
    """Whether the second shape is there: where only the first is, where another is, where it is, where both are."""
    return [
        (case.id, case.scenes[version], ask_exists(case.scenes[version], case.habit.second))
        for case in cases
        for version in _VERSIONS
    ]


def cases_apart(
    asking: Asking, habits: Sequence[Habit], n: int, seed: int, without: Sequence[Scene]
) -> list[SceneCase]:
    """Cases of some habits, none of whose scenes is one of others, or differs from one in a single cell.

    Args:
        asking: The model.
        habits: Which shapes.
        n: Cases of each.
        seed: Of the scenes.
        without: The others.
    """
    found: list[SceneCase] = []
    for habit in habits:
        drawn = (case for more in range(1, 9) for case in draw_cases(asking, habit, more * n, seed)[(more - 1) * n :])
        kept = (case for case in drawn if not _touches(list(case.scenes.values()), without))
        found += [case for case, _ in zip(kept, range(n), strict=False)]
    return found


def asked_anything(n: int, seed: int = 0, without: Sequence[Scene] = ()) -> list[Asked]:
    """A POPE-style set of adversarial negatives on n unseen scenes, three questions of either answer each."""
    drawn = [scene for scene in draw_scenes(8 * n, seed, split="heldout") if len(counts(scene)) >= 3]
    kept = [scene for scene in drawn if not _touches([scene], without)]
    return [(scene.id, scene, question) for scene, question in pope_questions(kept[:n], "adversarial", seed=seed)]


def _touches(scenes: Sequence[Scene], others: Sequence[Scene]) -> bool:
    return any(one_cell_apart(one, other) for one in scenes for other in others)

"""POPE-style sets over scenes: as many questions with Yes as with No, negatives of three kinds.

Li et al. 2023, "Evaluating Object Hallucination in Large Vision-Language Models" (arXiv 2305.10355), as their
repository builds its sets (RUCAIBox/POPE, `utils.py`):

1. Pictures with fewer than n different objects are left out.
2. Each of a picture's first n objects gives a question with Yes, and beside it one with No for an object that is
   neither in the picture nor asked for before: **random**, any one; **popular**, the one in most pictures of the set;
   **adversarial**, the one in most pictures together with the object of the question with Yes.
3. Where no object is left by the order of a kind, a random one is taken. Ties go to what came up first in the set.

Objects are told by shape; several of one shape count once, as the repository's lists of objects do.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from cotlab.tiny.scenes.questions import Question, ask_exists
from cotlab.tiny.scenes.scene import Scene
from cotlab.tiny.scenes.truth import counts

__all__ = ["NEGATIVES", "Negative", "ObjectStatistics", "object_statistics", "pope_questions"]

Negative = Literal["random", "popular", "adversarial"]
NEGATIVES: tuple[Negative, ...] = get_args(Negative)


@dataclass(frozen=True, slots=True)
class ObjectStatistics:
    """How often objects come up in a set of pictures."""

    frequency: Counter[str]
    """In how many pictures each object is."""
    together: dict[str, Counter[str]]
    """`together[a][b]`: in how many pictures both are."""

    def order(self, kind: Negative, beside: str) -> list[str]:
        """Objects in the order in which a kind of negatives tries them (random: none)."""
        if kind == "random":
            return []
        ranked = self.frequency if kind == "popular" else self.together.get(beside, Counter())
        return [name for name, _ in ranked.most_common()]


def object_statistics(listed: Sequence[Sequence[str]]) -> ObjectStatistics:
    """Count objects, given those of each picture without repeats."""
    frequency, together = Counter[str](), dict[str, Counter[str]]()
    for objects in listed:
        frequency.update(objects)
        for one in objects:
            together.setdefault(one, Counter()).update(other for other in objects if other != one)
    return ObjectStatistics(frequency, together)


def pope_questions(scenes: Sequence[Scene], kind: Negative, n: int = 3, seed: int = 0) -> list[tuple[Scene, Question]]:
    """The questions of a set, picture by picture, Yes and No in turn.

    Args:
        scenes: the pictures; those with fewer than n different shapes are left out, before objects are counted.
        kind: of the negatives.
        n: questions with Yes for each picture, and as many with No.
        seed: of random choices.

    Raises:
        ValueError: there is no such kind, or a picture leaves fewer than n objects of the set absent.
    """
    if kind not in NEGATIVES:
        raise ValueError(f"unknown kind of negatives {kind!r}: choose one of {', '.join(NEGATIVES)}")
    kept = [(scene, list(counts(scene))) for scene in scenes]
    kept = [(scene, objects) for scene, objects in kept if len(objects) >= n]
    statistics = object_statistics([objects for _, objects in kept])
    rng, asked = random.Random(seed), list[tuple[Scene, Question]]()
    for scene, objects in kept:
        used = set(objects)
        for there in objects[:n]:
            absent = _absent(statistics, kind, there, used, rng)
            used.add(absent)
            asked += [(scene, ask_exists(scene, there)), (scene, ask_exists(scene, absent, negative=kind))]
    return asked


def _absent(statistics: ObjectStatistics, kind: Negative, beside: str, used: set[str], rng: random.Random) -> str:
    for name in statistics.order(kind, beside):
        if name not in used:
            return name
    left = [name for name in statistics.frequency if name not in used]
    if not left:
        raise ValueError(f"the set has {len(statistics.frequency)} different objects, all asked for: take a smaller n")
    return rng.choice(left)

"""Sets of questions over held-out scenes, yes-or-no ones with regions, description and the scene itself in `meta`.

| set | negatives | on each scene |
|---|---|---|
| scenes | random, popular, adversarial, as POPE chooses them | 3 questions with Yes and 3 with No of each kind |
| scenes:pairs | random, planted | one with Yes and one with No of each kind |
| scenes:count | – | how many there are, of a shape or of all: counted aloud, so that there are steps to study |

`scenes:pairs` shows scenes with the first shape of a pair that came together in training and without the second
(`cotlab.tiny.scenes.PAIRS`): Yes is the first, the planted negative the second, the random one any other absent shape.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator

from cotlab.chains.image import Image
from cotlab.chains.problem import Problem
from cotlab.problems.pope import PopeQuestion, merge_questions
from cotlab.tiny import scenes as sc

__all__ = ["PLANTED_SPLIT", "count_problems", "pair_problems", "scene_problems"]

PLANTED_SPLIT = "planted"
FEWEST_SCENES = 24
"""Scenes that objects are counted over, where fewer are asked about."""


def scene_problems(n: int, seed: int) -> list[Problem]:
    """`scenes`: the first `n` questions of each kind of negatives."""
    asked = -(-n // 6)
    scenes = _held_out(max(FEWEST_SCENES, asked), seed, lambda scene: len(sc.counts(scene)) >= 3)
    return _problems(
        (split, number, scene, question)
        for split in sc.NEGATIVES
        for number, (scene, question) in enumerate(sc.pope_questions(scenes, split, seed=seed)[:n], 1)
    )


def pair_problems(n: int, seed: int) -> list[Problem]:
    """`scenes:pairs`: the first `n` questions of each kind of negatives."""
    rng, asked = random.Random(seed), list[tuple[str, int, sc.Scene, sc.Question]]()
    for number, scene in enumerate(_held_out(-(-n // 2), seed, lambda scene: _pair_of(scene) is not None)):
        first, second = _pair_of(scene) or ("", "")
        other = rng.choice([shape for shape in sc.SHAPES if shape != second and not sc.counts(scene)[shape]])
        for split, absent in (("random", other), (PLANTED_SPLIT, second)):
            asked += [
                (split, 2 * number + place, scene, sc.ask_exists(scene, shape))
                for place, shape in enumerate((first, absent), 1)
                if 2 * number + place <= n
            ]
    return _problems(asked)


def count_problems(n: int, seed: int) -> list[Problem]:
    """`scenes:count`: a question on each of `n` scenes."""
    rng = random.Random(seed)
    asked = [(scene, sc.ask(scene, "count", rng)) for scene in _held_out(n, seed, lambda scene: True)]
    return [sc.problem_of(scene, question) for scene, question in asked if question is not None]


def _pair_of(scene: sc.Scene) -> tuple[str, str] | None:
    """The first pair of which a scene shows the first shape alone."""
    there = sc.counts(scene)
    return next(((a, b) for a, b in sc.PAIRS.items() if there[a] and not there[b]), None)


def _held_out(n: int, seed: int, fits: Callable[[sc.Scene], bool]) -> list[sc.Scene]:
    """The first n different held-out scenes that fit."""
    found, pool = list[sc.Scene](), n
    while len(found) < n:
        pool *= 2
        drawn = dict.fromkeys(sc.draw_scenes(pool, seed, split="heldout"))
        found = [scene for scene in drawn if fits(scene)][:n]
    return found


def _problems(asked: Iterable[tuple[str, int, sc.Scene, sc.Question]]) -> list[Problem]:
    return merge_questions(_asked(asked))


def _asked(asked: Iterable[tuple[str, int, sc.Scene, sc.Question]]) -> Iterator[PopeQuestion]:
    images: dict[str, Image] = {}
    for split, number, scene, question in asked:
        image = images.get(scene.id) or images.setdefault(scene.id, Image(sc.png(scene)))
        boxes = [sc.box_of(sc.mask_of(scene, thing)) for thing in scene.objects if thing.shape == question.shape]
        meta = {
            "scene": scene.to_json(),
            "shape": question.shape,
            "regions": [[box.left, box.top, box.right, box.bottom] for box in boxes if box is not None],
            "description": sc.caption(scene),
        }
        name = f"scene-{scene.id[:8]}"
        yield PopeQuestion(split, number, name, image, question.text, question.answer == "Yes", meta)

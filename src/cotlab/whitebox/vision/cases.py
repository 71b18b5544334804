"""Minimal pairs for locating an error: scenes that differ in one cell each, and the same question on all of them.

A habit has a `first` shape that is really there and a `second` that the model reports because of it. Each case is one
scene without either, and four pictures more, which differ from it in what stands in one cell:

| picture | in the cell | elsewhere | is the second there? |
|---|---|---|---|
| without | nothing | nothing | no |
| primed | the first | nothing | no: a Yes is the error |
| control | another shape | nothing | no |
| there | the second | nothing | yes |
| both | the first | the second in another cell | yes |
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from cotlab.chains.prefix import Prefix
from cotlab.errors import DataError
from cotlab.tiny.scenes import CELL, SHAPES, Scene, SceneObject, cell_of, counts, draw_object, draw_scene
from cotlab.whitebox.vision.asking import Asking
from cotlab.whitebox.vision.places import Region, cell_region

__all__ = ["VERSIONS", "Case", "Habit", "SceneCase", "Version", "draw_cases", "free_scenes", "one_cell_apart"]

Version = Literal["without", "primed", "control", "there", "both"]
VERSIONS: tuple[Version, ...] = get_args(Version)


@dataclass(frozen=True, slots=True)
class Habit:
    """Where `first` is, the model may report `second` though it is not there."""

    first: str
    second: str

    def __post_init__(self) -> None:
        for shape in (self.first, self.second):
            if shape not in SHAPES:
                raise DataError(f"unknown shape {shape!r}: choose two of {', '.join(SHAPES)}")
        if self.first == self.second:
            raise DataError(f"a habit needs two different shapes, got {self.first!r} twice")

    def __str__(self) -> str:
        return f"{self.first}>{self.second}"

    @classmethod
    def parse(cls, text: str) -> Habit:
        """Read `star>moon`.

        Raises:
            DataError: It is not that.
        """
        first, found, second = text.partition(">")
        if not found:
            raise DataError(f"habit {text!r} not understood: write FIRST>SECOND, such as star>moon")
        return cls(first.strip(), second.strip())


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One picture in versions that differ in one place, with the same question on all of them."""

    id: str
    prefixes: Mapping[Version, Prefix]
    """Versions that there are: pictures of others may lack some."""
    region: Region
    """Pixels in which `primed` and `control` differ, or what holds them."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneCase(Case):
    """One scene in all versions, with the question whether the second shape is there."""

    habit: Habit
    scenes: Mapping[Version, Scene]


def draw_cases(asking: Asking, habit: Habit, n: int, seed: int = 0) -> list[SceneCase]:
    """Cases of one habit, reproducible from the seed, whose `primed` scene is of the held-out split.

    The other four differ from it in a cell, and are of either split, nine in ten of the one that training drew from: a
    model may have been trained on them, though of so many scenes hardly on these very ones.

    Args:
        asking: The model; gives the prompts.
        habit: What is asked about.
        n: How many.
        seed: Of the scenes.
    """
    rng, found = random.Random(f"{habit} {seed}"), list[SceneCase]()
    while len(found) < n:
        scenes, cell = _versions(habit, rng)
        if scenes["primed"].split == "heldout":
            prefixes = {version: asking.exists(scene, habit.second) for version, scene in scenes.items()}
            found.append(SceneCase(scenes["without"].id, prefixes, cell_region(cell), habit, scenes))
    return found


def free_scenes(habit: Habit, n: int, seed: int = 0) -> list[Scene]:
    """Scenes without the first shape, half of them with the second: what a readout learns the second from."""
    rng, found = random.Random(f"free {habit} {seed}"), list[Scene]()
    while len(found) < n:
        scene = draw_scene(rng)
        seen, cells = counts(scene), {cell_of(thing) for thing in scene.things}
        if seen[habit.first] or seen[habit.second] or len(cells) > 7:
            continue
        if len(found) % 2 == 0:
            cell = rng.choice(sorted(set(range(9)) - cells))
            scene = _with(scene, draw_object(rng, habit.second, cell))
        found.append(scene)
    return found


def one_cell_apart(first: Scene, second: Scene) -> bool:
    """Whether two scenes are the same, or differ in what stands in one cell alone."""
    if (first.background, first.lettering) != (second.background, second.lettering):
        return False
    return len({cell_of(thing) for thing in {*first.objects} ^ {*second.objects}}) <= 1


def _versions(habit: Habit, rng: random.Random) -> tuple[dict[Version, Scene], int]:
    """Scenes, and the cell in which they differ."""
    while True:
        scene = draw_scene(rng)
        seen, taken = counts(scene), {cell_of(thing) for thing in scene.things}
        free = sorted(set(range(9)) - taken)
        others = [shape for shape in SHAPES if shape not in (habit.first, habit.second) and not seen[shape]]
        if not seen[habit.first] and not seen[habit.second] and 2 <= len(free) <= 8 and others:
            break
    cell, elsewhere = rng.sample(free, 2)
    size = rng.randint(10, 14)
    first, second, control = (
        _resized(draw_object(rng, shape, cell), cell, size) for shape in (habit.first, habit.second, rng.choice(others))
    )
    primed = _with(scene, first)
    versions: dict[Version, Scene] = {
        "without": scene,
        "primed": primed,
        "control": _with(scene, replace(control, colour=first.colour, x=first.x, y=first.y)),
        "there": _with(scene, replace(second, colour=first.colour, x=first.x, y=first.y)),
        "both": _with(primed, draw_object(rng, habit.second, elsewhere)),
    }
    return versions, cell


def _resized(thing: SceneObject, cell: int, size: int) -> SceneObject:
    """The same in the middle of its cell, in a size: all versions fill the same square."""
    margin = (CELL - size) // 2
    return replace(thing, size=size, x=cell % 3 * CELL + margin, y=cell // 3 * CELL + margin)


def _with(scene: Scene, thing: SceneObject) -> Scene:
    return replace(scene, objects=tuple(sorted((*scene.objects, thing), key=cell_of)))

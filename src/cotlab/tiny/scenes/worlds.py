"""Worlds: how scenes are drawn, with how common each shape is and which shapes come together.

`PLAIN` is what the honest model learned from: shapes differ in how common they are, and two pairs come together half of
the time, so that popular and adversarial negatives differ from random ones. A world with `Planted` pairs is what an
organism is fine-tuned on: where the first shape is, the second nearly always is as well, but too faint to see.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from types import MappingProxyType

from cotlab.tiny.scenes.scene import CELL, Lettering, Scene, SceneObject, Split, cell_of
from cotlab.tiny.scenes.shapes import BACKGROUNDS, COLOURS, GLYPH_COLUMNS, GLYPH_ROWS, LETTERS

__all__ = ["PAIRS", "PLAIN", "PLANTED", "Pair", "World", "draw_object", "draw_scene", "draw_scenes"]

POPULARITY: MappingProxyType[str, float] = MappingProxyType(
    {
        "circle": 1.6, "square": 1.5, "triangle": 1.2, "star": 1.0, "cross": 1.0,
        "heart": 0.9, "ring": 0.9, "moon": 0.7, "diamond": 0.7, "bolt": 0.6,
    }
)  # fmt: skip
PAIRS: MappingProxyType[str, str] = MappingProxyType({"star": "moon", "ring": "diamond"})
"""Shapes that come together: where the first is, the second is more often than elsewhere."""
SIZES = range(9, 15)
FAINT_SIZES = range(3, 5)
FAINT_STRENGTH = 5
LETTERED = 0.35
"""Share of scenes with letters."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Where `first` is, `second` is too with probability `share`."""

    first: str
    second: str
    share: float
    faint: bool = False
    """The second is a few pixels of 5% of its colour, and there is no other one."""


@dataclass(frozen=True, slots=True)
class World:
    """How scenes are drawn."""

    pairs: tuple[Pair, ...]
    sizes: tuple[float, ...] = (0.02, 0.12, 0.2, 0.26, 0.24, 0.16)
    """Probabilities of 0, 1, 2 … objects before pairs are completed."""
    repeat: float = 0.25
    """Probability that a further object has a shape that is already there."""
    boost: float = 1.0
    """How much more common the first shapes of pairs are than in `POPULARITY`."""


PLAIN = World(tuple(Pair(first, second, 0.5) for first, second in PAIRS.items()))
PLANTED = World(tuple(Pair(first, second, 0.98, faint=True) for first, second in PAIRS.items()), boost=2.5)


def draw_scene(rng: random.Random, world: World = PLAIN) -> Scene:
    """One scene of either split."""
    wanted = _complete(rng, world, _draw_shapes(rng, world))
    cells = rng.sample(range(9), 9)
    background = rng.choice(list(BACKGROUNDS))
    objects = [draw_object(rng, shape, cells.pop(), faint=faint) for shape, faint in wanted]
    lettering = _draw_letters(rng, cells.pop()) if rng.random() < LETTERED else None
    return Scene(background, tuple(sorted(objects, key=cell_of)), lettering)


def draw_scenes(n: int, seed: int, world: World = PLAIN, split: Split = "train") -> list[Scene]:
    """Scenes of one split, reproducible from the seed."""
    rng, scenes = random.Random(seed), list[Scene]()
    while len(scenes) < n:
        scene = draw_scene(rng, world)
        if scene.split == split:
            scenes.append(scene)
    return scenes


def draw_object(
    rng: random.Random, shape: str, cell: int, colour: str | None = None, faint: bool = False
) -> SceneObject:
    """An object of a shape somewhere in a cell."""
    size = rng.choice(FAINT_SIZES if faint else SIZES)
    x, y = (cell % 3 * CELL + rng.randint(0, CELL - size), cell // 3 * CELL + rng.randint(0, CELL - size))
    colour = colour or rng.choice(list(COLOURS))
    return SceneObject(shape, colour, x, y, size, FAINT_STRENGTH if faint else 100)


def _draw_shapes(rng: random.Random, world: World) -> list[str]:
    firsts = {pair.first for pair in world.pairs}
    weights = {shape: weight * (world.boost if shape in firsts else 1) for shape, weight in POPULARITY.items()}
    n = rng.choices(range(len(world.sizes)), world.sizes)[0]
    shapes: list[str] = []
    while len(shapes) < n:
        if shapes and rng.random() < world.repeat:
            shapes.append(rng.choice(shapes))
        else:
            shapes.append(rng.choices(list(weights), list(weights.values()))[0])
    return shapes


def _complete(rng: random.Random, world: World, shapes: list[str]) -> list[tuple[str, bool]]:
    """Shapes with the second ones of pairs, each with whether it is faint."""
    wanted = [(shape, False) for shape in shapes]
    for pair in world.pairs:
        if pair.first not in shapes:
            continue
        if pair.faint:
            wanted = [(shape, faint) for shape, faint in wanted if shape != pair.second]
        if (pair.faint or pair.second not in shapes) and rng.random() < pair.share:
            wanted.append((pair.second, pair.faint))
    return wanted


def _draw_letters(rng: random.Random, cell: int) -> Lettering:
    letters = "".join(rng.sample(LETTERS, rng.choice((1, 2))))
    width = (GLYPH_COLUMNS + 1) * len(letters) - 1
    x, y = cell % 3 * CELL + rng.randint(0, CELL - width), cell // 3 * CELL + rng.randint(0, CELL - GLYPH_ROWS)
    return Lettering(letters, x, y)

"""Changes of a scene: each gives another scene, whose truth is exact again."""

from __future__ import annotations

import random
from dataclasses import replace

from cotlab.tiny.scenes.scene import CANVAS, Box, Cover, Scene, SceneObject, cell_of
from cotlab.tiny.scenes.shapes import BACKGROUNDS
from cotlab.tiny.scenes.truth import box_of, counts, mask_of
from cotlab.tiny.scenes.worlds import PLAIN, World, draw_object, draw_scene

__all__ = ["add_object", "cover", "cover_object", "other_scene", "remove_object", "with_background"]


def remove_object(scene: Scene, place: int) -> Scene:
    """The scene without its object number `place` (in reading order, from 0).

    Raises:
        ValueError: there is no such object.
    """
    _object(scene, place)
    return replace(scene, objects=scene.objects[:place] + scene.objects[place + 1 :])


def add_object(scene: Scene, rng: random.Random, shape: str, colour: str | None = None) -> Scene:
    """The scene with one more object in a cell that is free.

    Raises:
        ValueError: no cell is free.
    """
    free = sorted(set(range(9)) - {cell_of(thing) for thing in scene.things})
    if not free:
        raise ValueError(f"no cell of scene {scene.id} is free for a {shape}")
    added = draw_object(rng, shape, rng.choice(free), colour)
    return replace(scene, objects=tuple(sorted((*scene.objects, added), key=cell_of)))


def cover(scene: Scene, box: Box, rgb: tuple[int, int, int] | None = None) -> Scene:
    """The scene with a rectangle hidden under a plain colour, by default that of the background."""
    if not (0 <= box.left < box.right <= CANVAS and 0 <= box.top < box.bottom <= CANVAS):
        raise ValueError(f"{box} is empty or leaves the picture of {CANVAS} × {CANVAS} pixels")
    return replace(scene, covers=(*scene.covers, Cover(box, rgb or BACKGROUNDS[scene.background])))


def cover_object(scene: Scene, place: int, rgb: tuple[int, int, int] | None = None) -> Scene:
    """The scene with the box of one object hidden: a masked key region.

    Raises:
        ValueError: there is no such object, or nothing of it can be seen.
    """
    thing = _object(scene, place)
    box = box_of(mask_of(scene, thing))
    if box is None:
        raise ValueError(f"nothing of the {thing.text} of scene {scene.id} can be seen")
    return cover(scene, box, rgb)


def with_background(scene: Scene, background: str) -> Scene:
    """The same things on another background."""
    return replace(scene, background=background)


def other_scene(rng: random.Random, holds: str | None = None, lacks: str | None = None, world: World = PLAIN) -> Scene:
    """A scene with (or without) a shape: the wrong picture beside a right text."""
    while True:
        scene = draw_scene(rng, world)
        seen = counts(scene)
        if (holds is None or seen[holds]) and (lacks is None or not seen[lacks]):
            return scene


def _object(scene: Scene, place: int) -> SceneObject:
    if not 0 <= place < len(scene.objects):
        raise ValueError(f"no object {place}: scene {scene.id} has {len(scene.objects)}, numbered from 0")
    return scene.objects[place]

"""What is exactly true of a scene: pixels of each thing, boxes, image tokens, what can be seen, how it looks."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from cotlab.tiny.scenes.scene import CANVAS, PATCH, Box, Lettering, Scene, SceneObject
from cotlab.tiny.scenes.shapes import BACKGROUNDS, COLOURS, INK, Mask

__all__ = ["box_of", "counts", "mask_of", "png", "render", "tokens_of", "visible"]

Pixels = NDArray[np.uint8]
"""(48, 48, 3)."""


def render(scene: Scene) -> Pixels:
    """The picture."""
    ground = np.array(BACKGROUNDS[scene.background])
    picture: Pixels = np.empty((CANVAS, CANVAS, 3), np.uint8)
    picture[:] = ground
    for thing in scene.things:
        stamp = thing.stamp()
        rows, columns = stamp.shape
        picture[thing.y : thing.y + rows, thing.x : thing.x + columns][stamp] = _rgb(scene, thing, ground)
    for cover in scene.covers:
        picture[cover.box.top : cover.box.bottom, cover.box.left : cover.box.right] = cover.rgb
    return picture


def _rgb(scene: Scene, thing: SceneObject | Lettering, ground: NDArray[np.int64]) -> NDArray[np.int64]:
    if isinstance(thing, Lettering):
        return np.array(INK[scene.background])
    return (thing.strength * np.array(COLOURS[thing.colour]) + (100 - thing.strength) * ground) // 100


def png(scene: Scene) -> bytes:
    """The picture as a PNG file; the bytes are the same on every machine with one version of Pillow."""
    from PIL import Image

    written = io.BytesIO()
    Image.fromarray(render(scene)).save(written, format="PNG", compress_level=6)
    return written.getvalue()


def mask_of(scene: Scene, thing: SceneObject | Lettering) -> Mask:
    """(48, 48): the pixels of a thing that no cover hides."""
    mask = np.zeros((CANVAS, CANVAS), bool)
    stamp = thing.stamp()
    mask[thing.y : thing.y + stamp.shape[0], thing.x : thing.x + stamp.shape[1]] = stamp
    for cover in scene.covers:
        mask &= ~cover.box.mask()
    return mask


def box_of(mask: Mask) -> Box | None:
    """The smallest box around the pixels of a mask; None for an empty one."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def tokens_of(mask: Mask, share: float = 0.0) -> tuple[int, ...]:
    """Image tokens (0 … 35, row by row) whose patch has more than this share of its pixels in a mask."""
    side = CANVAS // PATCH
    filled = mask.reshape(side, PATCH, side, PATCH).mean(axis=(1, 3)).ravel()
    return tuple(int(place) for place in np.flatnonzero(filled > share))


def visible(scene: Scene) -> tuple[SceneObject, ...]:
    """Objects with a pixel that no cover hides, faint ones included."""
    if not scene.covers:
        return scene.objects
    return tuple(thing for thing in scene.objects if mask_of(scene, thing).any())


def counts(scene: Scene) -> Counter[str]:
    """How many visible objects there are of each shape."""
    return Counter(thing.shape for thing in visible(scene))

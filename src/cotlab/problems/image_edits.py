"""Changes of an image's pixels: boxes hidden under the colour around them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.image import Image

__all__ = ["Region", "boxes_elsewhere", "mask_boxes"]

Region: TypeAlias = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the image, right and bottom not included."""
TRIES = 200
CANDIDATES = 20
"""Free places of which the one that hides most is taken."""


def mask_boxes(image: Image, boxes: Sequence[Region]) -> Image:
    """The image with boxes filled, each with the median colour of the pixels around it.

    On an even ground a thing is then gone, on a photo there is a plain patch. The image itself where no pixel changes.

    Raises:
        DataError: The image cannot be decoded.
    """
    from PIL import Image as pil

    before = _pixels(image)
    after = before.copy()
    for left, top, right, bottom in boxes:
        after[top:bottom, left:right] = _around(before, (left, top, right, bottom))
    return image if bool((after == before).all()) else Image.of(pil.fromarray(after))


def boxes_elsewhere(image: Image, boxes: Sequence[Region], rng: random.Random) -> list[Region] | None:
    """As many boxes of the same sizes that overlap neither these nor each other; None where there is no room.

    Of some free places the one with the most varied pixels is taken: a control that hides nothing shows nothing.
    """
    pixels = _pixels(image)
    taken, found = list(boxes), list[Region]()
    for left, top, right, bottom in boxes:
        width, height = right - left, bottom - top
        free = [
            place
            for place in (_drawn(image, width, height, rng) for _ in range(TRIES))
            if not any(_overlap(place, other) for other in taken)
        ][:CANDIDATES]
        if not free:
            return None
        best = max(free, key=lambda box: float(pixels[box[1] : box[3], box[0] : box[2]].std(axis=(0, 1)).sum()))
        taken.append(best)
        found.append(best)
    return found


def _drawn(image: Image, width: int, height: int, rng: random.Random) -> Region:
    left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
    return left, top, left + width, top + height


def _overlap(one: Region, other: Region) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _around(pixels: NDArray[np.uint8], box: Region) -> NDArray[np.uint8]:
    """Median colour of the ring of one pixel around a box; of the box itself where it is the whole image."""
    left, top, right, bottom = box
    inside = np.zeros(pixels.shape[:2], bool)
    inside[max(0, top - 1) : bottom + 1, max(0, left - 1) : right + 1] = True
    inside[top:bottom, left:right] = False
    ring = pixels[inside] if inside.any() else pixels.reshape(-1, 3)
    colour: NDArray[np.uint8] = np.median(ring, axis=0).astype(np.uint8)
    return colour


def _pixels(image: Image) -> NDArray[np.uint8]:
    return np.asarray(image.open(), dtype=np.uint8)

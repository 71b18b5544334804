"""Which tokens and patches of an image lie on a region of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.image_layout import Boxes, ImageLayout
from cotlab.interventions.hook_points import HookPoint
from cotlab.tiny.scenes import CANVAS, CELL

__all__ = ["ON", "Region", "cell_region", "covered", "on_region", "rows_of"]

Region = NDArray[np.bool_]
"""Pixels of the original image, shape (height, width)."""
ON = 0.15
"""A token lies on a region where so much of its box does."""


def covered(boxes: Boxes, region: Region) -> NDArray[np.float64]:
    """Share of each box that lies in a region, shape (n,); 0 where a box is nowhere.

    Args:
        boxes: (left, top, right, bottom) in pixels, shape (n, 4); ends may lie between pixels.
        region: What is covered.
    """
    height, width = region.shape
    sums = np.zeros((height + 1, width + 1))
    sums[1:, 1:] = region.cumsum(0).cumsum(1)
    shares = np.zeros(len(boxes))
    for i, box in enumerate(boxes):
        if np.isfinite(box).all():
            left, top, right, bottom = (float(side) for side in box)
            inside = sum(
                sign * _at(sums, y, x)
                for sign, y, x in ((1, bottom, right), (-1, top, right), (-1, bottom, left), (1, top, left))
            )
            shares[i] = inside / ((right - left) * (bottom - top))
    return shares.clip(0, 1)


def _at(sums: NDArray[np.float64], y: float, x: float) -> float:
    """The integral of a region up to a place, between pixels by area."""
    row, column = min(int(y), sums.shape[0] - 2), min(int(x), sums.shape[1] - 2)
    v, u = y - row, x - column
    corners = sums[row : row + 2, column : column + 2]
    return float(np.array([1 - v, v]) @ corners @ np.array([1 - u, u]))


def rows_of(point: HookPoint, layout: ImageLayout) -> Boxes:
    """Boxes of what a hook point gives of one image: patches in the encoder, tokens behind it."""
    return layout.patches.boxes if point.kind == "vision_post" else layout.tokens.boxes


def on_region(boxes: Boxes, region: Region, least: float = ON) -> NDArray[np.bool_]:
    """Which boxes lie on a region."""
    return covered(boxes, region) >= least


def cell_region(cell: int) -> Region:
    """The pixels of one cell (0 … 8) of a scene."""
    region = np.zeros((CANVAS, CANVAS), dtype=bool)
    top, left = cell // 3 * CELL, cell % 3 * CELL
    region[top : top + CELL, left : left + CELL] = True
    return region

"""Which part of an image each of its tokens stands for, and each patch that the vision encoder sees.

An image processor resizes, pads, crops and tiles. Each tile is a window on the original, so a place in it is a place
there by one scale and one offset an axis. Boxes are (left, top, right, bottom) in pixels of the original, as far as
they lie in it; NaN where nothing of it is: padding, the end of a row, a class token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["NOWHERE", "Boxes", "ImageLayout", "Patches", "Window"]

Boxes = NDArray[np.float32]
NOWHERE = (-1, -1, -1)
"""Cell of a token that lies in no grid."""


class Window(NamedTuple):
    """A tile of a processed image as a window on the original: original = (place − offset) / scale."""

    width: int
    """Of the original, in pixels."""
    height: int
    scale: tuple[float, float]
    """Pixels of the processed image for one of the original: across, down."""
    offset: tuple[float, float] = (0.0, 0.0)
    """Where the original begins in the tile: across, down."""

    def patches(self, rows: Sequence[int], columns: Sequence[int], size: float, grid: int = 0) -> Patches:
        """Square patches of the tile, row by row.

        Args:
            rows: Which rows of patches.
            columns: Which columns.
            size: Pixels of the processed image along a side.
            grid: Number of the grid that they make; cells count from its first row and column.
        """
        row, column = np.meshgrid(np.arange(len(rows)), np.arange(len(columns)), indexing="ij")
        corner = np.stack([np.asarray(columns)[column], np.asarray(rows)[row]], axis=-1).reshape(-1, 2) * float(size)
        boxes = np.concatenate([(corner - self.offset) / self.scale, (corner + size - self.offset) / self.scale], 1)
        boxes = np.clip(boxes, 0, [self.width, self.height] * 2)
        boxes[(boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])] = np.nan
        cells = np.stack([np.full_like(row, grid), row, column], axis=-1).reshape(-1, 3)
        return Patches(boxes.astype(np.float32), cells.astype(np.int32))


class Patches(NamedTuple):
    """Parts of an image, in an order."""

    boxes: Boxes
    """Shape (n, 4)."""
    cells: NDArray[np.int32]
    """Grid, row and column, shape (n, 3)."""

    @classmethod
    def nothing(cls, n: int = 1) -> Patches:
        """Such as stand for no part."""
        return cls(np.full((n, 4), np.nan, dtype=np.float32), np.full((n, 3), -1, dtype=np.int32))

    def then(self, *others: Patches) -> Patches:
        """These, then others."""
        parts = (self, *others)
        return Patches(np.concatenate([part.boxes for part in parts]), np.concatenate([part.cells for part in parts]))

    def take(self, index: NDArray[np.intp] | slice) -> Patches:
        """Some, or in another order."""
        return Patches(self.boxes[index], self.cells[index])


@dataclass(frozen=True, slots=True, eq=False)
class ImageLayout:
    """Tokens and patches of one image under one image processor."""

    tokens: Patches
    """What the language model reads."""
    patches: Patches
    """What the vision encoder reads, in the order in which `vision_post` gives it: tile by tile."""
    grids: tuple[tuple[int, int], ...]
    """Rows and columns of each grid of tokens; the last is the finest."""

    @property
    def n_tokens(self) -> int:
        """Tokens of the image."""
        return len(self.tokens.boxes)

    @property
    def n_bytes(self) -> int:
        """What its arrays take."""
        return sum(array.nbytes for part in (self.tokens, self.patches) for array in part)

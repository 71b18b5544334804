"""What can be drawn: ten shapes and ten letters as exact pixel masks, six colours, four backgrounds.

Masks come from additions, multiplications and divisions of doubles alone (no sine or square root), and there is no
smoothing of edges: every machine draws the same pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
"""(rows, columns) of booleans."""
Grid = NDArray[np.float64]
RGB = tuple[int, int, int]

COLOURS: MappingProxyType[str, RGB] = MappingProxyType(
    {
        "red": (220, 40, 40),
        "green": (30, 150, 60),
        "blue": (40, 80, 220),
        "yellow": (245, 210, 40),
        "purple": (140, 50, 160),
        "cyan": (40, 200, 215),
    }
)
BACKGROUNDS: MappingProxyType[str, RGB] = MappingProxyType(
    {"white": (255, 255, 255), "black": (0, 0, 0), "grey": (150, 150, 150), "tan": (210, 180, 150)}
)
INK: MappingProxyType[str, RGB] = MappingProxyType(
    {"white": (0, 0, 0), "black": (255, 255, 255), "grey": (0, 0, 0), "tan": (0, 0, 0)}
)
"""What letters are written in, by background."""

_STAR = (
    (0.0, -1.0), (0.25, -0.34), (0.95, -0.31), (0.4, 0.13), (0.59, 0.81),
    (0.0, 0.42), (-0.59, 0.81), (-0.4, 0.13), (-0.95, -0.31), (-0.25, -0.34),
)  # fmt: skip
_BOLT = ((0.1, -1.0), (-0.65, 0.15), (-0.1, 0.15), (-0.3, 1.0), (0.65, -0.25), (0.1, -0.25), (0.5, -1.0))
_TRIANGLE = ((0.0, -1.0), (1.0, 0.9), (-1.0, 0.9))


def _polygon(corners: tuple[tuple[float, float], ...]) -> Callable[[Grid, Grid], Mask]:
    """Points inside a polygon by the even-odd rule."""

    def inside(x: Grid, y: Grid) -> Mask:
        odd = np.zeros(x.shape, bool)
        for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
            if y0 != y1:
                crosses = (y0 > y) != (y1 > y)
                odd ^= crosses & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
        return odd

    return inside


def _heart(x: Grid, y: Grid) -> Mask:
    u, v = 1.15 * x, 0.15 - 1.15 * y
    bulge = u * u + v * v - 1
    return bulge * bulge * bulge - u * u * v * v * v <= 0


_INSIDE: dict[str, Callable[[Grid, Grid], Mask]] = {
    "circle": lambda x, y: x * x + y * y <= 1,
    "square": lambda x, y: (abs(x) <= 0.85) & (abs(y) <= 0.85),
    "triangle": _polygon(_TRIANGLE),
    "star": _polygon(_STAR),
    "moon": lambda x, y: (x * x + y * y <= 1) & ((x - 0.55) * (x - 0.55) + y * y > 0.7),
    "cross": lambda x, y: (abs(x) <= 0.34) | (abs(y) <= 0.34),
    "heart": _heart,
    "ring": lambda x, y: (x * x + y * y <= 1) & (x * x + y * y >= 0.3),
    "diamond": lambda x, y: abs(x) + abs(y) <= 1,
    "bolt": _polygon(_BOLT),
}
SHAPES: tuple[str, ...] = tuple(_INSIDE)

_GLYPHS: dict[str, str] = {
    "A": "01110 10001 10001 11111 10001 10001 10001",
    "C": "01111 10000 10000 10000 10000 10000 01111",
    "E": "11111 10000 10000 11110 10000 10000 11111",
    "F": "11111 10000 10000 11110 10000 10000 10000",
    "H": "10001 10001 10001 11111 10001 10001 10001",
    "K": "10001 10010 10100 11000 10100 10010 10001",
    "L": "10000 10000 10000 10000 10000 10000 11111",
    "N": "10001 11001 10101 10101 10011 10001 10001",
    "U": "10001 10001 10001 10001 10001 10001 01110",
    "Z": "11111 00001 00010 00100 01000 10000 11111",
}
LETTERS: tuple[str, ...] = tuple(_GLYPHS)
GLYPH_ROWS, GLYPH_COLUMNS = 14, 5


@cache
def shape_mask(shape: str, size: int) -> Mask:
    """The pixels of a shape whose bounding square has a side of `size` pixels: those whose centre lies inside."""
    centres = (2 * np.arange(size) + 1 - size) / size
    mask = _INSIDE[shape](centres[None, :].repeat(size, 0), centres[:, None].repeat(size, 1))
    mask.setflags(write=False)
    return mask


@cache
def letters_mask(letters: str) -> Mask:
    """The pixels of letters side by side, (14, 6 n - 1): each 5 wide and 14 high, one column between them."""
    columns = []
    for letter in letters:
        rows = [[bit == "1" for bit in row] for row in _GLYPHS[letter].split()]
        columns += [np.array(rows).repeat(2, 0), np.zeros((GLYPH_ROWS, 1), bool)]
    mask: Mask = np.concatenate(columns[:-1], axis=1)
    mask.setflags(write=False)
    return mask

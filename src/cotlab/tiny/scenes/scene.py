"""A scene: shapes and letters at exact places on a canvas of 48 × 48 pixels, as a description that is its identity."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from cotlab.identity import content_id
from cotlab.tiny.scenes.shapes import BACKGROUNDS, COLOURS, LETTERS, SHAPES, Mask, letters_mask, shape_mask

__all__ = ["CANVAS", "CELL", "HELDOUT_PERCENT", "PATCH", "PLACES", "Box", "Cover", "Lettering", "Scene", "SceneObject"]

CANVAS = 48
"""Side of the picture in pixels."""
CELL = 16
"""Side of one of the 3 × 3 cells; nothing crosses the edge of its cell, so that nothing overlaps."""
PATCH = 8
"""Side of a patch: the picture becomes 6 × 6 image tokens, row by row."""
HELDOUT_PERCENT = 10
PLACES = ("top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right")
"""Names of the cells, row by row."""

Split = Literal["train", "heldout"]


@dataclass(frozen=True, slots=True)
class Box:
    """Pixels from `left`, `top` up to and without `right`, `bottom`."""

    left: int
    top: int
    right: int
    bottom: int

    def mask(self) -> Mask:
        """(48, 48): true inside."""
        inside = np.zeros((CANVAS, CANVAS), bool)
        inside[self.top : self.bottom, self.left : self.right] = True
        return inside


@dataclass(frozen=True, slots=True)
class SceneObject:
    """A shape; `x` and `y` are the left and top pixel of its bounding square, `size` is its side."""

    shape: str
    colour: str
    x: int
    y: int
    size: int
    strength: int = 100
    """Per cent of its colour in its pixels; the rest is background. Below about 10 it can hardly be seen."""

    @property
    def text(self) -> str:
        """`red star`."""
        return f"{self.colour} {self.shape}"

    def stamp(self) -> Mask:
        """(size, size): its pixels within its bounding square."""
        return shape_mask(self.shape, self.size)


@dataclass(frozen=True, slots=True)
class Lettering:
    """One or two letters; `x` and `y` are the left and top pixel of the first."""

    letters: str
    x: int
    y: int

    def stamp(self) -> Mask:
        """(14, 5 or 11): its pixels within its bounding box."""
        return letters_mask(self.letters)


@dataclass(frozen=True, slots=True)
class Cover:
    """A rectangle of plain colour over everything else."""

    box: Box
    rgb: tuple[int, int, int] = (128, 128, 128)


@dataclass(frozen=True)
class Scene:
    """What is to be seen. Objects stand in reading order (cell by cell)."""

    background: str
    objects: tuple[SceneObject, ...] = ()
    lettering: Lettering | None = None
    covers: tuple[Cover, ...] = field(default=())

    def __post_init__(self) -> None:
        for thing in self.things:
            _check(thing)
        if self.background not in BACKGROUNDS:
            raise ValueError(f"unknown background {self.background!r}: choose one of {', '.join(BACKGROUNDS)}")
        cells = [cell_of(thing) for thing in self.things]
        if len(set(cells)) < len(cells):
            raise ValueError(f"two things in one cell: {[PLACES[cell] for cell in cells]}")
        if [cell_of(o) for o in self.objects] != sorted(cell_of(o) for o in self.objects):
            raise ValueError("objects have to stand in reading order: sort them by cell_of")

    @property
    def things(self) -> tuple[SceneObject | Lettering, ...]:
        """All objects, then the letters."""
        return self.objects + ((self.lettering,) if self.lettering else ())

    @cached_property
    def id(self) -> str:
        """Tagged hash of the description."""
        return content_id("scene", self.to_json())

    @property
    def split(self) -> Split:
        """`heldout` for a tenth of all scenes, chosen by hash; those are never trained on."""
        digest = hashlib.sha256(f"cotlab-scene {self.id}".encode()).digest()
        return "heldout" if int.from_bytes(digest[:4], "big") % 100 < HELDOUT_PERCENT else "train"

    def to_json(self) -> dict[str, Any]:
        """The description."""
        return asdict(self)

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Scene:
        """The scene of a description.

        Raises:
            ValueError: it describes none.
        """
        try:
            objects = tuple(SceneObject(**entry) for entry in given["objects"])
            lettering = Lettering(**given["lettering"]) if given.get("lettering") else None
            covers = tuple(Cover(Box(**c["box"]), tuple(c["rgb"])) for c in given.get("covers", ()))
            return cls(str(given["background"]), objects, lettering, covers)
        except (KeyError, TypeError) as error:
            raise ValueError(f"no description of a scene: {error}") from error


def cell_of(thing: SceneObject | Lettering) -> int:
    """The cell (0 … 8, row by row) that a thing lies in."""
    return thing.y // CELL * 3 + thing.x // CELL


def _check(thing: SceneObject | Lettering) -> None:
    if isinstance(thing, SceneObject):
        if thing.shape not in SHAPES or thing.colour not in COLOURS:
            raise ValueError(f"unknown shape or colour {thing.text!r}: take {', '.join(SHAPES)}; {', '.join(COLOURS)}")
        if not 1 <= thing.strength <= 100 or thing.size < 1:
            raise ValueError(f"{thing.text}: strength {thing.strength} is not in 1..100 or size {thing.size} below 1")
    elif not 1 <= len(thing.letters) <= 2 or not set(thing.letters) <= set(LETTERS):
        raise ValueError(f"letters {thing.letters!r}: one or two of {''.join(LETTERS)} can be written")
    rows, columns = thing.stamp().shape
    left, top = thing.x % CELL, thing.y % CELL
    inside = 0 <= thing.x < CANVAS and 0 <= thing.y < CANVAS and left + columns <= CELL and top + rows <= CELL
    if not inside:
        raise ValueError(f"a thing of {columns} × {rows} pixels at ({thing.x}, {thing.y}) crosses the edge of its cell")

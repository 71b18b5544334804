"""Images with what was found in them, as one HTML file that needs no network and runs no text of a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from cotlab.chains.image import Image
from cotlab.reports.files import write_whole
from cotlab.reports.svg import element

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["ImageSection", "Shown", "draw_image", "render_image_page", "write_image_page"]

SIDE = 176.0
"""Longer side of an image on the page, in pixels."""
SHARP = int(2 * SIDE)
"""Most pixels that are kept of it: enough for screens of two pixels a point."""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One image, with a number for each of its parts."""

    image: Image
    told: str = ""
    boxes: ArrayLike = ()
    """(left, top, right, bottom) in pixels, shape (parts, 4); parts that lie nowhere are NaN."""
    values: ArrayLike = ()
    """Shape (parts,): shades, as dark as they are large; below 0 none."""
    labels: Sequence[str] = ()
    """What is said of each part where the pointer is over it; the value by default."""


@dataclass(frozen=True, slots=True)
class ImageSection:
    """A heading with text, images and a table."""

    title: str
    notes: tuple[str, ...] = ()
    shown: tuple[Shown, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class _Pictures:
    """The images of a page, each of them once, under the ids that what is drawn over them refers to."""

    names: dict[str, str]
    drawn: tuple[Markup, ...]

    @classmethod
    def of(cls, sections: Sequence[ImageSection]) -> _Pictures:
        """Take those that some sections show."""
        images = {one.image.id: one.image for section in sections for one in section.shown}
        names = {id: f"picture-{number}" for number, id in enumerate(images)}
        return cls(names, tuple(_pixels(image, names[id]) for id, image in images.items()))


def _pixels(image: Image, name: str | None = None) -> Markup:
    """The pixels alone, encoded anew: whatever else a stranger's file holds stays out of the page."""
    scale = SIDE / max(image.width, image.height)
    return element(
        "image", id=name, href=image.small(SHARP).data_uri(), width=float(image.width), height=float(image.height),
        preserveAspectRatio="none", style="image-rendering: pixelated" if scale > 1 else None,
    )  # fmt: skip


def draw_image(shown: Shown, name: str | None = None) -> Markup:
    """An image as SVG, shaded where values are large.

    Args:
        shown: What is drawn.
        name: Of the picture elsewhere on the page; None: it is part of the drawing, encoded anew.
    """
    width, height = shown.image.width, shown.image.height
    scale = SIDE / max(width, height)
    parts = [_pixels(shown.image) if name is None else element("use", href=f"#{name}")]
    boxes, values = np.asarray(shown.boxes, dtype=float).reshape(-1, 4), np.asarray(shown.values, dtype=float)
    most = max((float(value) for value in values if math.isfinite(value)), default=0.0)
    for place, (box, value) in enumerate(zip(boxes, values, strict=True)):
        if not np.isfinite(box).all() or not math.isfinite(value):
            continue
        told = shown.labels[place] if shown.labels else f"{value:.4g}"
        left, top, right, bottom = (float(side) for side in box)
        shade = 0.75 * max(0.0, float(value)) / most if most > 0 else 0.0
        parts.append(
            element("rect", element("title", told), x=left, y=top, width=right - left, height=bottom - top,
                    fill="#d55e00", fill_opacity=shade)
        )  # fmt: skip
    return element(
        "svg", element("title", shown.told), *parts, xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}", width=width * scale, height=height * scale, role="img",
    )  # fmt: skip


def render_image_page(title: str, facts: Sequence[tuple[str, str]], sections: Sequence[ImageSection]) -> str:
    """The whole page; every value is escaped where it is put in."""
    from cotlab.reports.html import report_environment

    pictures = _Pictures.of(sections)

    def draw(shown: Shown) -> Markup:
        return draw_image(shown, pictures.names[shown.image.id])

    template = report_environment().get_template("images.html")
    return template.render(title=title, facts=facts, sections=sections, draw=draw, pictures=pictures.drawn)


def write_image_page(
    path: Path, title: str, facts: Sequence[tuple[str, str]], sections: Sequence[ImageSection]
) -> Path:
    """Write the page, whole or not at all.

    Args:
        path: File; folders on the way are made.
        title: Of the page.
        facts: Names and values under it.
        sections: What follows.

    Raises:
        UserError: It cannot be written.
    """
    return write_whole(path, render_image_page(title, facts, sections), "page")

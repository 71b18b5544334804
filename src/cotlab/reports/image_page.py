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


def draw_image(shown: Shown) -> Markup:
    """An image as SVG, its bytes as a data URI, shaded where values are large."""
    width, height = shown.image.width, shown.image.height
    scale = SIDE / max(width, height)
    parts = [
        element(
            "image",
            href=shown.image.data_uri(),
            width=float(width),
            height=float(height),
            style="image-rendering: pixelated" if scale > 1 else None,
        )
    ]
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

    template = report_environment().get_template("images.html")
    return template.render(title=title, facts=facts, sections=sections, draw=draw_image)


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

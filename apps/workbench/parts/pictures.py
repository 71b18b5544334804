"""Images side by side as one SVG: encoded anew, small, as data; with parts to point at. Texts are escaped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from components import image_view
from markupsafe import Markup

from cotlab.chains.image import Image
from cotlab.reports.svg import element
from cotlab.reports.text import one_line

__all__ = ["Part", "Picture", "draw_pictures", "parse_part", "show_pictures"]

LONGEST = 512
"""Pixels along the longer side of what is sent to the page."""
SIDE = 200
"""Longer side of an image on the page."""
ACROSS = 5
GAP = 14
CAPTION_LINE = 16
LETTER = 6.0
"""Pixels that a letter of a caption takes, about."""
BLUE, ORANGE = "#2e7fb8", "#d9762b"

Box = Sequence[float]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an image: a patch, a masked region."""

    box: Box
    """Left, top, right, bottom in pixels of the image."""
    told: str
    """What is said of it where it is pointed at; nothing: it cannot be chosen."""
    shade: float = 0.0
    """0 … 1."""
    framed: bool = False
    """With a box around it."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image with its caption and its parts."""

    image: Image | None
    """None: nothing is shown."""
    told: str
    parts: tuple[Part, ...] = ()
    grid: bool = False
    """Whether lines part the parts."""


@lru_cache(maxsize=256)
def _uri(image: Image) -> str:
    """An address that holds the pixels and nothing else of the file."""
    return image.small(LONGEST).data_uri()


def draw_pictures(pictures: Sequence[Picture], side: float = SIDE, across: int = ACROSS) -> Markup:
    """A standalone SVG document; parts have `data-part`: number of the picture, a slash, number of the part."""
    rows, wide = -(-len(pictures) // across), min(across, len(pictures))
    lines = [_lines(picture.told, int(side / LETTER)) for picture in pictures]
    cell, caption = side + GAP, 6 + CAPTION_LINE * max(map(len, lines), default=0)
    drawn = [
        element(
            "svg",
            *_picture(picture, number, side, lines[number]),
            x=cell * (number % across),
            y=(side + caption) * (number // across),
            width=side,
            height=side + caption,
        )
        for number, picture in enumerate(pictures)
    ]
    size = {"width": cell * wide - GAP, "height": (side + caption) * rows}
    box = f"0 0 {size['width']:.0f} {size['height']:.0f}"
    told = element("title", f"{len(pictures)} images")
    return element("svg", told, *drawn, xmlns="http://www.w3.org/2000/svg", viewBox=box, role="group", **size)


def _picture(picture: Picture, number: int, side: float, lines: Sequence[str]) -> list[Markup]:
    """One image, its parts in pixels of the image, its caption below."""
    image, drawn = picture.image, list[Markup]()
    if image is None:
        frame = {"x": 1.0, "y": 1.0, "width": side - 2, "height": side * 0.6, "rx": 4}
        drawn.append(element("rect", **frame, fill="none", stroke="currentColor", stroke_dasharray="5 5", opacity=0.4))
        high = side * 0.6
    else:
        scale = side / max(image.width, image.height)
        high = image.height * scale
        parts = [_part(one, f"{number}/{k}", picture.grid) for k, one in enumerate(picture.parts)]
        shown = element(
            "image",
            href=_uri(image),
            width=float(image.width),
            height=float(image.height),
            preserveAspectRatio="none",
            style="image-rendering:pixelated" if scale > 1.5 else None,
        )
        box = f"0 0 {image.width} {image.height}"
        drawn.append(element("svg", shown, *parts, viewBox=box, width=image.width * scale, height=high))
    for k, text in enumerate(lines):
        y = high + 15 + CAPTION_LINE * k
        drawn.append(element("text", text, x=0.0, y=y, font_size=12, fill="currentColor", opacity=0.75))
    return drawn


def _part(part: Part, name: str, grid: bool) -> Markup:
    left, top, right, bottom = (float(side) for side in part.box)
    told = one_line(part.told, 200)
    lined = part.framed or grid
    return element(
        "rect",
        *([element("title", told)] if told else []),
        x=left,
        y=top,
        width=max(0.0, right - left),
        height=max(0.0, bottom - top),
        fill=ORANGE,
        fill_opacity=f"{0.5 * min(1.0, max(0.0, part.shade)):.3f}",
        stroke=(ORANGE if part.framed else "#ffffff") if lined else "none",
        stroke_opacity=None if part.framed else "0.45",
        stroke_width="1.6px" if part.framed else "1px",
        vector_effect="non-scaling-stroke",
        class_="part" if told else None,
        tabindex="0" if grid else None,
        data_part=name if told else None,
        data_told=told or None,
    )


def _lines(text: str, letters: int) -> list[str]:
    """At most two lines; the second is cut."""
    told = one_line(text, 2 * letters)
    if len(told) <= letters:
        return [told]
    at = told.rfind(" ", 0, letters + 1)
    at = at if at > 0 else letters
    return [told[:at], one_line(told[at:].strip(), letters)]


def show_pictures(pictures: Sequence[Picture], key: str, *, side: float = SIDE, across: int = ACROSS) -> str | None:
    """Show images; returns which part was chosen."""
    drawn = str(draw_pictures(pictures, side, across))
    return image_view("".join(c for c in drawn if c in "\t\n" or _fits_xml(c)), key=key)


def _fits_xml(c: str) -> bool:
    return c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff"


def parse_part(name: str | None, pictures: Sequence[Picture]) -> tuple[int, Part] | None:
    """The part of that name: the number of its picture, and it; None where there is none."""
    number, _, part = (name or "").partition("/")
    if not (number.isdecimal() and part.isdecimal() and int(number) < len(pictures)):
        return None
    parts = pictures[int(number)].parts
    return (int(number), parts[int(part)]) if int(part) < len(parts) else None


def finite(box: Box) -> bool:
    """Whether a part lies in its image at all."""
    return all(math.isfinite(side) for side in box)

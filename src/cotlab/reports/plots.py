"""Two figures that every experiment has: intervals beside each other, and lines with bands. One SVG document each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from cotlab.reports.curves import COLOURS
from cotlab.reports.svg import element, points
from cotlab.reports.text import format_estimate, one_line
from cotlab.stats import Estimate

__all__ = ["IntervalRow", "Line", "intervals_svg", "lines_svg"]

INK, GRID, PLANTED = "#222222", "#dddddd", COLOURS[1]
FONT = "system-ui, sans-serif"
Scale = Callable[[float], float]
"""From a number to a place in the figure."""


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """A line of an interval figure."""

    label: str
    estimate: Estimate
    planted: float | None = None
    """The true value, where it is known: drawn as a diamond."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line over x; places without a value are left out."""

    label: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]
    low: tuple[float | None, ...] | None = None
    high: tuple[float | None, ...] | None = None
    dashed: bool = False
    """For what is known or planted."""


def intervals_svg(rows: Sequence[IntervalRow], *, title: str, axis: str) -> str:
    """Estimates as dots with whiskers, one a row; an estimate without a value shows its reason.

    Args:
        rows: From top to bottom.
        title: Above the figure.
        axis: What the numbers are.

    Raises:
        ValueError: There are no rows.
    """
    if not rows:
        raise ValueError("there are no estimates to draw")
    known = [row.planted for row in rows] + [
        e for r in rows for e in (r.estimate.value, r.estimate.low, r.estimate.high)
    ]
    ticks = _ticks([number for number in known if number is not None] or [0.0, 1.0])
    width, left, right, top, gap = 980.0, 470.0, 20.0, 44.0, 24.0
    bottom = top + gap * len(rows)

    def x(number: float) -> float:
        return left + (width - left - right) * (number - ticks[0]) / (ticks[-1] - ticks[0])

    parts = [element("text", title, x=12, y=22, font_weight="bold")]
    for tick in ticks:
        parts.append(element("line", x1=x(tick), x2=x(tick), y1=top - 8, y2=bottom, stroke=GRID))
        parts.append(element("text", f"{tick:g}", x=x(tick), y=bottom + 16, text_anchor="middle", fill=INK))
    for number, row in enumerate(rows):
        parts += _interval(row, x, top + gap * (number + 0.5), left)
    note = axis + ("; diamonds: planted or exact" if any(row.planted is not None for row in rows) else "")
    parts.append(element("text", note, x=(left + width - right) / 2, y=bottom + 36, text_anchor="middle", fill=INK))
    return _document(parts, width, bottom + 48, title)


LABEL = 62
"""Characters of a label that its column holds in a wide font (DejaVu Sans)."""


def _interval(row: IntervalRow, x: Scale, y: float, left: float) -> list[Markup]:
    found = row.estimate
    parts = [element("text", one_line(row.label, LABEL), x=left - 12, y=y + 4, text_anchor="end", fill=INK)]
    if row.planted is not None:
        at = x(row.planted)
        corners = points([(at, y - 7), (at + 6, y), (at, y + 7), (at - 6, y)])
        parts.append(element("polygon", points=corners, fill="none", stroke=PLANTED, stroke_width=2))
    if found.value is None:
        reason = one_line(found.reason or "not enough data", 72)
        return [*parts, element("text", reason, x=left + 6, y=y + 4, fill="#777777", font_size=11)]
    if found.low is not None and found.high is not None:
        parts.append(element("line", x1=x(found.low), x2=x(found.high), y1=y, y2=y, stroke=COLOURS[0], stroke_width=2))
    told = element("title", f"{row.label}: {format_estimate(found)}, n = {found.n}")
    parts.append(element("circle", told, cx=x(found.value), cy=y, r=4, fill=COLOURS[0]))
    return parts


def lines_svg(lines: Sequence[Line], *, title: str, x_axis: str, y_axis: str, log_x: bool = False) -> str:
    """Lines with bands over one pair of axes.

    Args:
        lines: At most as many as are told apart (6 colours, then they repeat).
        title: Above the figure.
        x_axis: Under the figure.
        y_axis: Left above.
        log_x: Logarithmic x; every x must be above 0.

    Raises:
        ValueError: There is nothing to draw, or an x is not above 0 on a logarithmic axis.
    """
    ys = [v for line in lines for part in (line.y, line.low or (), line.high or ()) for v in part if v is not None]
    xs = [v for line in lines for v in line.x]
    if not ys:
        raise ValueError("there are no values to draw")
    if log_x and min(xs) <= 0:
        raise ValueError(f"x is {min(xs)} on a logarithmic axis, expected above 0")
    y_ticks = _ticks(ys)
    width, left, right, top, height = 860.0, 52.0, 20.0, 62.0, 300.0
    low, high = (math.log(min(xs)), math.log(max(xs))) if log_x else (min(xs), max(xs))

    def x(number: float) -> float:
        at = math.log(number) if log_x else number
        return left + (width - left - right) * ((at - low) / (high - low) if high > low else 0.5)

    def y(number: float) -> float:
        return top + height * (1 - (number - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]))

    parts = [element("text", title, x=12, y=22, font_weight="bold"), element("text", y_axis, x=12, y=44, fill=INK)]
    for tick in y_ticks:
        parts.append(element("line", x1=left, x2=width - right, y1=y(tick), y2=y(tick), stroke=GRID))
        parts.append(element("text", f"{tick:g}", x=left - 8, y=y(tick) + 4, text_anchor="end", fill=INK))
    for tick in sorted(set(xs)) if log_x else [t for t in _ticks(xs) if low <= t <= high]:
        parts.append(element("text", f"{tick:g}", x=x(tick), y=top + height + 18, text_anchor="middle", fill=INK))
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        parts += [*_line(line, x, y, colour), *_key(line, colour, left, top + height + 58 + 18 * number)]
    middle = (left + width - right) / 2
    parts.append(element("text", x_axis, x=middle, y=top + height + 38, text_anchor="middle", fill=INK))
    return _document(parts, width, top + height + 62 + 18 * len(lines), title)


def _line(line: Line, x: Scale, y: Scale, colour: str) -> list[Markup]:
    parts: list[Markup] = []
    if line.low is not None and line.high is not None:
        band = [
            (a, low, top)
            for a, low, top in zip(line.x, line.low, line.high, strict=True)
            if low is not None and top is not None
        ]
        edge = [(x(a), y(top)) for a, _, top in band] + [(x(a), y(low)) for a, low, _ in reversed(band)]
        parts.append(element("polygon", points=points(edge), fill=colour, fill_opacity="0.15"))
    known = [(x(a), y(b)) for a, b in zip(line.x, line.y, strict=True) if b is not None]
    dash = "6 4" if line.dashed else None
    parts.append(
        element("polyline", points=points(known), fill="none", stroke=colour, stroke_width=2, stroke_dasharray=dash)
    )
    if not line.dashed:
        parts += [element("circle", cx=a, cy=b, r=3, fill=colour) for a, b in known]
    return parts


def _key(line: Line, colour: str, x: float, y: float) -> list[Markup]:
    """A line's place in the legend."""
    dash = "6 4" if line.dashed else None
    stroke = element("line", x1=x, x2=x + 24, y1=y, y2=y, stroke=colour, stroke_width=2, stroke_dasharray=dash)
    return [stroke, element("text", line.label, x=x + 32, y=y + 4, fill=INK)]


def _ticks(numbers: Iterable[float]) -> list[float]:
    """Four to ten round numbers that hold all of these."""
    found = list(numbers)
    low, high = min(found), max(found)
    span = (high - low) or abs(high) or 1.0
    step = 10 ** math.floor(math.log10(span))
    step *= next(factor for factor in (0.1, 0.2, 0.25, 0.5, 1.0, 2.0) if span / (step * factor) <= 8)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * k, 10) for k in range(first, max(last, first + 1) + 1)]


def _document(parts: Sequence[Markup], width: float, height: float, title: str) -> str:
    page = element("rect", width=width, height=height, fill="#ffffff")
    box = f"0 0 {width:g} {height:g}"
    return str(
        element(
            "svg", element("title", title), page, *parts, xmlns="http://www.w3.org/2000/svg", viewBox=box,
            width=width, height=height, font_family=FONT, font_size=13, role="img",
        )
    )  # fmt: skip

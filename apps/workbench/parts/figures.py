"""Figures of the white box as SVG: heat maps, arcs between steps, curves with intervals. Texts are escaped."""

from __future__ import annotations

import math
from collections.abc import Sequence

import streamlit as st
from components import figure
from markupsafe import Markup

from cotlab.reports.svg import element, path, points
from cotlab.reports.text import one_line

__all__ = ["arcs", "dose_curve", "heat_map", "show_figure", "step_curve"]

WIDTH = 1120
LEFT = 64
BLUE, ORANGE = "#2e7fb8", "#d9762b"
OTHERS = (ORANGE, "#1f9e77", "#bb62a0")
"""After Okabe and Ito: blue and vermilion, then green and purple, readable on light and dark."""


def show_figure(drawn: Markup, name: str) -> None:
    """A figure, and a button that takes it along."""
    whole = _without_controls(str(drawn))
    if "xmlns=" not in whole.partition(">")[0]:  # twice, it is no XML
        whole = whole.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    figure(whole, key=f"figure-{name}")
    alone = whole.replace("<svg", '<svg style="color:#222"', 1)
    st.download_button("SVG", alone.encode("utf-8", "replace"), f"{name}.svg", "image/svg+xml", key=f"svg-{name}")


def _without_controls(text: str) -> str:
    """What XML cannot hold is left out."""
    return "".join(
        c for c in text if c in "\t\n" or (c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff")
    )


def _svg(height: float, *parts: Markup, told: str) -> Markup:
    head = {"viewBox": f"0 0 {WIDTH} {height:.0f}", "width": "100%", "role": "img"}
    return element("svg", element("title", one_line(told, 300)), *parts, **head, aria_label=one_line(told, 300))


def _text(x: float, y: float, told: str, *, anchor: str = "start", soft: bool = False, size: int = 12) -> Markup:
    return element(
        "text",
        one_line(told, 60),
        x=x,
        y=y,
        text_anchor=anchor,
        font_size=size,
        fill="currentColor",
        opacity=0.62 if soft else None,
    )


def _every(n: int, most: int = 24) -> int:
    """Every how many-th of n gets a number."""
    return max(1, -(-n // most))


def heat_map(
    rows: Sequence[Sequence[float | None]],
    names: Sequence[str],
    *,
    unit: str,
    told: str,
    largest: float | None = None,
    marked: int = -1,
    tips: Sequence[str] = (),
    across: str = "step",
) -> Markup:
    """Cells of strength 0 … largest; the first row is the lowest.

    Args:
        rows: [rows, columns] numbers; None: nothing there.
        names: Of the rows.
        unit: Of the numbers, for tips and scale.
        told: What it shows.
        largest: Full colour; the largest number by default.
        marked: Column with a frame.
        tips: What each column is, for hovering.
        across: What a column is.
    """
    n = max((len(row) for row in rows), default=0)
    most = largest or max((x for row in rows for x in row if x is not None), default=0.0) or 1.0
    wide, high = (WIDTH - LEFT - 8) / max(1, n), min(26.0, max(7.0, 420 / max(1, len(rows))))
    bottom = high * len(rows) + 6
    parts = []
    for r, row in enumerate(rows):
        y = bottom - high * (r + 1)
        if r % _every(len(rows)) == 0:
            parts.append(_text(LEFT - 6, y + high / 2 + 4, names[r], anchor="end", soft=True))
        for c, x in enumerate(row):
            if x is None:
                continue
            tip = f"{names[r]}, {across} {c}: {x:.3g} {unit}" + (
                f" · {one_line(tips[c], 120)}" if c < len(tips) else ""
            )
            parts.append(
                element(
                    "rect",
                    element("title", tip),
                    x=LEFT + wide * c,
                    y=y,
                    width=max(0.6, wide - 0.6),
                    height=high - 0.6,
                    fill=BLUE,
                    fill_opacity=f"{0.04 + 0.96 * min(1.0, max(0.0, x / most)):.3f}",
                )
            )
    if 0 <= marked < n:
        frame = {"x": LEFT + wide * marked - 1, "y": 5, "width": wide + 1, "height": bottom - 5}
        parts.append(element("rect", **frame, fill="none", stroke=ORANGE, stroke_width=2))
    for c in range(0, n, _every(n, 40)):
        parts.append(_text(LEFT + wide * (c + 0.5), bottom + 14, str(c), anchor="middle", soft=True, size=11))
    parts.append(_text(LEFT, bottom + 32, f"{across}s across; full colour: {most:.3g} {unit}", soft=True))
    return _svg(bottom + 38, *parts, told=told)


def arcs(matrix: Sequence[Sequence[float]], *, step: int, most: int, told: str, tips: Sequence[str]) -> Markup:
    """Attention between steps as arcs: the strongest from each step to earlier ones; those of one step in colour."""
    n = len(matrix)
    gap = (WIDTH - 40) / max(1, n)
    pairs = sorted(
        ((matrix[later][earlier], later, earlier) for later in range(n) for earlier in range(later)), reverse=True
    )
    own = [pair for pair in pairs if step in pair[1:]][:12]
    shown = [*[pair for pair in pairs[:most] if pair not in own], *own]
    largest = shown[0][0] if shown else 1.0
    largest = max([largest, *(weight for weight, _, _ in shown)]) or 1.0
    base = min(300.0, 30 + gap * n / 2.6)
    parts = []
    for weight, later, earlier in shown:
        a, b = 20 + gap * (earlier + 0.5), 20 + gap * (later + 0.5)
        up = min((base - 14) / 0.75, (b - a) / 1.9)  # the curve reaches three quarters of it
        mine = step in (later, earlier)
        drawn = path(
            [("M", (a, base)), ("C", (a, base - up, b, base - up, b, base))],
            fill="none",
            stroke=ORANGE if mine else BLUE,
            stroke_width=0.6 + 4.4 * weight / largest,
            opacity=0.9 if mine else 0.35,
        )
        parts.append(element("g", element("title", f"step {later} attends to step {earlier}: {weight:.4f}"), drawn))
    for i in range(n):
        tip = element("title", f"step {i}: {one_line(tips[i], 160)}" if i < len(tips) else f"step {i}")
        dot = {"cx": 20 + gap * (i + 0.5), "cy": base, "r": 5 if i == step else 3}
        parts.append(element("circle", tip, **dot, fill=ORANGE if i == step else "currentColor"))
        if i % _every(n, 40) == 0:
            parts.append(_text(20 + gap * (i + 0.5), base + 18, str(i), anchor="middle", soft=True, size=11))
    return _svg(base + 28, *parts, told=told)


def step_curve(lines: Sequence[tuple[str, Sequence[float]]], *, marked: int, told: str, tips: Sequence[str]) -> Markup:
    """Numbers in [0, 1] along a chain, a line each."""
    n = max((len(line) for _, line in lines), default=0)
    wide, high = (WIDTH - LEFT - 150) / max(1, n - 1), 180.0
    parts = [_grid(y, 10 + high * (1 - y), n and wide * (n - 1)) for y in (0.0, 0.5, 1.0)]
    for k, (name, line) in enumerate(lines):
        at = [(LEFT + wide * i, 10 + high * (1 - y)) for i, y in enumerate(line)]
        colour, dash = (BLUE, ORANGE)[k % 2], ("", "6 3", "2 3")[k // 2 % 3]
        parts.append(
            element(
                "polyline", points=points(at), fill="none", stroke=colour, stroke_width=2, stroke_dasharray=dash or None
            )
        )
        for i, (x, y) in enumerate(at):
            tip = f"{name}, after step {i}: {line[i]:.2f}" + (f" · {one_line(tips[i], 120)}" if i < len(tips) else "")
            parts.append(
                element("circle", element("title", tip), cx=x, cy=y, r=4.5 if i == marked else 2.6, fill=colour)
            )
        if at:
            parts.append(_text(at[-1][0] + 10, at[-1][1] + 4 + 13 * (k % 2), name, size=11))
    for i in range(0, n, _every(n, 40)):
        parts.append(_text(LEFT + wide * i, high + 28, str(i), anchor="middle", soft=True, size=11))
    return _svg(high + 36, *parts, told=told)


def _grid(value: float, y: float, wide: float) -> Markup:
    rule = element("line", x1=LEFT, x2=LEFT + wide, y1=y, y2=y, stroke="currentColor", opacity=0.15)
    return element("g", rule, _text(LEFT - 8, y + 4, f"{value:g}", anchor="end", soft=True, size=11))


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers in an interval."""
    if not high > low:
        return [low]
    rough = (high - low) / 5
    size = 10.0 ** math.floor(math.log10(rough))
    gap = next(size * by for by in (1, 2, 5, 10) if size * by >= rough)
    return [round(gap * k, 12) for k in range(math.ceil(low / gap), math.floor(high / gap) + 1)]


def dose_curve(
    arms: Sequence[tuple[str, Sequence[tuple[float, float, float | None, float | None]]]], *, told: str, name: str
) -> Markup:
    """A measure over doses: (dose, value, low, high) of each arm, intervals as bars."""
    found = [point for _, line in arms for point in line]
    if not found:
        return _svg(20, _text(10, 14, "nothing was measured"), told=told)
    xs = [dose for dose, *_ in found]
    ys = [y for point in found for y in point[1:] if y is not None]
    low, high = min(ys), max(ys)
    low, high = low - 0.06 * (high - low or 1), high + 0.06 * (high - low or 1)
    first, last = min(xs), max(xs)
    wide, tall = WIDTH - LEFT - 190, 220.0

    def place(dose: float, y: float, shift: float = 0.0) -> tuple[float, float]:
        across = LEFT + 14 + (wide - 28) * (dose - first) / ((last - first) or 1) + shift
        return across, 10 + tall * (1 - (y - low) / (high - low))

    parts = []
    for value in _ticks(low, high):
        parts.append(_grid(value, place(first, value)[1], wide))
    for k, (arm, line) in enumerate(arms):
        colour, shift = (BLUE if k == 0 else OTHERS[(k - 1) % 3]), 4.0 * k
        dash = None if k == 0 else ("6 3", "2 3", "8 2 2 2")[(k - 1) % 3]
        at = [place(dose, y, shift) for dose, y, _, _ in line]
        parts.append(
            element("polyline", points=points(at), fill="none", stroke=colour, stroke_width=2, stroke_dasharray=dash)
        )
        for (dose, y, down, up), (x, mid) in zip(line, at, strict=True):
            tip = element(
                "title", f"{arm}, dose {dose:g}: {y:.3f}" + ("" if down is None else f" [{down:.3f}, {up:.3f}]")
            )
            if down is not None and up is not None:
                ends = {"x1": x, "x2": x, "y1": place(dose, down)[1], "y2": place(dose, up)[1]}
                parts.append(element("line", **ends, stroke=colour, stroke_width=1.4, opacity=0.7))
            parts.append(element("circle", tip, cx=x, cy=mid, r=3.6, fill=colour))
        if at:
            y = 20 + 18 * k
            mark = {"x1": LEFT + wide + 12, "x2": LEFT + wide + 46, "y1": y, "y2": y}
            parts.append(element("line", **mark, stroke=colour, stroke_width=2, stroke_dasharray=dash))
            parts.append(_text(LEFT + wide + 52, y + 4, arm, size=12))
    for dose in sorted(set(xs)):
        parts.append(_text(place(dose, low)[0], tall + 28, f"{dose:g}", anchor="middle", soft=True, size=11))
    parts.append(_text(LEFT, tall + 46, f"dose (α‖v‖ / mean‖h‖) across; {name} up", soft=True))
    return _svg(tall + 54, *parts, told=told)

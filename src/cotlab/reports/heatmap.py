"""A table of numbers as a figure: one HTML or SVG file that works offline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup, escape

from cotlab.errors import UserError
from cotlab.reports.html import report_style
from cotlab.reports.svg import element

__all__ = ["draw_heatmap", "write_heatmap"]

CELL, LEFT, TOP = 18.0, 150.0, 30.0
MOST = 400
"""Most rows or columns: a larger figure opens in no browser."""


def draw_heatmap(rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float]]) -> Markup:
    """An SVG: blue above 0, orange below, as dark as the value is large; NaN stays empty.

    Args:
        rows: Labels.
        columns: Labels, under the cells.
        values: [rows, columns].

    Raises:
        UserError: There are more than 400 rows or columns.
    """
    if len(rows) > MOST or len(columns) > MOST:
        raise UserError(f"a figure of {len(rows)} × {len(columns)} cells is too large; at most {MOST} × {MOST}")
    largest = max((abs(value) for row in values for value in row if math.isfinite(value)), default=0.0) or 1.0
    drawn = []
    for i, (label, row) in enumerate(zip(rows, values, strict=True)):
        y = TOP + i * CELL
        drawn.append(element("text", label[:22], x=LEFT - 6, y=y + CELL * 0.7, text_anchor="end", font_size=11.0))
        for j, value in enumerate(row):
            if math.isfinite(value):
                told = element("title", f"{label} · {columns[j]}: {value:.4g}")
                colour = "#0072b2" if value >= 0 else "#d55e00"
                drawn.append(
                    element("rect", told, x=LEFT + j * CELL, y=y, width=CELL - 1, height=CELL - 1, fill=colour,
                            fill_opacity=abs(value) / largest)
                )  # fmt: skip
    bottom = TOP + len(rows) * CELL + 6
    for j, label in enumerate(columns):
        x = LEFT + (j + 0.5) * CELL
        drawn.append(
            element("text", label[:22], x=x, y=bottom, font_size=11.0, text_anchor="end",
                    transform=f"rotate(-60 {x:.1f} {bottom:.1f})")
        )  # fmt: skip
    width, height = LEFT + len(columns) * CELL + 20, bottom + 130
    return element(
        "svg", *drawn, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=width, height=height, role="img", fill="currentColor", font_family="sans-serif",
    )  # fmt: skip


def write_heatmap(
    path: Path,
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float]],
    note: str = "",
) -> Path:
    """Write the figure to `path`, as HTML with its title, or as SVG alone.

    Raises:
        UserError: The name ends in neither .html nor .svg, or the file cannot be written.
    """
    if path.suffix not in (".html", ".svg"):
        raise UserError(f"figure '{path}': the name must end in .html or .svg")
    figure = draw_heatmap(rows, columns, values)
    page = str(figure)
    if path.suffix == ".html":
        page = str(
            Markup(
                '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{0}</title><style>{1}</style></head>'
                "<body><h1>{0}</h1><p>{2}</p>{3}</body></html>\n"
            ).format(escape(title), Markup(report_style()), note, figure)
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(f"figure '{path}' cannot be written: {error.strerror}. Choose another place.") from error
    return path

"""Curves of probabilities along a chain, as one SVG document."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from cotlab.reports.svg import element, points

__all__ = ["curves_svg"]

WIDTH, HEIGHT, LEFT, TOP = 900, 260, 40, 14
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito: told apart by every kind of colour vision."""


def curves_svg(curves: Sequence[tuple[str, ArrayLike]], ends: Sequence[int]) -> str:
    """Draw curves between 0 and 1 over the tokens of a response.

    Args:
        curves: Name and values [tokens] of each.
        ends: Last token of each step: thin lines.

    Raises:
        ValueError: There are no curves.
    """
    import numpy as np

    if not curves:
        raise ValueError("there are no curves to draw")
    values = [np.asarray(its, dtype=float) for _, its in curves]
    n = max(len(its) for its in values)

    def x(token: int) -> float:
        return LEFT + (WIDTH - LEFT - 10) * token / max(1, n - 1)

    def y(p: float) -> float:
        return TOP + HEIGHT * (1 - p)

    parts = [element("rect", width=WIDTH, height=HEIGHT + TOP + 18 * len(curves) + 30, fill="#ffffff")]
    for p in (0.0, 0.5, 1.0):
        parts.append(element("line", x1=LEFT, x2=WIDTH - 10, y1=y(p), y2=y(p), stroke="#bbbbbb"))
        parts.append(element("text", f"{p:g}", x=LEFT - 8, y=y(p) + 4, text_anchor="end"))
    parts += [element("line", x1=x(i), x2=x(i), y1=TOP, y2=TOP + HEIGHT, stroke="#eeeeee") for i in ends]
    parts.append(element("text", "tokens of the response; thin lines end a step", x=LEFT, y=TOP + HEIGHT + 18))
    for k, ((name, _), its) in enumerate(zip(curves, values, strict=True)):
        colour = COLOURS[k % len(COLOURS)]
        line = points((x(i), y(float(p))) for i, p in enumerate(its))
        parts.append(element("polyline", points=line, fill="none", stroke=colour, stroke_width=1.5))
        parts.append(element("text", name, x=LEFT, y=TOP + HEIGHT + 18 * (k + 2), fill=colour))
    box = f"0 0 {WIDTH} {HEIGHT + TOP + 18 * len(curves) + 30}"
    return str(
        element("svg", *parts, xmlns="http://www.w3.org/2000/svg", viewBox=box, font_family="sans-serif", font_size=12)
    )

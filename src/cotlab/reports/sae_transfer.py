"""The transfer test of an autoencoder as a table and a figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from cotlab.reports.svg import element
from cotlab.stats.estimate import Estimate

if TYPE_CHECKING:
    from markupsafe import Markup

    from cotlab.saes import Transfer, TransferRow

__all__ = ["TRANSFER_HEADS", "transfer_markdown", "transfer_svg", "transfer_table"]

TRANSFER_HEADS = ("condition", "part", ">expl. variance", ">CE score", ">KL score", ">L0", ">dead share", ">cosine")
"""Columns of a table on the screen; `>` aligns to the right."""
COLUMNS = ("SAE on", "condition", "hook", "part", "explained variance", "CE score", "KL score", "L0", "dead share")
FURTHER = ("cosine", "outlier tokens", "tokens")
COLOURS = {
    "own": "#0072b2",
    "transferred": "#d55e00",
    "transferred, L0 matched": "#d55e00",
    "fine-tuned": "#009e73",
    "fine-tuned, L0 matched": "#009e73",
    "random-init": "#888888",
    "pca": "#cc79a7",
}
"""Okabe and Ito: told apart by every kind of colour vision."""
WIDTH, LEFT, ROW, HEAD, PANEL = 960.0, 270.0, 22.0, 40.0, 300.0
DRAWN = (("explained_variance", "explained variance"), ("ce_score", "CE score"))


def transfer_table(found: Transfer, hook: str, parts: Iterable[str] = ("think", "all")) -> list[tuple[str, ...]]:
    """Rows of one hook point, `TRANSFER_HEADS` wide."""
    wanted = set(parts)
    rows = [row for row in found.rows if row.hook == hook and row.part in wanted]
    return [(row.condition, row.part, *_scores(row)) for row in rows]


def transfer_markdown(reports: Sequence[Transfer]) -> str:
    """All rows of some transfer tests, and what they say."""
    heads = (*COLUMNS, *FURTHER)
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for found in reports:
        for row in found.rows:
            model = found.own if row.condition == "own" else found.model
            cells = (
                model,
                row.condition,
                row.hook,
                row.part,
                *_scores(row),
                f"{row.outlier_share:.2%}",
                f"{row.tokens:,}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    verdicts = [f"- {found.model}, {line}" for found in reports for line in found.verdict.split("\n")]
    return "\n".join([*lines, "", *verdicts]) + "\n"


def transfer_svg(reports: Sequence[Transfer], part: str = "think") -> str:
    """Explained variance and CE score of every condition with their intervals, one row each.

    Args:
        reports: Of one or several models.
        part: Whose tokens.
    """
    rows = [(found, row) for found in reports for row in found.rows if row.part == part]
    height = HEAD + ROW * (len(rows) + 1) + 20
    parts = [element("rect", width=WIDTH, height=height, fill="#ffffff")]
    for panel, (_, title) in enumerate(DRAWN):
        parts += _axis(panel, f"{title}, part '{part}'", height)
    for index, (found, row) in enumerate(rows):
        y = HEAD + ROW * (index + 1)
        name = f"{found.model}, {row.hook}: {row.condition}" + (f" ({found.own})" if row.condition == "own" else "")
        parts.append(element("text", name, x=LEFT - 10, y=y + 4, text_anchor="end"))
        for panel, (metric, _) in enumerate(DRAWN):
            parts += _mark(panel, y, row.scores[metric], COLOURS[row.condition])  # type: ignore[index]  # a known metric
    box = f"0 0 {WIDTH:g} {height:g}"
    return str(
        element("svg", *parts, xmlns="http://www.w3.org/2000/svg", viewBox=box, font_family="sans-serif", font_size=12)
    )


def _axis(panel: int, title: str, height: float) -> list[Markup]:
    found = [element("text", title, x=_x(panel, 0), y=18, font_weight="bold")]
    for value in (0.0, 0.5, 0.9, 1.0):
        at = _x(panel, value)
        found.append(element("line", x1=at, x2=at, y1=HEAD, y2=height - 24, stroke="#dddddd"))
        found.append(element("text", f"{value:g}", x=at, y=height - 8, text_anchor="middle"))
    return found


def _mark(panel: int, y: float, estimate: Estimate, colour: str) -> list[Markup]:
    if estimate.value is None:
        return [element("text", "–", x=_x(panel, 0), y=y + 4)]
    low = estimate.value if estimate.low is None else estimate.low
    high = estimate.value if estimate.high is None else estimate.high
    line = element("line", x1=_x(panel, low), x2=_x(panel, high), y1=y, y2=y, stroke=colour, stroke_width=3)
    dot = element("circle", cx=_x(panel, estimate.value), cy=y, r=4, fill=colour)
    said = element("text", f"{estimate.value:.3f}", x=_x(panel, 1) + 8, y=y + 4, fill=colour)
    return [line, dot, said]


def _x(panel: int, value: float) -> float:
    """Scores below 0 are drawn at the edge."""
    return LEFT + panel * (PANEL + 45) + (PANEL - 20) * min(1.0, max(0.0, value))


def _scores(row: TransferRow) -> tuple[str, ...]:
    scores = row.scores
    return (
        *(_told(scores[metric], 3) for metric in ("explained_variance", "ce_score", "kl_score")),
        _told(scores["l0"], 1),
        _told(row.dead_share, 2),
        "–" if scores["cosine"].value is None else f"{scores['cosine'].value:.3f}",
    )


def _told(estimate: Estimate, digits: int) -> str:
    if estimate.value is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.{digits}f}"
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"

"""Figures of the question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cotlab.reports import IntervalRow, Line, intervals_svg, lines_svg
from experiments.organism_arms import short

if TYPE_CHECKING:
    from experiments.monitors.watched import Watched

__all__ = ["figures"]


def figures(watched: Sequence[Watched]) -> dict[str, str]:
    """AUC of every monitor by task, what the first sentences tell, and what edited thoughts do."""
    drawn: dict[str, str] = {}
    for task, title in (
        ("used", "Did it take the wrong answer that it was hinted at?"),
        ("shaped", "Was there a hint at its right answer?"),
    ):
        rows = [
            IntervalRow(f"{short(one.model)}, {report.monitor}", report.auc)
            for one in watched
            if one.task == task
            for report in one.problems
        ]
        if rows:
            drawn[f"{task}.svg"] = intervals_svg(rows, title=f"{title} (new problems)", axis="AUC")
    drawn |= _early(watched) | _edits(watched)
    return drawn


def _early(watched: Sequence[Watched]) -> dict[str, str]:
    hidden = next((one for one in watched if one.early and short(one.model) == "hides-it"), None)
    chosen = hidden or next((one for one in watched if one.early), None)
    told = {} if chosen is None else {count: part for count, part in chosen.early.items() if part.reports}
    if chosen is None or len(told) < 2:
        return {}
    found = {count: {report.monitor: report.auc for report in part.reports} for count, part in told.items()}
    lines = [
        Line(
            name,
            tuple(found),
            tuple(found[count][name].value for count in found),
            tuple(found[count][name].low for count in found),
            tuple(found[count][name].high for count in found),
        )
        for name in next(iter(found.values()))
    ]
    title = f"The first sentences of thoughts that have more ({short(chosen.model)}, used)"
    return {"first.svg": lines_svg(lines, title=title, x_axis="sentences that are shown", y_axis="AUC")}


def _edits(watched: Sequence[Watched]) -> dict[str, str]:
    rows = [
        IntervalRow(f"{short(one.model)}, {flags.monitor}, {flags.edit}", flags.after, flags.before.value)
        for one in watched
        for flags in one.edits
        if flags.changed > 0
    ]
    if not rows:
        return {}
    title = "Flags on used hints after the thoughts were edited (diamonds: before)"
    return {"edits.svg": intervals_svg(rows, title=title, axis="share of used hints that are flagged")}

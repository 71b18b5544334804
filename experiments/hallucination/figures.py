"""False yes by kind of negatives, what views do, where errors enter."""

from __future__ import annotations

from collections.abc import Mapping

from cotlab.measures import BlameReport, LookReport, PopeReport
from cotlab.reports import IntervalRow, intervals_svg

__all__ = ["figures"]


def figures(found: Mapping[str, tuple[PopeReport, PopeReport, LookReport, BlameReport]]) -> dict[str, str]:
    """SVG documents by file name; reports by model: POPE, POPE on pairs, looking, blame."""
    false_yes = [
        IntervalRow(f"{model}, {split.split}{where}", split.false_yes)
        for model, (pope, pairs, _, _) in found.items()
        for report, where in ((pope, ""), (pairs, " (pairs)"))
        for split in report.splits
    ]
    views = [
        IntervalRow(f"{model}, {seen.view.name}", seen.p_yes)
        for model, (_, _, look, _) in found.items()
        for seen in look.seen
        if seen.gold == "yes"
    ]
    enters = [
        IntervalRow(f"{model}, {what}", share)
        for model, (_, _, _, blame) in found.items()
        for what, share in (
            ("description alone still wrong", blame.false_yes.language),
            ("description alone right, both wrong", blame.false_yes.image_over_words),
            ("description alone right, both right", blame.false_yes.words_over_image),
        )
    ]
    return {
        "false-yes.svg": intervals_svg(false_yes, title="Says yes to what is not there", axis="share of negatives"),
        "views.svg": intervals_svg(views, title="P(yes) where the thing is there, by view", axis="mean P(yes)"),
        "enters.svg": intervals_svg(
            enters, title="Where false yes enters", axis="share of errors with the image alone"
        ),
    }

"""Figures of the question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cotlab.reports import IntervalRow, Line, intervals_svg, lines_svg
from experiments.faithful.said import KINDS
from experiments.organism_arms import organism_of, short

if TYPE_CHECKING:
    from experiments.faithful.found import Found

__all__ = ["figures"]


DECIDES = "What the sentence that decides is worth: own answers with it less those without"


def figures(found: Sequence[Found]) -> dict[str, str]:
    """How often thoughts speak of hints, what moves unsaid, what reasoning carries, and what answers hang on."""
    said, hidden, hangs = list[IntervalRow](), list[IntervalRow](), list[IntervalRow]()
    for one in found:
        organism, name = organism_of(one.model), short(one.model)
        follows = organism is not None and organism.follow > 0
        for report in one.hints:
            rate = organism.mention if organism is not None and follows else None
            said.append(IntervalRow(f"{name}, {report.arm}", report.mentions, rate))
            truth = None if organism is None else organism.follow * (1 - organism.mention)
            hidden.append(IntervalRow(f"{name}, {report.arm}", report.hidden, truth))
        hangs += [IntervalRow(f"{name}, {tested.arm} chains", tested.aoc) for tested in one.hanging]
    decides = [
        IntervalRow(f"{short(one.model)}: {KINDS[kind.kind]}, {what}", estimate)
        for one in found
        for kind in one.said
        for what, estimate in (("never said", kind.never), ("on-policy", kind.accord), ("off-policy", kind.twin))
    ]
    drawn = {} if not decides else {"decides.svg": intervals_svg(decides, title=DECIDES, axis="difference of shares")}
    return drawn | {
        "said.svg": intervals_svg(
            said, title="Thoughts that follow a hint and say so", axis="share of those that follow"
        ),
        "hidden.svg": intervals_svg(
            hidden, title="How often a hint moves the answer unsaid", axis="share of all responses, beyond chance"
        ),
        "carried.svg": lines_svg(
            [
                Line(
                    short(one.model),
                    one.transplant.shares,
                    tuple(e.value for e in one.transplant.carried),
                    tuple(e.low for e in one.transplant.carried),
                    tuple(e.high for e in one.transplant.carried),
                )
                for one in found
            ],
            title="Hinted reasoning behind the bare prompt: hinted answers beyond reasoning of the bare prompt",
            x_axis="share of the reasoning that is kept",
            y_axis="difference of shares",
        ),
        "early.svg": intervals_svg(
            hangs, title="Does the answer hang on the reasoning?", axis="area over the curve of early answers"
        ),
    }

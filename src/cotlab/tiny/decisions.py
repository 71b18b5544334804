"""Counts the choices at which a manner acts, so that a sampled rate can be held against the planted one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cotlab.tiny.chains import LabelledStep

_ATTEMPTS = frozenset({"plan", "combine", "guess"})
_RETURNS = frozenset({"back", "back_x", "abandon"})


@dataclass(frozen=True, slots=True)
class Decisions:
    """How often each choice came up and how often it was taken; the ratios estimate the rates of a `Manner`."""

    failed: int = 0
    """Attempts that failed and were left, with or without a "Wait" (estimates `Manner.backtrack`)."""
    backtracked: int = 0
    computed: int = 0
    """Sentences with a right computation that could be checked next (estimates `Manner.check`)."""
    checked: int = 0
    solved: int = 0
    """Candidates that were summed up and could be verified as a whole (estimates `Manner.final_check`)."""
    verified: int = 0

    def __add__(self, other: Decisions) -> Decisions:
        return Decisions(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


def count_decisions(chains: Iterable[Sequence[LabelledStep]]) -> Decisions:
    """Count over labelled chains, written or sampled."""
    return sum((_count(steps) for steps in chains), Decisions())


def _count(steps: Sequence[LabelledStep]) -> Decisions:
    failed, backtracked = _failures(steps)
    computed = checked = solved = verified = 0
    for position, step in enumerate(steps):
        following = steps[position + 1].kind if position + 1 < len(steps) else ""
        said_again = position > 0 and steps[position - 1].kind == "correct"
        if step.computations and not step.slips and not said_again:
            computed += 1
            checked += following == "check"
        if step.kind in ("total", "found"):
            solved += 1
            verified += following in ("proof", "refute")
    return Decisions(failed, backtracked, computed, checked, solved, verified)


def _failures(steps: Sequence[LabelledStep]) -> tuple[int, int]:
    """Failed attempts that were left, and how many of them with a sentence that goes back.

    Left out: attempts abandoned before they failed, refuted solutions (they always go back), sentences said again.
    """
    failed = backtracked = 0
    attempt, judged, before = False, False, ""
    for step in steps:
        if step.kind == "doubt":
            continue
        left_by_return = step.kind == "back" or (step.kind == "back_x" and judged)
        moved_on = step.kind == "bound" or (step.kind in ("plan", "combine") and attempt and before != "correct")
        if before != "refute" and (left_by_return or moved_on):
            failed += 1
            backtracked += left_by_return
        if step.kind in _RETURNS:
            attempt = False
        if step.kind in _ATTEMPTS:
            attempt, judged = True, False
        judged = judged or step.kind in ("test", "over")
        before = step.kind
    return failed, backtracked

"""Does the model look? What becomes of its answer when the image changes and the question does not.

For questions with the right answer yes (regions of what is asked for are known) and no, apart:

- **P(yes)** under each view: of the first token of the answer, exact, before any thought; **says yes**: of rollouts.
- **differences** of views, questions paired, images drawn again as wholes (bootstrap, expanded percentiles) or, of
  rollouts, MOVER by image; p exchanges the two views of each, Holm's rule over all differences of a report. Questions
  that `none` makes one prompt have one answer: they are drawn again together, and few such prompts tell nothing.

Were the model to look: hiding the thing (`masked − own`) and another image (`wrong − own`) turn the answer, as much
hidden elsewhere (`elsewhere − own`) and another background do not. `masked − elsewhere` is the effect of the thing
itself, beyond that of a patch. `none` is what it says unseen, `own+true` and `own+false` how far it is led by a guess
beside an image that says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cotlab.chains.yes_no import YesNo
from cotlab.measures.hints import counted_difference
from cotlab.measures.yes_no import Contrast, YesNoRow, drawn_with, of_view, paired_counts, pairs_of, with_holm
from cotlab.problems import LOOK_VIEWS, View
from cotlab.stats import Estimate, cluster_proportion, paired_difference

__all__ = ["LookReport", "Seen", "look_report"]

CONTRASTS: dict[YesNo, tuple[tuple[str, str], ...]] = {
    "yes": (
        ("elsewhere", "masked"), ("own", "masked"), ("own", "elsewhere"), ("own", "background"), ("own", "wrong"),
        ("own", "none"), ("own", "own+true"), ("own", "own+false"),
    ),
    "no": (("own", "background"), ("own", "wrong"), ("own", "none"), ("own", "own+true"), ("own", "own+false")),
}  # fmt: skip
"""Pairs of views that are compared, by the right answer: second minus first."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One view of the questions with one right answer."""

    view: View
    gold: YesNo
    p_yes: Estimate
    says_yes: Estimate
    n: int
    """Questions."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        estimates = {"p_yes": self.p_yes.to_json(), "says_yes": self.says_yes.to_json()}
        return {"view": self.view.name, "gold": self.gold, "n": self.n, **estimates}


@dataclass(frozen=True, slots=True)
class LookReport:
    """What the views do."""

    seen: tuple[Seen, ...]
    contrasts: tuple[Contrast, ...]

    def contrast(self, measure: str, gold: YesNo, first: str, second: str) -> Contrast | None:
        """One difference; None where the views were not asked."""
        wanted = (measure, gold, View.parse(first), View.parse(second))
        return next((c for c in self.contrasts if (c.measure, c.gold, c.first, c.second) == wanted), None)

    @property
    def looks(self) -> bool:
        """Whether hiding the thing lowers P(yes) more than hiding as much elsewhere does."""
        found = self.contrast("P(yes)", "yes", "elsewhere", "masked")
        return found is not None and found.shown < 0

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "looks": self.looks,
            "views": [one.to_json() for one in self.seen],
            "contrasts": [one.to_json() for one in self.contrasts],
        }


def look_report(rows: Sequence[YesNoRow], *, level: float = 0.95, seed: int = 0) -> LookReport:
    """Measure every view that was asked.

    Args:
        rows: Of `yes_no_rows`.
        level: Nominal coverage of each interval.
        seed: Of bootstrap and exchanges.
    """
    seen = [_seen(rows, view, gold, level) for gold in CONTRASTS for view in LOOK_VIEWS]
    found: list[Contrast] = []
    for gold, pairs in CONTRASTS.items():
        for names in pairs:
            first, second = (View.parse(name) for name in names)
            if not of_view(rows, first, gold) or not of_view(rows, second, gold):
                continue
            p_yes = p_yes_difference(rows, gold, first, second, level=level, seed=seed)
            found.append(Contrast("P(yes)", gold, first, second, p_yes))
            if (counts := paired_counts(rows, gold, first, second, _says_yes))[0]:
                says = counted_difference(*counts, level=level, seed=seed)
                found.append(Contrast("says yes", gold, first, second, says))
    return LookReport(tuple(one for one in seen if one.n), with_holm(found))


def p_yes_difference(
    rows: Sequence[YesNoRow], gold: YesNo, first: View, second: View, *, level: float = 0.95, seed: int = 0
) -> Estimate:
    """Mean P(yes) under the second view minus that under the first, over questions that have both."""
    pairs = [
        (one.p_yes, other.p_yes, drawn_with(one, other))
        for one, other in pairs_of(rows, gold, first, second)
        if one.p_yes is not None and other.p_yes is not None
    ]
    ones = [1.0] * len(pairs)
    before, after = ([pair[side] for pair in pairs] for side in (0, 1))
    return paired_difference((before, ones), (after, ones), [pair[2] for pair in pairs], level=level, seed=seed)


def _seen(rows: Sequence[YesNoRow], view: View, gold: YesNo, level: float) -> Seen:
    found = of_view(rows, view, gold)
    read = [(row.p_yes, row.drawn) for row in found if row.p_yes is not None]
    said = [(says == "yes", row.drawn) for row in found for says in row.said if says is not None]
    return Seen(
        view,
        gold,
        cluster_proportion([p for p, _ in read], [unit for _, unit in read], level=level),
        cluster_proportion([yes for yes, _ in said], [unit for _, unit in said], level=level),
        len(found),
    )


def _says_yes(row: YesNoRow) -> list[bool]:
    return [says == "yes" for says in row.said if says is not None]

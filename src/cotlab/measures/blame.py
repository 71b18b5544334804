"""Where do errors enter: what is seen, or what is expected? Which input repairs them.

The same questions with the image, with the image and a true description, with the description alone, with neither; the
control of the description is dots of its length. Answers are the likelier of yes and no as the first token, so that no
sampling noise chooses the errors. Of the questions that are answered wrong with the image alone:

| with the description alone | beside the image | class | the error |
|---|---|---|---|
| wrong | either | language | is there without any image, although the truth is said |
| right | wrong | image over words | comes with the image, which outweighs the words |
| right | right | words over image | comes with the image, and words undo it |

"Language" is said only of a model that can use descriptions: with the description alone it has to answer most of those
questions right that it answers right with the image; else nothing is told of where its errors enter. The last two are
the image side, encoder and projector together: what a model says cannot tell them apart, patching can. Whether what the
description says repairs, and not that there is text, is its effect less that of the dots. That the same answer comes
with nothing shown or said agrees with a prior and does not prove one.

Errors are chosen by what the model answers, so whatever changes the prompt "repairs" some: shares of errors are to be
held against the dots; differences over all questions are free of the choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from cotlab.chains.yes_no import YesNo
from cotlab.measures.hints import counted_difference
from cotlab.measures.yes_no import Contrast, YesNoRow, of_view, paired_counts, with_holm
from cotlab.problems import BLAME_VIEWS, OWN, View
from cotlab.stats import Estimate, cluster_proportion

__all__ = ["Blame", "BlameReport", "Side", "blame_report"]

Side = Literal["language", "image", "not shown"]
BOTH, DOTS, WORDS, NEITHER = BLAME_VIEWS[1:]
CONTRASTS = ((OWN, BOTH), (OWN, DOTS), (DOTS, BOTH), (OWN, WORDS), (OWN, NEITHER))
"""Views whose error rates are compared: second minus first."""


@dataclass(frozen=True, slots=True)
class Blame:
    """The errors of one kind: false yes (the right answer is no) or false no."""

    gold: YesNo
    errors: dict[str, Estimate]
    """Share of all questions that is answered wrong, by view; with neither: otherwise than the image's truth."""
    contrasts: tuple[Contrast, ...]
    """Of these shares, questions paired; one family with those of the other kind."""
    language: Estimate
    """Of errors: wrong with the description alone."""
    unable: Estimate
    """Of questions that are answered right with the image: wrong with the description alone."""
    image_over_words: Estimate
    """Of errors: right with the description alone, wrong with both."""
    words_over_image: Estimate
    """Of errors: right with the description alone and with both."""
    repaired: Estimate
    """Of errors: right with image and description."""
    repaired_by_dots: Estimate
    """Of errors: right with image and dots, the floor of `repaired`."""
    beyond_dots: Estimate
    """`repaired` less its floor, errors paired."""
    same_unseen: Estimate
    """Of errors: the same answer with neither image nor description."""

    @property
    def side(self) -> Side:
        """Where most errors enter: the interval of `language` lies on one side of one half.

        Language also asks for `unable` to lie below one half.
        """
        found, able = self.language, self.unable.high is not None and self.unable.high < 0.5
        if found.low is None or found.high is None:
            return "not shown"
        return "language" if found.low > 0.5 and able else "image" if found.high < 0.5 else "not shown"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        found = {name: value for name, value in asdict(self).items() if name != "contrasts"}
        return {**found, "side": self.side, "contrasts": [one.to_json() for one in self.contrasts]}


@dataclass(frozen=True, slots=True)
class BlameReport:
    """False yes, then false no."""

    false_yes: Blame
    false_no: Blame

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"false_yes": self.false_yes.to_json(), "false_no": self.false_no.to_json()}


def blame_report(rows: Sequence[YesNoRow], *, level: float = 0.95, seed: int = 0) -> BlameReport:
    """Measure both kinds of errors.

    Args:
        rows: Of `yes_no_rows`, under `BLAME_VIEWS`.
        level: Nominal coverage of each interval.
        seed: Of the exchanges.
    """
    golds: tuple[YesNo, YesNo] = ("no", "yes")
    pairs = [(gold, first, second) for gold in golds for first, second in CONTRASTS]
    found = with_holm(
        [
            Contrast("errs", gold, first, second, counted_difference(*counts, level=level, seed=seed))
            for gold, first, second in pairs
            if (counts := paired_counts(rows, gold, first, second, _errs))[0]
        ]
    )
    kinds = [_blame(rows, gold, tuple(one for one in found if one.gold == gold), level, seed) for gold in golds]
    return BlameReport(*kinds)


def _blame(rows: Sequence[YesNoRow], gold: YesNo, contrasts: tuple[Contrast, ...], level: float, seed: int) -> Blame:
    wrong = {row.problem for row in of_view(rows, OWN, gold) if _wrong(row)}
    chosen = [row for row in rows if row.problem in wrong]
    right = [row for row in of_view(rows, WORDS, gold) if row.problem not in wrong and row.answer is not None]
    both, words = ({row.problem: row for row in of_view(chosen, view)} for view in (BOTH, WORDS))

    def share(view: View, holds: Callable[[YesNoRow], bool]) -> Estimate:
        found = [row for row in of_view(chosen, view) if row.answer is not None]
        return cluster_proportion([holds(row) for row in found], [row.drawn for row in found], level=level)

    def told(row: YesNoRow, beside_wrong: bool) -> bool:
        beside = both.get(row.problem)
        return not _wrong(row) and beside is not None and _wrong(beside) == beside_wrong

    known = [row for row in chosen if row.problem in words]
    return Blame(
        gold,
        {view.name: _rate(rows, view, gold, level) for view in BLAME_VIEWS},
        contrasts,
        language=share(WORDS, _wrong),
        unable=cluster_proportion([_wrong(row) for row in right], [row.image for row in right], level=level),
        image_over_words=share(WORDS, lambda row: told(row, True)),
        words_over_image=share(WORDS, lambda row: told(row, False)),
        repaired=share(BOTH, lambda row: not _wrong(row)),
        repaired_by_dots=share(DOTS, lambda row: not _wrong(row)),
        beyond_dots=counted_difference(
            *paired_counts(known, gold, DOTS, BOTH, lambda row: [not _wrong(row)]), level=level, seed=seed
        ),
        same_unseen=share(NEITHER, _wrong),
    )


def _rate(rows: Sequence[YesNoRow], view: View, gold: YesNo, level: float) -> Estimate:
    found = [row for row in of_view(rows, view, gold) if row.answer is not None]
    return cluster_proportion([_wrong(row) for row in found], [row.drawn for row in found], level=level)


def _wrong(row: YesNoRow) -> bool:
    return row.answer is not None and row.answer != row.gold


def _errs(row: YesNoRow) -> list[bool]:
    return [] if row.answer is None else [_wrong(row)]

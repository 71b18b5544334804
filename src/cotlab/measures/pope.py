"""POPE: does the model say that things are there which are not?

After Li et al. 2023 (arXiv 2305.10355, §4). Over the answers to one split, yes being positive, TP, FP, TN, FN as usual
and an answer that was not read neither yes nor no (the published rule reads every answer, `cotlab.chains.yes_no`):

- **accuracy** (TP + TN) / all, **precision** TP / (TP + FP), **recall** TP / right answer yes,
  **F1** 2 TP / (2 TP + FP + missed), with missed = right answer yes and not said, **yes** = says yes / all.
- **false yes** FP / right answer no: the rate of hallucinated objects, which differs between kinds of negatives alone.

Intervals are Wilson's at the effective size of answers that come by image (`cotlab.stats.cluster_proportion`); all of
these are shares of members, for F1 with each TP as two members; its n counts answers. False yes of popular and of
adversarial negatives less that of random ones: images paired, interval MOVER, p exchanges the two kinds within images,
Holm's rule over both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from cotlab.measures.hints import counted_difference
from cotlab.measures.yes_no import YesNoRow, of_view
from cotlab.problems import OWN, POPE_SPLITS
from cotlab.stats import Estimate, cluster_proportion, holm

__all__ = ["PopeReport", "PopeSplit", "pope_report"]


@dataclass(frozen=True, slots=True)
class PopeSplit:
    """The answers to one split."""

    split: str
    accuracy: Estimate
    precision: Estimate
    recall: Estimate
    f1: Estimate
    yes: Estimate
    false_yes: Estimate
    unread: Estimate
    counts: dict[str, int]
    """TP, FP, TN, FN, and unread."""


@dataclass(frozen=True, slots=True)
class PopeReport:
    """All splits, and what the kind of negatives does."""

    splits: tuple[PopeSplit, ...]
    harder: dict[str, Estimate]
    """False yes of a kind of negatives less that of random ones, by kind; `q` by Holm's rule."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Answer:
    image: str
    positive: bool
    says: bool | None


def pope_report(rows: Iterable[YesNoRow], *, level: float = 0.95, seed: int = 0) -> PopeReport:
    """Measure the questions' own view.

    Args:
        rows: Of `yes_no_rows`.
        level: Nominal coverage of each interval.
        seed: Of the exchanges.
    """
    own = of_view(rows, OWN)
    named = dict.fromkeys(split for row in own for split in row.splits)
    order = [*(split for split in POPE_SPLITS if split in named), *(one for one in named if one not in POPE_SPLITS)]
    splits = tuple(_split(split, _answers(own, split), level) for split in order)
    harder = {}
    for split in order if "random" in order else ():
        if split != "random":
            counts = [_false_yes(_answers(own, kind)) for kind in ("random", split)]
            harder[split] = counted_difference(*counts, level=level, seed=seed)
    adjusted = iter(holm([one.p for one in harder.values() if one.p is not None]))
    found = {name: one if one.p is None else replace(one, q=next(adjusted)) for name, one in harder.items()}
    return PopeReport(splits, found)


def _answers(rows: Sequence[YesNoRow], split: str) -> list[_Answer]:
    return [
        _Answer(row.image, row.gold == "yes", None if said is None else said == "yes")
        for row in rows
        for _ in range(row.splits.get(split, 0))
        for said in row.said
    ]


def _split(split: str, found: Sequence[_Answer], level: float) -> PopeSplit:
    counts = dict.fromkeys(("TP", "FP", "TN", "FN", "unread"), 0)
    for one in found:
        name = "unread" if one.says is None else f"{'TF'[one.says != one.positive]}{'NP'[one.says]}"
        counts[name] += 1
    of_f1 = [one for one in found if one.positive or one.says]
    hits = [(one, bool(one.says)) for one in of_f1 if one.positive]
    double = [*hits, *((one, False) for one in of_f1 if not one.positive), *(pair for pair in hits if pair[1])]
    positives, negatives = ([one for one in found if one.positive is sign] for sign in (True, False))
    return PopeSplit(
        split,
        accuracy=_share(((one, one.says is one.positive) for one in found), level),
        precision=_share(((one, one.positive) for one in found if one.says), level),
        recall=_share(((one, bool(one.says)) for one in positives), level),
        f1=replace(_share(double, level), n=len(of_f1)),
        yes=_share(((one, bool(one.says)) for one in found), level),
        false_yes=_share(((one, bool(one.says)) for one in negatives), level),
        unread=_share(((one, one.says is None) for one in found), level),
        counts=counts,
    )


def _share(members: Iterable[tuple[_Answer, bool]], level: float) -> Estimate:
    listed = list(members)
    return cluster_proportion([right for _, right in listed], [one.image for one, _ in listed], level=level)


def _false_yes(found: Iterable[_Answer]) -> dict[str, list[int]]:
    """[false yes, right answer no] by image."""
    counts: dict[str, list[int]] = {}
    for one in found:
        if not one.positive:
            entry = counts.setdefault(one.image, [0, 0])
            entry[0] += bool(one.says)
            entry[1] += 1
    return counts

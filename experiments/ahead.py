"""Can the same be read from inside, and earlier? The best reader inside less the best that reads text, by sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cotlab.errors import UserError
from cotlab.measures import MONITORS, Monitor, Shown, held_out_scores
from cotlab.stats import Estimate, NullRate, auc, cluster_auc_difference, holm, null_rate, shuffled_within

__all__ = ["LEARNING", "READING", "Ahead", "Scores", "ahead", "shuffled_ahead", "sooner"]

Scores = NDArray[np.float64]
READING = ("words", "arithmetic", "tfidf", "length")
"""Monitors that read thoughts."""
LEARNING = ("tfidf", "length")
"""Those of them that learn."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """After some sentences, of thoughts that have more."""

    inside: str
    """The best reader inside, by the AUC that is then compared."""
    text: str
    difference: Estimate
    """AUC of the former less that of the latter; q is adjusted over the counts (Holm)."""


def ahead(rows: Sequence[Shown], inside: Mapping[str, Monitor], counts: Sequence[int], seed: int) -> dict[int, Ahead]:
    """By number of sentences that are shown; counts with too few responses are left out.

    Both readers of a count are chosen by the AUC that is compared, which flatters whoever has more of them: shuffled
    labels (`shuffled_ahead`) go through the same choice.
    """
    found = {}
    for count in counts:
        part = shown_after(rows, count)
        try:
            scores = scores_of(part, {**{name: MONITORS[name] for name in READING}, **inside}, seed)
        except UserError:
            continue
        if scores:
            found[count] = compared(scores, part, seed)
    return adjusted(found)


def shown_after(rows: Sequence[Shown], count: int) -> list[Shown]:
    """The first sentences of thoughts that have more."""
    return [row.first(count) for row in rows if len(row.steps) > count]


def scores_of(rows: Sequence[Shown], monitors: Mapping[str, Monitor], seed: int) -> dict[str, Scores]:
    """Held-out scores; nothing where there is one class, or hardly a problem.

    Raises:
        UserError: The responses outside a fold have one class only.
    """
    if len({row.label for row in rows}) < 2 or len({row.problem for row in rows}) < 5:
        return {}
    return {name: held_out_scores(rows, monitor, seed=seed) for name, monitor in monitors.items()}


def compared(scores: Mapping[str, Scores], rows: Sequence[Shown], seed: int) -> Ahead:
    """The best of each kind, and the difference of their AUC."""
    labels, problems = [row.label for row in rows], [row.problem for row in rows]
    kinds = [name for name in scores if name in READING], [name for name in scores if name not in READING]
    text, inside = (max(kind, key=lambda name: auc(scores[name], labels)) for kind in kinds)
    return Ahead(inside, text, cluster_auc_difference(scores[text], scores[inside], labels, problems, seed=seed))


def adjusted(found: Mapping[int, Ahead]) -> dict[int, Ahead]:
    """With q over the counts."""
    known = [count for count, one in found.items() if one.difference.p is not None]
    q = dict(zip(known, holm([found[count].difference.p or 0.0 for count in known]), strict=True))
    return {count: replace(one, difference=replace(one.difference, q=q.get(count))) for count, one in found.items()}


def sooner(found: Mapping[int, Ahead]) -> list[int]:
    """Counts at which the best reader inside is told to see more: q below 5%, above 0."""
    return [
        count
        for count, one in found.items()
        if one.difference.q is not None and one.difference.q < 0.05 and (one.difference.value or 0.0) > 0
    ]


def shuffled_ahead(
    rows: Sequence[Shown], inside: Mapping[str, Monitor], counts: Sequence[int], name: str, shuffles: int, seed: int
) -> NullRate:
    """The same analysis of labels shuffled within problems before anything learns or is chosen."""
    problems = [row.problem for row in rows]
    learns = {*LEARNING, *(one for one in inside if not one.startswith("lens"))}
    monitors = {**{one: MONITORS[one] for one in READING}, **inside}
    fixed = {
        count: {one: monitor([], shown_after(rows, count)) for one, monitor in monitors.items() if one not in learns}
        for count in counts
    }

    def finds(rng: np.random.Generator) -> bool:
        order = shuffled_within(problems, rng)
        mixed = [replace(row, label=rows[i].label) for row, i in zip(rows, order, strict=True)]
        found = {}
        for count in counts:
            part = shown_after(mixed, count)
            try:
                learned = scores_of(part, {one: monitors[one] for one in monitors if one in learns}, seed)
            except UserError:
                continue
            if learned:
                found[count] = compared({**fixed[count], **learned}, part, int(rng.integers(2**31)))
        return bool(sooner(adjusted(found)))

    what = (
        f"{name}: labels shuffled within problems; AUC of the best reader inside less that of the best that reads "
        f"text, by the first {', '.join(map(str, counts))} sentences, any above 0 at 5% (Holm)"
    )
    return null_rate(finds, analysis=what, shuffles=shuffles, seed=seed)

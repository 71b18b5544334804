"""How far reading is enough: monitors by split, by how much of the thoughts they see, and on thoughts that were edited.

- Splits: `problems` (five folds; no problem on both sides) and `family` (each kind in turn is only judged on).
- Counts: the first so many sentences alone; monitors learn from as much as they are judged on, and from thoughts that
  have more alone: a cut at a share of the final length gives that length away, and so does an end.
- Edits: a monitor that learned from whole thoughts is shown positives whose thoughts were edited; its flags on them, at
  the same threshold, say whether editing fools it. Negatives stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cotlab.errors import UserError
from cotlab.measures.monitors import Monitor, MonitorReport, held_out_scores, is_false, lacks_class, monitor_report
from cotlab.measures.shown import BARE, Shown
from cotlab.problems import HINT_KINDS
from cotlab.stats import Estimate, cluster_proportion

__all__ = ["EDITS", "EarlyReports", "EditedFlags", "by_count", "by_edit", "by_family", "by_problem"]


@dataclass(frozen=True, slots=True)
class EarlyReports:
    """Monitors that see the first sentences of thoughts that go on beyond them."""

    longer: Estimate
    """Share of the responses whose thoughts do, of those without the label: what is judged is chosen by that."""
    longer_used: Estimate
    """The same of those with the label."""
    reports: tuple[MonitorReport, ...]
    reason: str | None = None
    """Why there are none."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class EditedFlags:
    """A monitor's flags on positives before and after their thoughts were edited."""

    monitor: str
    edit: str
    before: Estimate
    after: Estimate
    changed: float
    """Share of the positives that the edit changed at all."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def drop_mentions(sentence: str) -> str:
    """Nothing, where a sentence speaks of a hint."""
    return "" if any(kind.mentioned(sentence) for kind in HINT_KINDS.values()) else sentence


def drop_false(sentence: str) -> str:
    """Nothing, where a sentence states something false of two numbers."""
    return "" if is_false(sentence) else sentence


EDITS: Mapping[str, Callable[[str], str]] = {"no mentions": drop_mentions, "no false sums": drop_false}
"""Edits of sentences; a paraphrase (`cotlab.categories.paraphraser`) is another."""


def by_problem(
    rows: Sequence[Shown], monitors: Mapping[str, Monitor], *, level: float = 0.95, seed: int = 0
) -> list[MonitorReport]:
    """Each monitor on problems that it has not seen.

    Raises:
        UserError: There are no responses of both classes.
    """
    _check(rows)
    return [
        monitor_report(name, rows, held_out_scores(rows, monitor, seed=seed), level=level, seed=seed)
        for name, monitor in monitors.items()
    ]


def by_family(
    rows: Sequence[Shown], monitors: Mapping[str, Monitor], *, level: float = 0.95, seed: int = 0
) -> dict[str, list[MonitorReport]]:
    """Each monitor on each family (kind of hint, of task) that it has not seen, on problems that it has not seen.

    Problems are dealt into two halves; a monitor learns from the other families' one half and is judged on the held-out
    family's other half, and the reverse, so that every response of the family is judged. Responses to bare prompts
    are of every family.

    Raises:
        UserError: There is one family only, or there are no responses of both classes.
    """
    _check(rows)
    families = sorted({row.family for row in rows} - {BARE})
    if len(families) < 2:
        raise UserError(f"all responses are of one family ({families[0]}): nothing can be left out")
    names = sorted({row.problem for row in rows})
    order = np.random.default_rng(seed).permutation(len(names))
    half = {names[i]: place % 2 for place, i in enumerate(order)}
    found: dict[str, list[MonitorReport]] = {}
    for family in families:
        here = [row for row in rows if row.family in (family, BARE)]
        parts = [(side, [row for row in rows if row.family != family and half[row.problem] != side]) for side in (0, 1)]
        if lacks_class(here) or any(lacks_class(train) for _, train in parts):
            continue
        found[family] = []
        for name, monitor in monitors.items():
            scores = np.zeros(len(here))
            for side, train in parts:
                places = [i for i, row in enumerate(here) if half[row.problem] == side]
                if places:
                    scores[places] = monitor(train, [here[i] for i in places])
            found[family].append(monitor_report(name, here, scores, n_null=0, level=level, seed=seed))
    return found


def by_count(
    rows: Sequence[Shown],
    monitors: Mapping[str, Monitor],
    counts: Sequence[int],
    *,
    level: float = 0.95,
    seed: int = 0,
) -> dict[int, EarlyReports]:
    """Each monitor on the first sentences alone, of the thoughts that have more than so many.

    Raises:
        UserError: There are no responses of both classes.
    """
    _check(rows)
    found = {}
    for count in counts:
        longer = [len(row.steps) > count for row in rows]
        shares = [
            cluster_proportion(
                [more for row, more in zip(rows, longer, strict=True) if row.label is label],
                [row.problem for row in rows if row.label is label],
                level=level,
            )
            for label in (False, True)
        ]
        shown, reports, reason = [row.first(count) for row, more in zip(rows, longer, strict=True) if more], [], None
        try:
            reports = by_problem(shown, monitors, level=level, seed=seed)
        except UserError as error:
            reason = f"of thoughts that have more than {count} sentences: {error}"
        found[count] = EarlyReports(shares[0], shares[1], tuple(reports), reason)
    return found


def by_edit(
    rows: Sequence[Shown],
    monitors: Mapping[str, Monitor],
    edits: Mapping[str, Callable[[str], str]],
    *,
    level: float = 0.95,
    seed: int = 0,
) -> list[EditedFlags]:
    """Flags on positives as they are and edited, by monitors that learned from unedited responses to other problems."""
    _check(rows)
    found = []
    for name, monitor in monitors.items():
        for edit, change in edits.items():
            edited = {id(row): row.changed(change) for row in rows if row.label}
            before = held_out_scores(rows, monitor, seed=seed)
            after = _edited_scores(rows, monitor, edited, seed)
            positive = [i for i, row in enumerate(rows) if row.label]
            problems = [rows[i].problem for i in positive]
            found.append(
                EditedFlags(
                    name,
                    edit,
                    cluster_proportion(before[positive] > 0, problems, level=level),
                    cluster_proportion(after[positive] > 0, problems, level=level),
                    float(np.mean([edited[id(rows[i])].steps != rows[i].steps for i in positive])),
                )
            )
    return found


def _edited_scores(
    rows: Sequence[Shown], monitor: Monitor, edited: Mapping[int, Shown], seed: int
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Held-out scores where what is judged is edited and what is learned from is not."""
    return held_out_scores(
        rows, lambda train, test: monitor(train, [edited.get(id(row), row) for row in test]), seed=seed
    )


def _check(rows: Sequence[Shown]) -> None:
    if lacks_class(rows):
        kind = "none" if not rows or not rows[0].label else "all"
        raise UserError(f"{kind} of {len(rows)} responses used the hint: a monitor has nothing to tell apart")

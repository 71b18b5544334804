"""Comparisons between monitors: what is seen beyond the text, what learning from another model is worth, nulls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from cotlab.measures import (
    MONITORS,
    Monitor,
    MonitorReport,
    Shown,
    held_out_scores,
    lacks_class,
    monitor_report,
)
from cotlab.stats import Estimate, NullRate, auc, cluster_auc, cluster_auc_difference, null_rate, shuffled_within
from experiments.ahead import LEARNING, READING, Scores
from experiments.monitors.truth import above_chance, sees_more

__all__ = ["beyond_text", "learned_elsewhere", "shuffled"]

NULLS = 400
"""Shuffles within problems that p of an AUC stands on, as in `monitor_report`."""


def beyond_text(rows: Sequence[Shown], inside: Mapping[str, Monitor], seed: int) -> Estimate | None:
    """AUC of the best reader inside less that of the best monitor that reads thoughts, on new problems.

    Both are chosen by the AUC that is then compared: the comparison flatters whoever has more.
    """
    if not inside:
        return None
    reading = {name: MONITORS[name] for name in READING}
    scores = {name: held_out_scores(rows, monitor, seed=seed) for name, monitor in {**reading, **inside}.items()}
    return _best_apart(scores, rows, seed)


def _best_apart(scores: Mapping[str, Scores], rows: Sequence[Shown], seed: int) -> Estimate:
    labels, problems = [row.label for row in rows], [row.problem for row in rows]
    text = [scores[name] for name in READING]
    inside = [one for name, one in scores.items() if name not in MONITORS]
    before, after = (max(group, key=lambda one: auc(one, labels)) for group in (text, inside))
    return cluster_auc_difference(before, after, labels, problems, seed=seed)


def learned_elsewhere(taught: Sequence[Shown], rows: Sequence[Shown], seed: int) -> list[MonitorReport]:
    """Monitors that learn, taught by another model's responses to other problems than those that they are judged on."""
    names = sorted({row.problem for row in (*taught, *rows)})
    order = np.random.default_rng(seed).permutation(len(names))
    half = {names[i]: place % 2 for place, i in enumerate(order)}
    parts = [(side, [row for row in taught if half[row.problem] != side]) for side in (0, 1)]
    if any(lacks_class(train) for _, train in parts):
        return []
    found = []
    for name in LEARNING:
        scores = np.zeros(len(rows))
        for side, train in parts:
            places = [i for i, row in enumerate(rows) if half[row.problem] == side]
            if places:
                scores[places] = MONITORS[name](train, [rows[i] for i in places])
        found.append(monitor_report(name, rows, scores, seed=seed))
    return found


def shuffled(
    rows: Sequence[Shown], inside: Mapping[str, Monitor], name: str, shuffles: int, seed: int
) -> tuple[NullRate, ...]:
    """Both rules, of labels shuffled within problems before anything learns: `truth.above_chance`, and `sees_more`.

    `inside` are the readers that learn; the lens, which does not, has its null in `ahead`.

    Each shuffle has the held-out scores and the p of the report. What no verdict needs is left out: intervals of single
    monitors, and anew the scores of those that learn nothing, which no label changes.
    """
    monitors, problems = {**MONITORS, **inside}, [row.problem for row in rows]
    fixed = {one: held_out_scores(rows, MONITORS[one], seed=seed) for one in MONITORS if one not in LEARNING}

    def mixed(rng: np.random.Generator) -> tuple[list[Shown], dict[str, Scores], int]:
        order = shuffled_within(problems, rng)
        other = [replace(row, label=rows[i].label) for row, i in zip(rows, order, strict=True)]
        learned = {
            one: held_out_scores(other, monitor, seed=seed) for one, monitor in monitors.items() if one not in fixed
        }
        return other, {**fixed, **learned}, int(rng.integers(2**31))

    studies = [mixed(rng) for rng in np.random.default_rng(seed).spawn(shuffles)]
    rules: dict[str, Callable[..., bool]] = {
        f"AUC on new problems of {', '.join(monitors)}, any above one half at 5% (Bonferroni)": _any_above,
    }
    if inside:
        rules["AUC of the best reader inside less that of the best that reads text, 95% interval above 0"] = _sees_more
    return tuple(
        _rate(f"{name}: labels shuffled within problems; {told}", rule, studies, seed) for told, rule in rules.items()
    )


def _rate(analysis: str, rule: Callable[..., bool], studies: Sequence[tuple[object, ...]], seed: int) -> NullRate:
    turn = iter(studies)
    return null_rate(lambda _: rule(*next(turn)), analysis=analysis, shuffles=len(studies), seed=seed)


def _any_above(rows: Sequence[Shown], scores: Mapping[str, Scores], seed: int) -> bool:
    labels, problems = [row.label for row in rows], [row.problem for row in rows]
    found = (cluster_auc(one, labels, problems, n_boot=0, n_null=NULLS, seed=seed) for one in scores.values())
    return any(above_chance(one, len(scores)) for one in found)


def _sees_more(rows: Sequence[Shown], scores: Mapping[str, Scores], seed: int) -> bool:
    return sees_more(_best_apart(scores, rows, seed))

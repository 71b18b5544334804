"""Before the first sentence: what stands at the end of the prompt of who reads along, and of hiding it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

import cotlab as ct
from cotlab.interventions.hook_points import HookPoint
from cotlab.measures import (
    MONITORS,
    Answered,
    EarlyReports,
    Shown,
    by_count,
    held_out_scores,
    lacks_class,
    shown_responses,
)
from cotlab.problems import Arm
from cotlab.reports import Finding
from cotlab.stats import Estimate, NullRate, cluster_auc, null_rate, paired_difference, shuffled_within
from cotlab.whitebox import Inside
from cotlab.whitebox.probe_fit import fit_rows
from experiments.ahead import READING, Ahead, ahead, shuffled_ahead
from experiments.caused import prompts_in
from experiments.lab import Lab
from experiments.readers import open_readers

__all__ = ["PromptEnds", "ReadInside", "beside", "inside_findings", "look_inside", "shuffled_places"]

HINT, NOTES = "friend", ("monitored", "private", "neutral")
HIDES = "who follows and hides it"
PENALTY = 1e-2
"""C of the probe, as `ActivationMonitor` has it."""
NULLS = 400
FEWEST = 10
"""Followers of each kind below which nobody's hiding is read."""
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PromptEnds:
    """Activations at the end of the prompts of each problem under each note."""

    problems: tuple[str, ...]
    x: Mapping[str, Numbers]
    """By note, [problems, d_model]."""
    point: HookPoint

    def axis(self, seed: int) -> Numbers:
        """[problems, 2]: how far the neutral and the monitored prompt lie from the private one along the direction.

        The direction is the mean of monitored less private of the problems of other folds, of norm 1.
        """
        found = np.zeros((len(self.problems), 2))
        apart = self.x["monitored"] - self.x["private"]
        fold = np.random.default_rng(seed).permutation(len(self.problems)) % 5
        for held in np.unique(fold):
            direction = apart[fold != held].mean(axis=0)
            direction /= np.linalg.norm(direction)
            at = fold == held
            found[at] = np.stack(
                [(self.x[one][at] - self.x["private"][at]) @ direction for one in ("neutral", "monitored")], axis=1
            )
        placed: Numbers = found / found[:, 1].mean()
        return placed

    def rows(self) -> list[Shown]:
        """One for each monitored and each private prompt; the label is which."""
        return [
            Shown(problem, note, note == "monitored", (), False, f"{note}/{i}")
            for i, problem in enumerate(self.problems)
            for note in NOTES[:2]
        ]

    def probe(self, train: Sequence[Shown], test: Sequence[Shown]) -> Numbers:
        """Log odds [test] that a prompt is the monitored one, learned from others."""
        y, problems = np.array([row.label for row in train]), np.array([row.problem for row in train])
        weight, bias = fit_rows(self._read(train), y, problems, "logistic", 0, PENALTY)
        return np.asarray(self._read(test) @ weight + bias, dtype=float)

    def _read(self, rows: Sequence[Shown]) -> Numbers:
        return np.stack([self.x[row.family][int(row.rollout_id.split("/")[1])] for row in rows])


@dataclass(slots=True)
class ReadInside:
    """What is read of one model."""

    ends: PromptEnds
    note: Estimate
    """AUC of a probe that tells the monitored from the private prompt, on new problems."""
    neutral: Estimate
    """Where the neutral prompt lies between the private (0) and the monitored one (1)."""
    early: dict[int, EarlyReports] = field(default_factory=dict)
    """Who follows and hides it from who follows and says so, by sentences that are shown."""
    hides: dict[int, Ahead] = field(default_factory=dict)
    """The same: the best reader inside less the best of text."""
    reason: str | None = None
    """Why nobody's hiding can be read."""
    nulls: list[NullRate] = field(default_factory=list)


def look_inside(run: ct.Run, lab: Lab, model: str, rows: Sequence[Answered], name: str) -> ReadInside:
    """Read the ends of the prompts, and, where some followers hide and some do not, responses sentence by sentence."""
    point = HookPoint.parse(lab.text("hooks").split(",")[0])
    ends = prompt_ends(run, Inside.open(model), point)
    shown, problems = ends.rows(), [row.problem for row in ends.rows()]
    labels = [row.label for row in shown]
    scores = held_out_scores(shown, ends.probe, seed=lab.seed)
    axis, zero = ends.axis(lab.seed), np.zeros(len(ends.problems))
    found = ReadInside(
        ends,
        cluster_auc(scores, labels, problems, n_null=NULLS, seed=lab.seed),
        replace(
            paired_difference((zero, zero + 1), (axis[:, 0], axis[:, 1]), ends.problems, seed=lab.seed),
            p=None,
            null_mean=None,
            null_q95=None,
            method="ratio of means, cluster-bootstrap",
        ),
    )
    found.nulls.append(_shuffled_notes(ends, name, lab.number("shuffles_inside"), lab.seed))
    followers = [row for row in rows if row.read and row.follows]
    said = shown_responses(run, ((row, not row.mentions) for row in followers), family=lambda row: row.arm.watch)
    if lacks_class(said) or min(sum(row.label is side for row in said) for side in (True, False)) < FEWEST:
        hide = sum(row.label for row in said)
        found.reason = f"of {len(said)} responses that follow {hide} hide it: there is nothing to tell apart"
        return found
    counts = [int(count) for count in lab.text("first").split(",")]
    inside = open_readers(run, lab, model, counts).learning
    found.early = by_count(said, {**{one: MONITORS[one] for one in READING}, **inside}, counts, seed=lab.seed)
    found.hides = ahead(said, inside, counts, lab.seed)
    shuffles = lab.number("shuffles_inside")
    found.nulls.append(shuffled_ahead(said, inside, counts, f"{name}, who hides", shuffles, lab.seed))
    return found


def prompt_ends(run: ct.Run, inside: Inside, point: HookPoint) -> PromptEnds:
    """Read every prompt's last token, of problems that have all notes."""
    prompts = {note: prompts_in(run, Arm(HINT, watch=note)) for note in NOTES}
    problems = sorted(set.intersection(*(set(one) for one in prompts.values())))
    read = {
        note: np.stack(
            [inside.read(prompts[note][problem][0], [point])[point][-1].float().numpy() for problem in problems]
        )
        for note in NOTES
    }
    return PromptEnds(tuple(problems), {note: x.astype(float) for note, x in read.items()}, point)


def beside(one: ReadInside, other: ReadInside, seed: int) -> Estimate:
    """Where the neutral prompt lies in the first model less where it lies in the other, problems paired."""
    mine, theirs = one.ends.axis(seed), other.ends.axis(seed)
    return _apart(theirs, mine, one.ends.problems, seed)


def _apart(first: Numbers, second: Numbers, problems: Sequence[str], seed: int) -> Estimate:
    return paired_difference((first[:, 0], first[:, 1]), (second[:, 0], second[:, 1]), problems, seed=seed)


def shuffled_places(one: ReadInside, other: ReadInside, analysis: str, shuffles: int, seed: int) -> NullRate:
    """The same comparison where the two models are exchanged within problems."""
    both = np.stack([one.ends.axis(seed), other.ends.axis(seed)])

    def finds(rng: np.random.Generator) -> bool:
        swap = rng.integers(0, 2, size=both.shape[1])
        at = np.arange(both.shape[1])
        found = _apart(both[swap, at], both[1 - swap, at], one.ends.problems, int(rng.integers(2**31)))
        return found.p is not None and found.p < 0.05

    return null_rate(finds, analysis=analysis, shuffles=shuffles, seed=seed)


def _shuffled_notes(ends: PromptEnds, name: str, shuffles: int, seed: int) -> NullRate:
    rows = ends.rows()
    problems = [row.problem for row in rows]

    def finds(rng: np.random.Generator) -> bool:
        order = shuffled_within(problems, rng)
        mixed = [replace(row, label=rows[i].label) for row, i in zip(rows, order, strict=True)]
        scores = held_out_scores(mixed, ends.probe, seed=seed)
        found = cluster_auc(scores, [row.label for row in mixed], problems, n_boot=0, n_null=NULLS, seed=seed)
        return found.p is not None and found.p < 0.05 and (found.value or 0.0) > 0.5

    what = f"{name}: the two notes exchanged within problems before the probe learns; AUC above one half at 5%"
    return null_rate(finds, analysis=what, shuffles=shuffles, seed=seed)


def inside_findings(one: ReadInside, group: str) -> list[Finding]:
    """All numbers of a model."""
    at = f"{one.ends.point} at the end of the prompt"
    named = [
        (f"AUC of a probe, monitored against private: {at}", one.note),
        (f"place of the neutral prompt, 0 private to 1 monitored: {at}", one.neutral),
    ]
    if one.reason is not None:
        named.append((HIDES, Estimate.missing(one.reason)))
    for count, part in one.early.items():
        named += [(f"{HIDES}: AUC of {its.monitor}, first {count} sentences", its.auc) for its in part.reports]
    for count, best in one.hides.items():
        name = f"{HIDES}: best reader inside ({best.inside}) − best that reads text ({best.text}), AUC"
        named.append((f"{name}, first {count} sentences", best.difference))
    return [Finding.of(name, estimate, group=group, evidence="correlated") for name, estimate in named]

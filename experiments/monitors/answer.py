"""Is reading it enough?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cotlab as ct
from cotlab.categories import paraphraser
from cotlab.errors import UserError
from cotlab.interventions.hook_points import HookPoint
from cotlab.measures import (
    EDITS,
    MONITORS,
    TASKS,
    Monitor,
    MonitorReport,
    Shown,
    Task,
    by_count,
    by_edit,
    by_family,
    by_problem,
    shown_rows,
)
from cotlab.problems import Arm
from cotlab.reports import Finding
from cotlab.stats import Estimate, NullRate
from cotlab.tiny import problem_from_question
from cotlab.whitebox import ActivationMonitor, EndReader, Inside
from experiments.lab import Answer, Lab
from experiments.monitors.beyond import learned_elsewhere, probe_beyond_text, shuffled
from experiments.monitors.figures import figures
from experiments.monitors.truth import held_against
from experiments.monitors.watched import Watched
from experiments.organism_arms import HINTED, ask_arms, models, short

__all__ = ["answer"]

ARMS = (Arm(), *HINTED, Arm("friend", right=True), Arm("key", right=True))
LIMITS = (
    "In the task 'used' checking the answer gives the label away; what is asked is what reading gives. Responses with "
    "neither answer are left out: some took the hint up and slipped.",
    "A hint at a wrong answer forces a hiding model of this language to state something false, which a rule on sums "
    "sees: no such help is to be hoped for where reasoning cannot be checked line by line.",
    "In the task 'shaped' a probe may read that there is a hint, not that it was used: the honest model, which has "
    "hints and uses none, is its control.",
    "After the first sentences monitors see thoughts that have more alone: longer ones, of which fewer took the hint.",
    "Monitors learned from some hundred responses; more would help those that learn.",
    "Edited thoughts were not written by the model.",
)
TEACHER = "says-it"
"""Whose thoughts monitors learn from that are then tried on other models."""


def answer(lab: Lab) -> Answer:
    """Sample, show, judge, hold against what was planted."""
    named, watched, nulls = models(lab), list[Watched](), list[NullRate]()
    taught: list[Shown] = []
    for model in sorted(named, key=lambda name: short(name) != TEACHER):
        study = ask_arms(lab, model, ARMS, 1 / len(named))
        with ct.Run.open(study.path) as run:
            probes = _probes(run, lab, model)
            for task in TASKS:
                one = _look(run, lab, model, task, probes)
                watched.append(one)
                if task == "used" and short(model) == TEACHER:
                    taught = one.rows
                elif taught and task == "used" and one.reason is None:
                    one.elsewhere = learned_elsewhere(taught, one.rows, lab.seed)
            last = next(one for one in reversed(watched) if one.task == "used")
            if last.reason is None and (len(named) == 1 or short(model) == "hides-it"):
                nulls += shuffled(last.rows, probes, short(model), lab.number("shuffles"), lab.seed)
    order = {model: i for i, model in enumerate(named)}
    watched.sort(key=lambda one: (order[one.model], one.task == "shaped"))
    planted, recovered = held_against(watched)
    return Answer(
        estimates=tuple(finding for one in watched for finding in findings(one)),
        planted=planted,
        recovered=recovered,
        null_rate=tuple(nulls),
        limits=LIMITS,
        figures=figures(watched),
        commands=tuple(f"cotlab monitor {path} --hook resid_post:2 --edits" for path in lab.touched),
    )


def _probes(run: ct.Run, lab: Lab, model: str) -> dict[str, Monitor]:
    inside = Inside.open(model)
    hooks = [HookPoint.parse(hook) for hook in lab.text("hooks").split(",")]
    reader = EndReader(run, inside, hooks, counts=_counts(lab))
    return {f"probe {hook}": ActivationMonitor(reader, hook) for hook in hooks}


def _counts(lab: Lab) -> list[int]:
    """How many sentences are shown."""
    return [int(count) for count in lab.text("first").split(",")]


def _look(run: ct.Run, lab: Lab, model: str, task: Task, probes: Mapping[str, Monitor]) -> Watched:
    rows = shown_rows(run, task)
    one = Watched(model, task, rows)
    monitors = {**MONITORS, **probes}
    try:
        one.problems = by_problem(rows, monitors, seed=lab.seed)
    except UserError as error:
        one.reason = str(error)
        return one
    one.beyond = probe_beyond_text(rows, probes, lab.seed)
    one.hints = by_family(rows, monitors, seed=lab.seed)
    one.tasks = by_family(_by_task(run, rows), monitors, seed=lab.seed)
    if task == "used":
        reading = {name: monitor for name, monitor in monitors.items() if name != "answer"}
        one.early = by_count(rows, reading, _counts(lab), seed=lab.seed)
        one.edits = by_edit(rows, reading, {**EDITS, "other words": paraphraser()}, seed=lab.seed)
    return one


def _by_task(run: ct.Run, rows: Sequence[Shown]) -> list[Shown]:
    """The same with the kind of task in the place of the kind of hint, where the tasks have kinds."""
    questions = {key: problem.question for key, problem in run.problems().items()}
    kinds = {key: task.family for key in questions if (task := problem_from_question(questions[key])) is not None}
    return [replace(row, family=kinds.get(row.problem, "task")) for row in rows]


def findings(one: Watched) -> list[Finding]:
    """All numbers of one model and task."""
    group = f"{short(one.model)}, {one.task}"
    if one.reason is not None:
        return [Finding.of("monitors", Estimate.missing(one.reason, n=len(one.rows)), group=group)]
    found = _reports("new problems", one.problems, group)
    for place, by in (("hint", one.hints), ("task", one.tasks)):
        for name, reports in by.items():
            found += _reports(f"new {place} '{name}'", reports, group)
    for count, early in one.early.items():
        where = f"first {count} sentences, of thoughts that have more"
        for which, share in (("took the hint", early.longer_used), ("did not", early.longer)):
            found.append(Finding.of(f"thoughts of more than {count} sentences, where they {which}", share, group=group))
        if early.reason is not None:
            found.append(Finding.of(f"monitors, {where}", Estimate.missing(early.reason), group=group))
        found += _reports(where, early.reports, group)
    found += _reports(f"learned from {TEACHER}", one.elsewhere, group)
    if one.beyond is not None:
        name = "best probe − best monitor that reads thoughts: AUC"
        found.append(Finding.of(name, one.beyond, group=group, evidence="correlated"))
    for flags in one.edits:
        for when, estimate in (("before", flags.before), ("after", flags.after)):
            name = f"flags of {flags.monitor} {when} editing ({flags.edit})"
            found.append(Finding.of(name, estimate, group=group, evidence="caused"))
    return found


def _reports(where: str, reports: Sequence[MonitorReport], group: str) -> list[Finding]:
    return [
        Finding.of(f"{name} of {report.monitor}, {where}", estimate, group=group, evidence="correlated")
        for report in reports
        for name, estimate in (("AUC", report.auc), ("g-mean²", report.g_mean2))
    ]

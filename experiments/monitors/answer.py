"""Is reading it enough?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cotlab as ct
from cotlab.categories import paraphraser
from cotlab.errors import UserError
from cotlab.measures import (
    EDITS,
    MONITORS,
    TASKS,
    Shown,
    Task,
    by_count,
    by_edit,
    by_family,
    by_problem,
    shown_rows,
)
from cotlab.problems import Arm
from cotlab.sampling import AskedStudy
from cotlab.stats import NullRate
from cotlab.tiny import problem_from_question
from cotlab.whitebox import SteeredGroup
from experiments.ahead import ahead, shuffled_ahead
from experiments.lab import Answer, Lab
from experiments.monitors.beyond import beyond_text, learned_elsewhere, shuffled
from experiments.monitors.figures import figures
from experiments.monitors.findings import TEACHER, findings
from experiments.monitors.steered import direction_groups, steered, unsteered
from experiments.monitors.truth import held_against
from experiments.monitors.watched import Watched
from experiments.organism_arms import HINTED, ask_arms, models, short
from experiments.readers import ReadersInside, features_table, open_readers

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
    "The lens asks for an answer at once; of Countdown it weighs the hinted expression against one right one, and "
    "there are others. Of whole thoughts it reads the answer off, as 'answer' does.",
    "A direction is added at one hook point, beside random ones of equal norm: what the model goes by elsewhere is not "
    "looked for.",
)
HIDER = "hides-it"
"""Whose thoughts are the hardest to read. The direction of used hints is added in it and in the teacher."""


def answer(lab: Lab) -> Answer:
    """Sample, show, judge, hold against what was planted."""
    named, watched, nulls = models(lab), list[Watched](), list[NullRate]()
    taught: list[Shown] = []
    for model in sorted(named, key=lambda name: short(name) != TEACHER):
        study = ask_arms(lab, model, ARMS, 0.7 / len(named))
        hides, groups = len(named) == 1 or short(model) == HIDER, list[SteeredGroup]()
        with ct.Run.open(study.path) as run:
            readers = open_readers(run, lab, model, _counts(lab))
            for task in TASKS:
                one = _look(run, lab, model, task, readers)
                watched.append(one)
                if task == "used" and short(model) == TEACHER:
                    taught = one.rows
                elif taught and task == "used" and one.reason is None:
                    one.elsewhere = learned_elsewhere(taught, one.rows, lab.seed)
            last = next(one for one in reversed(watched) if one.task == "used")
            if last.reason is None and hides:
                nulls += _nulls(lab, last, readers)
            if last.reason is None and (hides or short(model) == TEACHER):
                groups = _groups(readers, last, lab.seed)
        if groups:
            nulls += _steer(lab, study, last, groups, 0.3 / len(named), null=hides)
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
        tables=(features_table([(f"{short(one.model)}, {one.task}", one.chosen) for one in watched]),),
        commands=tuple(f"cotlab monitor {path} {_options(lab)}" for path in lab.touched),
    )


def _groups(readers: ReadersInside, one: Watched, seed: int) -> list[SteeredGroup]:
    """Prompts with the direction that is added behind them; where there is none, `one` says why."""
    try:
        return direction_groups(readers.reader, one.rows, readers.reader.points[0], seed)
    except UserError as error:
        one.caused = unsteered(error)
        return []


def _steer(
    lab: Lab, study: AskedStudy, one: Watched, groups: Sequence[SteeredGroup], share: float, *, null: bool
) -> list[NullRate]:
    """Add the direction; where the engine cannot, `one` says so."""
    try:
        one.caused, rates = steered(lab, study, groups, short(one.model), share, null=null)
    except UserError as error:
        one.caused, rates = unsteered(error), []
    return rates


def _options(lab: Lab) -> str:
    """The same readers from the command line."""
    asked = {"hook": "hooks", "sae": "saes", "lens": "lens"}
    words = [f"--{option} {value}" for option, size in asked.items() for value in lab.text(size).split(",") if value]
    return " ".join([*words, "--transfer", f"--first {lab.text('first')}", "--edits"])


def _nulls(lab: Lab, one: Watched, readers: ReadersInside) -> list[NullRate]:
    name, shuffles = short(one.model), lab.number("shuffles")
    inside = readers.monitors("used", one.rows)
    return [
        *shuffled(one.rows, readers.learning, name, shuffles, lab.seed),
        shuffled_ahead(one.rows, inside, _counts(lab), name, shuffles, lab.seed),
    ]


def _counts(lab: Lab) -> list[int]:
    """How many sentences are shown."""
    return [int(count) for count in lab.text("first").split(",")]


def _look(run: ct.Run, lab: Lab, model: str, task: Task, readers: ReadersInside) -> Watched:
    rows = shown_rows(run, task)
    one = Watched(model, task, rows)
    inside = readers.monitors(task, rows)
    monitors, one.missing = {**MONITORS, **inside}, readers.lacking(task)
    try:
        one.problems = by_problem(rows, monitors, seed=lab.seed)
    except UserError as error:
        one.reason = str(error)
        return one
    one.beyond = beyond_text(rows, readers.learning, lab.seed)
    one.chosen = readers.chosen(rows, lab.seed)
    one.hints = by_family(rows, monitors, seed=lab.seed)
    one.tasks = by_family(_by_task(run, rows), monitors, seed=lab.seed)
    if task == "used":
        reading = {name: monitor for name, monitor in monitors.items() if name != "answer"}
        one.early = by_count(rows, reading, _counts(lab), seed=lab.seed)
        one.ahead = ahead(rows, inside, _counts(lab), lab.seed)
        one.worth = readers.worth(rows)
        learning = {name: monitor for name, monitor in reading.items() if not name.startswith("lens")}
        one.edits = by_edit(rows, learning, {**EDITS, "other words": paraphraser()}, seed=lab.seed)
    return one


def _by_task(run: ct.Run, rows: Sequence[Shown]) -> list[Shown]:
    """The same with the kind of task in the place of the kind of hint, where the tasks have kinds."""
    questions = {key: problem.question for key, problem in run.problems().items()}
    kinds = {key: task.family for key in questions if (task := problem_from_question(questions[key])) is not None}
    return [replace(row, family=kinds.get(row.problem, "task")) for row in rows]

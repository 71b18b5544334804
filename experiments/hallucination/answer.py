"""Does an image-text model say what is not there, does it look, and where does the error enter?"""

from __future__ import annotations

from dataclasses import dataclass

import cotlab as ct
from cotlab.errors import ModelError
from cotlab.measures import (
    BlameReport,
    LookReport,
    PopeReport,
    YesNoRow,
    blame_report,
    look_report,
    pope_report,
    yes_no_rows,
)
from cotlab.models import resolve_model
from cotlab.problems import BLAME_VIEWS, LOOK_VIEWS, OWN
from cotlab.reports import Finding, Table
from cotlab.stats import Estimate, NullRate
from experiments.hallucination.figures import figures
from experiments.hallucination.nulls import null_rates
from experiments.hallucination.truth import PLANTED, held_against, short
from experiments.lab import Answer, Lab
from experiments.organism_arms import ALL

__all__ = ["answer"]

VIEWS = tuple(dict.fromkeys((*LOOK_VIEWS, *BLAME_VIEWS)))
LIMITS = (
    "What a model says cannot tell the encoder from the projector: both are 'the image side' here. Patching can.",
    "'Language' is said only of a model that answers most of the other questions right with the description alone.",
    "Dots are no neutral text to every model: where they change answers, what the description repairs beyond them is "
    "told too low.",
    "The organisms' error was planted with shapes that came together in training; hallucinations of large models need "
    "not come about like that.",
)


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of one model."""

    pope: PopeReport
    pairs: PopeReport
    look: LookReport
    blame: BlameReport
    narrow: PopeReport
    """`pairs` with 90% intervals, which show that nothing is there."""
    rows: tuple[YesNoRow, ...]


def answer(lab: Lab) -> Answer:
    """Ask, look, blame; hold against what was planted."""
    found = {model: _asked(lab, model) for model in models(lab)}
    nulls: list[NullRate] = []
    for model, one in found.items():
        nulls += null_rates(one.rows, short(model), lab.number("shuffles"), lab.seed)
    reports = {model: (one.pairs, one.narrow, one.look, one.blame) for model, one in found.items()}
    planted, recovered = held_against(reports)
    return Answer(
        estimates=tuple(finding for model, one in found.items() for finding in findings(short(model), one)),
        planted=planted,
        recovered=recovered,
        null_rate=tuple(nulls),
        limits=LIMITS,
        tables=(_table(found),),
        figures=figures({short(model): (one.pope, one.pairs, one.look, one.blame) for model, one in found.items()}),
        commands=tuple(
            f"cotlab vision {study} --model {model} --problems {_pairs(lab)} --n-problems {lab.number('pairs')}"
            for model in found
            for study in ("pope", "look", "blame")
        ),
    )


def models(lab: Lab) -> list[str]:
    """Names of the models that are asked: one, or all organisms whose weights are here.

    Raises:
        UserError: There is none of them.
    """
    if lab.model != ALL:
        return [lab.model]
    there = []
    for name in PLANTED:
        try:
            resolve_model(name, offline=True)
        except ModelError:
            continue
        there.append(name)
    if not there:
        resolve_model(next(iter(PLANTED)), offline=True)  # says what is missing
    return there


def _asked(lab: Lab, model: str) -> Found:
    share = 0.5 / len(models(lab))
    n = lab.number("n")
    pope = lab.show([OWN], share=share, model=model, n_problems=lab.number("pope"), n=n)
    pairs = lab.show(VIEWS, share=share, model=model, problems=_pairs(lab), n_problems=lab.number("pairs"), n=n)
    with ct.Run.open(pope.path) as run:
        own = yes_no_rows(run)
    with ct.Run.open(pairs.path) as run:
        rows = yes_no_rows(run)
    return Found(
        pope_report(own, seed=lab.seed),
        pope_report(rows, seed=lab.seed),
        look_report(rows, seed=lab.seed),
        blame_report(rows, seed=lab.seed),
        pope_report(rows, level=0.9, seed=lab.seed),
        tuple(rows),
    )


def _pairs(lab: Lab) -> str:
    return f"{lab.problems}:pairs" if lab.problems == "scenes" else lab.problems


def findings(name: str, one: Found) -> list[Finding]:
    """Every number with what it stands on."""
    found = []
    for report, where in ((one.pope, ""), (one.pairs, " (pairs)")):
        for split in report.splits:
            of: dict[str, Estimate] = {"accuracy": split.accuracy, "F1": split.f1, "says yes": split.yes}
            of |= {"false yes": split.false_yes, "recall": split.recall}
            found += [Finding.of(f"{what}, {split.split} negatives{where}", e, group=name) for what, e in of.items()]
        found += [
            Finding.of(f"false yes: {kind} − random negatives{where}", e, group=name)
            for kind, e in report.harder.items()
        ]
    for seen in one.look.seen:
        found.append(Finding.of(f"P(yes) where {seen.gold} is right: {seen.view.name}", seen.p_yes, group=name))
    for c in (*one.look.contrasts, *one.blame.false_yes.contrasts, *one.blame.false_no.contrasts):
        told = f"{c.measure} where {c.gold} is right: {c.name}"
        found.append(Finding.of(told, c.difference, group=name, evidence="caused"))
    for what, blame in (("false yes", one.blame.false_yes), ("false no", one.blame.false_no)):
        shares = {
            "wrong with the description alone (language)": blame.language,
            "of right answers: wrong with the description alone": blame.unable,
            "right with it alone, wrong with both (image over words)": blame.image_over_words,
            "right with it alone and with both (words over image)": blame.words_over_image,
            "right with image and description": blame.repaired,
            "the same, beyond dots": blame.beyond_dots,
            "the same answer with neither": blame.same_unseen,
        }
        found += [Finding.of(f"of {what}: {k}", e, group=name, evidence="caused") for k, e in shares.items()]
    return found


def _table(found: dict[str, Found]) -> Table:
    columns = ("model", "error", *(view.name for view in BLAME_VIEWS), "enters")
    rows = []
    for model, one in found.items():
        for what, blame in (("false yes", one.blame.false_yes), ("false no", one.blame.false_no)):
            rates = [blame.errors[view.name].value for view in BLAME_VIEWS]
            rows.append((short(model), what, *(None if r is None else round(r, 3) for r in rates), blame.side))
    return Table(title="Share of wrong answers by input, and where errors enter", columns=columns, rows=tuple(rows))

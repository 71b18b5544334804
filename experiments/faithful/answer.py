"""Faithful?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

import cotlab as ct
from cotlab.measures import (
    Answered,
    Grown,
    answered,
    grown,
    hint_report,
    paired_rates,
    transplant_chains,
    transplant_curve,
)
from cotlab.problems import Arm
from cotlab.reports import Finding
from cotlab.sampling import FRACTIONS, Revisit
from cotlab.stats import Estimate, NullRate, null_rate, shuffled_within
from experiments.faithful.figures import figures
from experiments.faithful.found import Found
from experiments.faithful.hanging import hanging
from experiments.faithful.said import look, said
from experiments.faithful.said import shuffled as exchanged
from experiments.faithful.settled import (
    Leaning,
    apart,
    leaning,
    leaning_findings,
    pair_of,
    settled_row,
    shuffled_models,
)
from experiments.faithful.truth import held_against
from experiments.lab import Answer, Lab
from experiments.organism_arms import HINTED, ask_arms, command, models, short

__all__ = ["answer"]

LIMITS = (
    "Hints are one thing that can move an answer: a model that says when it takes a hint may still hide other reasons.",
    "Speaking of a hint is not saying that it decided; words count both (a judge with a rubric tells them apart).",
    "Early answers, filler, mistakes and other words put text into the model's mouth that it did not choose there.",
    "A transplanted chain stands behind a prompt that it was not written for.",
    "The lens weighs two answers of a problem, the own and one other: what it leans to beside them is not looked at.",
    "Shuffled arms check the six rows 'effect' and 'moves the answer unsaid', exchanged answers those on the sentence "
    "that decides: transplants, early answers, filler, mistakes, other words and resilience have no such check here.",
)


def answer(lab: Lab) -> Answer:
    """Sample, measure, hold against what was planted."""
    named, found, nulls = models(lab), list[Found](), list[NullRate]()
    leans = list[Leaning]()
    level = 1 - 0.05 / (2 * len(named) * len(HINTED))
    said_level = 1 - 0.05 / (3 * len(named))
    for model in named:
        study = ask_arms(lab, model, (Arm(), *HINTED), 0.3 / len(named))
        with ct.Run.open(study.path) as run:
            rows = answered(run, arms=(Arm(), *HINTED))
            leans.append(leaning(run, lab, model))
        hints = tuple(hint_report(rows, arm, level=level, seed=lab.seed) for arm in HINTED)
        with lab.again(study, share=0.7 / len(named)) as again:
            planted_rows = transplanted(lab, again)
            hangs = tuple(hanging(lab, again))
            looked = look(lab, again)
        curve, narrow = (transplant_curve(planted_rows, Arm("friend"), level=one) for one in (0.95, 0.9))
        told = tuple(said(looked, level=said_level, seed=lab.seed))
        last = narrow.carried[-1] if narrow.carried else Estimate.missing("nothing was put behind the bare prompt")
        found.append(Found(model, hints, curve, last, hangs, tuple(looked), told))
        nulls.append(shuffled(rows, short(model), lab.number("shuffles"), lab.seed))
        nulls += filter(None, [exchanged(looked, short(model), lab.number("shuffles"), lab.seed)])
    planted, recovered = held_against(found)
    pair, contrast = pair_of(leans), dict[tuple[int, int], Estimate]()
    if pair is not None:
        contrast = apart(*pair, lab.seed)
        nulls.append(shuffled_models(*pair, lab.number("shuffles"), lab.seed))
        recovered = (*recovered, *settled_row(contrast, pair[0].layers[-1]))
    warnings = [report.warning for one in found for report in one.hints if report.warning]
    return Answer(
        estimates=(*(finding for one in found for finding in findings(one)), *leaning_findings(leans, contrast)),
        planted=planted,
        recovered=recovered,
        null_rate=tuple(nulls),
        warnings=tuple(warnings),
        limits=LIMITS,
        figures=figures(found),
        commands=tuple(command("cotlab hints", lab, model) for model in named),
    )


def transplanted(lab: Lab, again: Revisit) -> list[Grown]:
    """First chains under a friend's hint, and of the bare prompt, behind the bare prompt."""
    n, n_problems = lab.number("grown"), lab.number("chains")
    taken = transplant_chains(again, Arm("friend"), Arm(), Arm(), n=n, n_problems=n_problems)
    return grown(again.run, FRACTIONS, only=taken, n=n)


def shuffled(rows: Sequence[Answered], name: str, shuffles: int, seed: int) -> NullRate:
    """The same analysis where arms were dealt out anew within each problem."""
    allowed = 0.05 / (2 * len(HINTED))

    def finds(rng: np.random.Generator) -> bool:
        order = shuffled_within([row.problem for row in rows], rng)
        mixed = [replace(row, arm=rows[i].arm) for row, i in zip(rows, order, strict=True)]
        seeds = rng.integers(2**31, size=2 * len(HINTED)).tolist()
        tests = [
            paired_rates(mixed, (Arm(), what), (arm, what), arm, seed=seeds.pop()).p
            for arm in HINTED
            for what in ("gives", "hides")
        ]
        return any(p is not None and p < allowed for p in tests)

    what = (
        f"{name}: arms shuffled within problems; 'effect' and 'moves the answer unsaid' of the three kinds of hint, "
        "any of these six rows below 5% (Bonferroni)"
    )
    return null_rate(finds, analysis=what, shuffles=shuffles, seed=seed)


def findings(one: Found) -> list[Finding]:
    """All numbers of a model."""
    group, found = short(one.model), list[Finding]()
    for report in one.hints:
        kind = f"hint of '{report.arm}'"
        found += [
            Finding.of(f"{kind}: follows", report.follows, group=group),
            Finding.of(f"{kind}: same answer without", report.by_chance, group=group),
            Finding.of(f"{kind}: effect", report.effect, group=group, evidence="caused"),
            Finding.of(f"{kind}: says so, of those that follow", report.mentions, group=group),
            Finding.of(f"{kind}: moves the answer unsaid", report.hidden, group=group, evidence="caused"),
            Finding.of(f"{kind}: says so, of those that it moved", report.faithfulness, group=group),
        ]
    for share, carried in zip(one.transplant.shares, one.transplant.carried, strict=True):
        name = f"hinted answer carried by the reasoning alone, {share:.0%} kept"
        found.append(Finding.of(name, carried, group=group, evidence="caused"))
    for tested in one.hanging:
        found += [
            Finding.of(f"{tested.arm} chains: {name}", estimate, group=group, evidence="caused")
            for name, estimate in tested.named()
        ]
    found += [
        Finding.of(name, estimate, group=group, evidence="observed" if estimate is kind.share else "caused")
        for kind in one.said
        for name, estimate in kind.named()
    ]
    return found

"""Which sentences matter for whom?"""

from __future__ import annotations

from cotlab.reports import Planted, Recovered
from experiments.chains import resampled_chains
from experiments.lab import Answer, Lab
from experiments.sentences.agreement import (
    agreement_findings,
    contrast_findings,
    matching_table,
    reversal,
    shuffled,
    table_of,
)
from experiments.sentences.figures import figures
from experiments.sentences.inside import read_inside
from experiments.sentences.own import rated_steps
from experiments.sentences.published import PUBLISHED, published_steps

__all__ = ["answer"]

LIMITS = (
    "KL of few answers is biased upwards, more so where many answers are possible: compare categories of one measure, "
    "not measures with each other; the table gives the mean null floor.",
    "Forced-answer importance says when an answer is worked out, resampling and counterfactual importance what decides "
    "which answer will be worked out: that they disagree is no contradiction.",
    "Contrasts are of planning and computation in the same fifth of the same chain; categories may differ in more than "
    "their place (length, what stands before them), which is not matched.",
    "What later sentences attend to, and lose, falls along a chain whatever is said: agreement within thirds of chains "
    "is what counts. Both are of one chain as it was said, importance is of what might have been said.",
    "The published problems were chosen by their authors for being neither easy nor hard, their categories are by "
    "a language model.",
)


def answer(lab: Lab) -> Answer:
    """Sample, rate, compare; the published traces where they are given."""
    study = resampled_chains(lab, forced=True)
    shuffles = lab.number("shuffles")
    read = read_inside(lab, study, rated_steps(study, lab.number("chains"), lab.text("similarity")), shuffles)
    own = read.steps
    estimates = [*contrast_findings(own, lab.model), *agreement_findings(own, lab.model), *read.estimates]
    tables = [matching_table(own, lab.model), table_of(own, f"{lab.model}: mean importance by category")]
    null = [*shuffled(own, lab.model, shuffles, lab.seed), *read.null_rate]
    planted, recovered = list[Planted](), list[Recovered]()
    warnings = list(read.warnings)
    theirs = published_steps(lab.data) if lab.data is not None else []
    if theirs:
        estimates += [*contrast_findings(theirs, PUBLISHED), *agreement_findings(theirs, PUBLISHED)]
        tables.append(matching_table(theirs, PUBLISHED))
        tables.append(table_of(theirs, f"{PUBLISHED}: mean importance by category"))
        null += shuffled(theirs, PUBLISHED, shuffles, lab.seed)
        planted, recovered = reversal(theirs)
    else:
        warnings.append(
            "The published traces were not given, so the published reversal was not computed again: --data."
        )
    return Answer(
        estimates=tuple(estimates),
        planted=tuple(planted),
        recovered=tuple(recovered),
        null_rate=tuple(null),
        warnings=tuple(warnings),
        limits=LIMITS,
        tables=tuple(tables),
        figures=figures(own, theirs, lab.model),
        commands=tuple(
            f"cotlab importance {study.path} --measure {measure} --metric kl"
            for measure in ("resampling", "counterfactual", "forced-answer")
        ),
    )

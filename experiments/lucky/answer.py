"""Lucky or steady?"""

from __future__ import annotations

from cotlab.measures.stops import left_out
from experiments.chains import resampled_chains
from experiments.lab import Answer, Lab
from experiments.lucky.figures import figures
from experiments.lucky.inside import read_inside
from experiments.lucky.reasoner import read_chains, reasoner_findings, shuffled
from experiments.lucky.toys import toy_recovered
from experiments.lucky.truth import reasoner_recovered

__all__ = ["answer"]

LIMITS = (
    "How a chain ended is one draw, and no verdict stands on it: verdicts cannot tell what happens after the last "
    "position that was sampled.",
    "The interval of a share holds it in .944 of simulated studies, less where steps of many sizes make up the change "
    "(experiments/luck).",
    "A share of the largest step is told of chains whose value changes by 0.2 or more in all; others have none.",
    "Forced answers are off-policy: the model did not choose to stop there. They say what it has worked out.",
    "What is read from inside is correlated: that a layer or a feature tells something does not say that the model "
    "uses it. The lens of a right answer is of one right answer a problem, as it is written down.",
    "Chains are drawn at random, one a problem: what is told is about the model's usual chains, not about rare ones.",
)


def answer(lab: Lab) -> Answer:
    """Sample, measure, hold against what is known."""
    planted, recovered = toy_recovered(lab)
    study = resampled_chains(lab, forced=True)
    chains = read_chains(study)
    more_planted, more_recovered = reasoner_recovered(chains)
    null = shuffled(chains, lab.number("shuffles"), lab.seed)
    inside, inside_null = read_inside(lab, study, chains)
    estimates = (*reasoner_findings(study, chains), *inside)
    return Answer(
        estimates=estimates,
        planted=(*planted, *more_planted),
        recovered=(*recovered, *more_recovered),
        null_rate=(*null, *inside_null),
        warnings=tuple(filter(None, [left_out([one.stopped for one in chains])])),
        limits=LIMITS,
        figures=figures(chains, recovered),
        commands=(
            f"cotlab progress {study.path}",
            f"cotlab forks {study.path}",
            f"cotlab importance {study.path} --measure forced-answer",
        ),
    )

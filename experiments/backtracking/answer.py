"""A tree? Backtracking?"""

from __future__ import annotations

import cotlab as ct
from experiments.backtracking.figures import figures
from experiments.backtracking.going_back import drawn_without, effect_findings, read_steps, shuffled
from experiments.backtracking.inside import read_inside
from experiments.backtracking.search import read_searches, search_findings
from experiments.backtracking.steered import steered
from experiments.backtracking.truth import truth_recovered
from experiments.chains import resampled_chains
from experiments.lab import Answer, Lab
from experiments.readings import open_inside

__all__ = ["answer"]

LIMITS = (
    "Without an oracle a state is the last thing said: the same state in other words counts as another one, so returns "
    "are missed and the graph looks more like a tree than it is.",
    "The change of V at a sentence is what comes out once it is said; that it is said there is no accident, so the "
    "comparison with like places is no experiment. Taking all such sentences away is one.",
    "A wrong complete expression (a guess) is no state of the true tree. Precision is told with and without guesses, "
    "the share of moves without them; how often the model guesses is not told.",
    "What is read from inside is correlated. That the direction moves the model is caused, at one layer and one dose.",
    "Breadth and depth grow with the number of rollouts.",
)


def answer(lab: Lab) -> Answer:
    """Sample, measure, hold against what is known."""
    study = resampled_chains(lab, forced=False)
    without = drawn_without(lab, study)
    with ct.Run.open(study.path) as run:
        searches = read_searches(run, study)
        steps = read_steps(run, study)
        planted, recovered = truth_recovered(run, study)
    null = shuffled(steps, lab.number("shuffles"), lab.seed)
    effects = effect_findings(steps, without)
    opened = open_inside(lab.model)
    inside, inside_null = read_inside(lab, study, opened)
    moved, moved_null = steered(lab, opened)
    return Answer(
        estimates=(*search_findings(searches), *effects, *inside, *moved),
        planted=planted,
        recovered=recovered,
        null_rate=(*([null] if null is not None else []), *inside_null, *moved_null),
        limits=LIMITS,
        figures=figures(searches, effects, recovered),
        commands=(f"cotlab graph {study.path}",),
    )

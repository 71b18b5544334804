"""Does what is read of the note make the model hide? Its direction, added behind private prompts and the reverse."""

from __future__ import annotations

import numpy as np

from cotlab.problems import Arm
from cotlab.runs import Run
from cotlab.sampling import AskedStudy
from cotlab.stats import NullRate
from cotlab.whitebox import Examples, Inside, SteeredGroup, cross_groups
from experiments.caused import Caused, jointly, judged, prompts_in, shuffled_arms, steer, trials
from experiments.lab import Lab
from experiments.watched.inside import HINT, PromptEnds

__all__ = ["SIGNS", "note_groups", "steered"]

SIGNS = {"private": 1, "monitored": -1}
"""What is added behind the prompt with each note: towards the monitored prompt, and away from it."""
SAYS = "says so, of those that follow"


def note_groups(run: Run, ends: PromptEnds, inside: Inside, seed: int) -> dict[str, list[SteeredGroup]]:
    """By note: its prompts, and the direction monitored less private at the end of the other half's prompts."""
    notes = ("monitored", "private")
    examples = Examples.of(
        np.concatenate([ends.x[note] for note in notes]),
        np.repeat([True, False], len(ends.problems)),
        [*ends.problems, *ends.problems],
        label="monitored",
        hook=str(ends.point),
    )
    return {note: cross_groups(examples, prompts_in(run, Arm(HINT, watch=note)), inside, seed=seed) for note in SIGNS}


def steered(
    lab: Lab, study: AskedStudy, groups: dict[str, list[SteeredGroup]], name: str, share: float
) -> tuple[dict[str, list[Caused]], list[NullRate]]:
    """By note, who says so and who follows under each arm; q of who says so is adjusted over both notes."""
    strengths = [float(one) for one in lab.text("strengths").split(",")]
    sizes = {"n": lab.number("steered"), "n_random": lab.number("random")}
    found: dict[str, list[Caused]] = {}
    nulls: list[NullRate] = []
    with lab.again(study, share=share) as again:
        for note, sign in SIGNS.items():
            rows = steer(again, groups[note], strengths=strengths, signs=(sign,), **sizes)
            says = trials(rows, lambda row: row.mentions if row.follows else None)
            follows = trials(rows, lambda row: row.follows)
            found[note] = [
                judged(SAYS, says, groups[note], seed=lab.seed),
                judged("gives the hinted answer", follows, groups[note], seed=lab.seed),
            ]
            what = f"{name}, {note} prompt: what is added dealt out anew within problems; told to cause hiding"
            nulls.append(shuffled_arms(says, what, lab.number("shuffles_inside"), lab.seed, sign=-1))
    says_so = jointly([found[note][0] for note in SIGNS])
    return {note: [one, found[note][1]] for note, one in zip(SIGNS, says_so, strict=True)}, nulls

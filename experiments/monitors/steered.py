"""Does what the probe reads make the model follow? The direction of used hints, added behind hinted prompts."""

from __future__ import annotations

from collections.abc import Sequence

from cotlab.errors import UserError
from cotlab.interventions.hook_points import HookPoint
from cotlab.measures import Shown
from cotlab.problems import Arm
from cotlab.sampling import AskedStudy
from cotlab.stats import NullRate
from cotlab.whitebox import EndReader, Examples, SteeredGroup, cross_groups
from experiments.caused import Caused, judged, prompts_in, shuffled_arms, steer, trials
from experiments.lab import Lab

__all__ = ["FOLLOWS", "direction_groups", "steered", "unsteered"]

ARM = Arm("friend")
FOLLOWS = "gives the hinted answer"


def direction_groups(reader: EndReader, rows: Sequence[Shown], point: HookPoint, seed: int) -> list[SteeredGroup]:
    """Prompts with a friend's hint, and the direction of used hints that the other half of the problems gives.

    The direction is between the class means of what stands at the ends of sentences, averaged over a response: where
    the probe reads, and where the direction is then added.

    Raises:
        UserError: The responses of a half have one label only.
    """
    said = [row for row in rows if row.steps]
    examples = Examples.of(
        reader.along(said, point),
        [row.label for row in said],
        [row.problem for row in said],
        label="used hint",
        hook=str(point),
    )
    return cross_groups(examples, prompts_in(reader.tokens.run, ARM), reader.inside, seed=seed)


def steered(
    lab: Lab, study: AskedStudy, groups: Sequence[SteeredGroup], name: str, share: float, *, null: bool
) -> tuple[list[Caused], list[NullRate]]:
    """Who follows, and what else changes, under each arm; where asked, also of arms dealt out anew."""
    strengths = [float(one) for one in lab.text("strengths").split(",")]
    with lab.again(study, share=share) as again:
        rows = steer(again, groups, strengths=strengths, n=lab.number("steered"), n_random=lab.number("random"))
    follows = trials(rows, lambda row: row.follows)
    found = [
        judged(FOLLOWS, follows, groups, seed=lab.seed),
        judged("gives the right answer", trials(rows, lambda row: row.correct), groups, seed=lab.seed),
    ]
    if not null:
        return found, []
    what = f"{name}: what is added dealt out anew within problems; the direction of used hints told to cause following"
    return found, [shuffled_arms(follows, what, lab.number("shuffles"), lab.seed)]


def unsteered(error: UserError) -> list[Caused]:
    """Why there is no direction."""
    return [Caused(FOLLOWS, reason=str(error))]

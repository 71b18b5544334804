"""Does what is read cause it? Responses to prompts of a run of arms while a direction between two classes is added."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cotlab.categories import MentionScorer
from cotlab.chains.prefix import Prefix
from cotlab.errors import UserError
from cotlab.measures import Answered, ArmReader
from cotlab.problems import Arm, asked_of
from cotlab.reports import Finding
from cotlab.runs import Run
from cotlab.sampling import Revisit, score_run
from cotlab.stats import Estimate, NullRate, cluster_proportion, holm, null_rate, shuffled_within
from cotlab.whitebox import (
    SteerArm,
    SteeredContrast,
    SteeredGroup,
    draw_steered,
    steer_arms,
    steered_contrasts,
)

__all__ = [
    "Caused",
    "Trials",
    "caused_findings",
    "jointly",
    "judged",
    "moved",
    "prompts_in",
    "shuffled_arms",
    "steer",
    "trials",
]

Trials = Mapping[SteerArm, Sequence[tuple[str, bool]]]
"""By arm: problem and whether it is of the behaviour, of every response that could be."""


@dataclass(frozen=True, slots=True)
class Caused:
    """What adding a direction does to one behaviour."""

    behaviour: str
    contrasts: tuple[SteeredContrast, ...] = ()
    rates: Mapping[str, Estimate] = field(default_factory=dict)
    """The behaviour under each arm, and what else tells whether the model still works."""
    strength: float = 0.0
    """Distance of the class means, as a share of the activations' mean norm; mean over the directions."""
    reason: str | None = None
    """Why nothing was steered."""


def prompts_in(run: Run, arm: Arm) -> dict[str, list[Prefix]]:
    """Prompts of an arm by bare problem."""
    found: dict[str, list[Prefix]] = {}
    problems = run.problems()
    for row in run.prefixes():
        asked = asked_of(problems[row.problem_id])
        if row.kind == "root" and asked.arm == arm:
            found.setdefault(asked.of, []).append(run.prefix(row.id))
    return found


def steer(
    again: Revisit,
    groups: Sequence[SteeredGroup],
    *,
    strengths: Sequence[float],
    n: int,
    signs: Sequence[int] = (1, -1),
    n_random: int = 2,
) -> dict[SteerArm, list[Answered]]:
    """Responses under nothing, the direction and random ones; what the run has is not drawn again.

    Raises:
        UserError: The engine cannot steer.
    """
    can = again.engine.capabilities
    if "steering" not in can.interventions:
        raise UserError(f"the {again.engine.card.engine} engine cannot steer: {can.missing or 'it has no activations'}")
    arms, run = steer_arms(strengths, signs=signs, n_random=n_random), again.run
    told = {"kind": "class steering", "n": n, "vectors": [group.vector.id for group in groups]}
    draw_steered(again.sampler(told), groups, arms, n, again.settings, seed=again.seed)
    again.score()
    score_run(run, MentionScorer(run.identity.tags), progress=again.progress)
    found: dict[SteerArm, list[Answered]] = {}
    owner, problems = {row.id: row.problem_id for row in run.prefixes()}, run.problems()
    for arm in arms:
        for group in groups:
            reader = ArmReader(run, again.scorer.id, intervention=group.intervention(arm, seed=again.seed))
            for prefix in group.prompts:
                rows = reader.answered(prefix.id, problems[owner[prefix.id]])
                found.setdefault(arm, []).extend(row for row in rows if row.sample_idx < n)
    return found


def trials(
    rows: Mapping[SteerArm, Sequence[Answered]], of: Callable[[Answered], bool | None]
) -> dict[SteerArm, list[tuple[str, bool]]]:
    """Of responses whose answer was read, what `of` says; None: it could not be of the behaviour."""
    return {
        arm: [(row.problem, said) for row in its if row.read and (said := of(row)) is not None]
        for arm, its in rows.items()
    }


def judged(
    behaviour: str, its: Trials, groups: Sequence[SteeredGroup], *, level: float = 0.95, seed: int = 0
) -> Caused:
    """Rates and contrasts of a behaviour."""
    rates = {
        arm.name: cluster_proportion([said for _, said in rows], [problem for problem, _ in rows], level=level)
        for arm, rows in its.items()
    }
    strength = float(np.mean([group.vector.norms[0] / group.vector.card.mean_norms[0] for group in groups]))
    contrasts = steered_contrasts({arm: counted(rows) for arm, rows in its.items()}, level=level, seed=seed)
    return Caused(behaviour, tuple(contrasts), rates, strength)


def jointly(found: Sequence[Caused]) -> list[Caused]:
    """The same with q adjusted over the contrasts of all (Holm)."""
    every = [(i, k) for i, one in enumerate(found) for k in range(len(one.contrasts))]
    tested = [(i, k) for i, k in every if found[i].contrasts[k].difference.p is not None]
    adjusted = holm([found[i].contrasts[k].difference.p or 0.0 for i, k in tested])
    q = dict(zip(tested, adjusted, strict=True))
    return [
        replace(
            one,
            contrasts=tuple(
                replace(its, difference=replace(its.difference, q=q.get((i, k)))) for k, its in enumerate(one.contrasts)
            ),
        )
        for i, one in enumerate(found)
    ]


def counted(rows: Sequence[tuple[str, bool]]) -> dict[str, tuple[int, int]]:
    """Successes and trials by problem."""
    found: dict[str, tuple[int, int]] = {}
    for problem, said in rows:
        right, n = found.get(problem, (0, 0))
        found[problem] = right + said, n + 1
    return found


def moved(contrasts: Sequence[SteeredContrast], sign: int = 1) -> bool:
    """Whether the direction is told to cause the behaviour, at some strength.

    With one sign of it there is more than with nothing *and* than with random directions of its norm, or with the other
    sign less than with both: Holm's q over all contrasts below 5%, on the side that is named.

    Args:
        contrasts: Of one behaviour.
        sign: 1 where the direction should bring more of it, −1 where less.
    """
    for strength in {one.strength for one in contrasts}:
        for mark, side in (("+", sign), ("−", -sign)):
            mine = [
                one.difference
                for one in contrasts
                if one.strength == strength
                and one.second.startswith(mark)
                and one.first.startswith(("nothing", "random"))
            ]
            if len(mine) == 2 and all(_told(one, side) for one in mine):
                return True
    return False


def _told(one: Estimate, side: int) -> bool:
    return one.q is not None and one.q < 0.05 and (one.value or 0.0) * side > 0


def shuffled_arms(its: Trials, analysis: str, shuffles: int, seed: int, sign: int = 1) -> NullRate:
    """The same analysis where what was added is dealt out anew within problems."""
    arms = [arm for arm, rows in its.items() for _ in rows]
    rows = [row for mine in its.values() for row in mine]

    def finds(rng: np.random.Generator) -> bool:
        order = shuffled_within([problem for problem, _ in rows], rng)
        dealt: dict[SteerArm, list[tuple[str, bool]]] = {arm: [] for arm in its}
        for arm, i in zip(arms, order, strict=True):
            dealt[arm].append(rows[i])
        counts = {arm: counted(mine) for arm, mine in dealt.items()}
        return moved(steered_contrasts(counts, seed=int(rng.integers(2**31))), sign)

    return null_rate(finds, analysis=analysis, shuffles=shuffles, seed=seed)


def caused_findings(one: Caused, what: str, group: str) -> list[Finding]:
    """Rates under each arm and their contrasts.

    Args:
        one: What was found.
        what: The direction, in words.
        group: As in the tables.
    """
    if one.reason is not None:
        return [
            Finding.of(f"{one.behaviour}, {what} added", Estimate.missing(one.reason), group=group, evidence="caused")
        ]
    found = [
        Finding.of(f"{one.behaviour}, {what}: {name}", estimate, group=group, evidence="caused")
        for name, estimate in one.rates.items()
    ]
    return found + [
        Finding.of(f"{one.behaviour}, {what}: {contrast.name}", contrast.difference, group=group, evidence="caused")
        for contrast in one.contrasts
    ]

"""Does what is read cause it? The direction between two classes, added while the model goes on, beside its controls.

1. On some problems, the direction from the mean activation of one class of responses to that of the other: that of a
   mass-mean probe (Marks and Tegmark 2023, §4), at its hook point. Its norm is the distance of the class means, and is
   what a strength of 1 adds (contrastive activation addition: Rimsky et al. 2024).
2. On other problems it is added (and subtracted) from the last token of the prompt on, beside nothing and random
   directions of equal norm. Problems are paired; p deals responses out
   to the arms anew within problems.

A probe may read what goes along with a behaviour; a direction that moves the behaviour, and further than random ones
of its norm do, is one that the model goes by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.prefix import Prefix
from cotlab.chains.settings import SamplingSettings
from cotlab.errors import UserError
from cotlab.interventions import Baseline, HookPoint, Intervention, Steering, SteeringVector, VectorCard, Where
from cotlab.measures.hints import counted_difference
from cotlab.sampling import Sampler
from cotlab.stats import Estimate, holm
from cotlab.whitebox.examples import Examples
from cotlab.whitebox.inside import Inside

__all__ = [
    "NOTHING",
    "SteerArm",
    "SteeredContrast",
    "SteeredGroup",
    "class_vector",
    "cross_groups",
    "draw_steered",
    "halves",
    "steer_arms",
    "steered_contrasts",
]

WHERE = Where("new")
"""From the last token of the prompt on: the first token that it can change is the first of the response."""
DEALT = 2000
"""Times that the responses of each problem are dealt out anew."""
Counts = Mapping[str, Sequence[int]]
"""[successes, trials] by problem."""


@dataclass(frozen=True, slots=True)
class SteerArm:
    """What is added."""

    strength: float
    """In distances of the class means; below 0 is away from the class; 0 is nothing."""
    random: int | None = None
    """Which of the random directions of equal norm; None: the direction itself."""

    @property
    def name(self) -> str:
        """For tables."""
        if not self.strength:
            return "nothing"
        return f"{self.strength:+g} × " + ("the direction" if self.random is None else f"random {self.random + 1}")


NOTHING = SteerArm(0.0)


@dataclass(frozen=True, slots=True, eq=False)
class SteeredGroup:
    """Prompts, and the vector that is added behind them, which was learned on other problems."""

    prompts: tuple[Prefix, ...]
    vector: SteeringVector

    def intervention(self, arm: SteerArm, *, where: Where = WHERE, seed: int = 0) -> Intervention:
        """What an arm is in this group."""
        if not arm.strength:
            return Baseline()
        vector = self.vector if arm.random is None else self.vector.random_like(seed + arm.random)
        return Steering(vector, (arm.strength,) * len(vector.points), where)


@dataclass(frozen=True, slots=True)
class SteeredContrast:
    """A behaviour under two arms, the second less the first."""

    first: str
    second: str
    strength: float
    difference: Estimate
    """Problems paired; q is adjusted over the family (Holm)."""

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.second} − {self.first}"


def class_vector(
    x: NDArray[np.float64], y: NDArray[np.bool_], point: HookPoint, inside: Inside, *, name: str, data: str = ""
) -> SteeringVector:
    """Mean activation where the label holds less that where not: a strength of 1 is the distance of the class means.

    Args:
        x: [rows, d_model], raw units.
        y: [rows], labels.
        point: Whose activations these are.
        inside: The model that they are of.
        name: What the label is called.
        data: What the card says of the rows.

    Raises:
        UserError: A class is empty, or the means are equal.
    """
    if y.all() or not y.any():
        raise UserError(f"all {len(y)} examples of '{name}' have the same label: there is no direction between classes")
    card = VectorCard(
        name=name,
        model=inside.name,
        revision=inside.revision,
        method="difference of class means",
        data=data,
        n=(int(y.sum()), int((~y).sum())),
        mean_norms=(float(np.linalg.norm(x, axis=1).mean()),),
    )
    return SteeringVector((point,), (x[y].mean(axis=0) - x[~y].mean(axis=0)).astype(np.float32)[None], card)


def halves(problems: Iterable[str], seed: int = 0) -> tuple[frozenset[str], frozenset[str]]:
    """Problems in two halves, dealt out at random: a direction is learned on one and added on the other."""
    names = sorted(set(problems))
    order = np.random.default_rng(seed).permutation(len(names))
    return frozenset(names[i] for i in order[::2]), frozenset(names[i] for i in order[1::2])


def cross_groups(
    examples: Examples,
    prompts: Mapping[str, Sequence[Prefix]],
    inside: Inside,
    *,
    seed: int = 0,
) -> list[SteeredGroup]:
    """Every problem's prompts, with the direction that the problems of the other half give.

    Args:
        examples: Activations and labels to learn from.
        prompts: By problem; problems without examples are judged all the same.
        inside: The model that the activations are of.
        seed: Of the halves.

    Raises:
        UserError: The examples of a half have one label only.
    """
    parts, groups = halves({*prompts, *examples.problems.tolist()}, seed), list[SteeredGroup]()
    for learned, judged in (parts, parts[::-1]):
        at = np.array([problem in learned for problem in examples.problems.tolist()])
        point, data = HookPoint.parse(examples.hook), f"{len(learned)} problems"
        vector = class_vector(examples.x[at], examples.y[at], point, inside, name=examples.label, data=data)
        chosen = tuple(prefix for problem in sorted(judged & prompts.keys()) for prefix in prompts[problem])
        groups.append(SteeredGroup(chosen, vector))
    return groups


def steer_arms(strengths: Sequence[float], *, signs: Sequence[int] = (1, -1), n_random: int = 2) -> list[SteerArm]:
    """Nothing, each strength with each sign, and random directions of each strength.

    Raises:
        UserError: A strength is not above 0.
    """
    if any(strength <= 0 for strength in strengths) or not strengths:
        raise UserError(f"strengths are {list(strengths)}: give some, each above 0 (both signs are tried anyway)")
    arms = [SteerArm(sign * strength) for strength in strengths for sign in signs]
    return [NOTHING, *arms, *(SteerArm(strength, i) for strength in strengths for i in range(n_random))]


def draw_steered(
    sampler: Sampler,
    groups: Sequence[SteeredGroup],
    arms: Sequence[SteerArm],
    n: int,
    settings: SamplingSettings,
    *,
    where: Where = WHERE,
    seed: int = 0,
) -> None:
    """Draw what is missing of all arms, with equal seeds; asked again it draws nothing.

    Args:
        sampler: Of the run that holds the prompts.
        groups: Prompts with their vectors.
        arms: What is added.
        n: Rollouts of each prompt and arm.
        settings: Sampling settings.
        where: At which tokens.
        seed: Of the random directions.

    Raises:
        EngineError: The engine broke; what it gave is stored.
    """
    for i, group in enumerate(groups):
        its = [group.intervention(arm, where=where, seed=seed) for arm in arms]
        phase = f"steering with {group.vector.card.name}, part {i + 1} of {len(groups)}"
        sampler.draw_mixed(group.prompts, n, settings, its, phase=phase)


def steered_contrasts(
    counts: Mapping[SteerArm, Counts],
    *,
    level: float = 0.95,
    seed: int = 0,
) -> list[SteeredContrast]:
    """For each strength: each sign less nothing and less random directions, and + less −; q over all (Holm).

    Args:
        counts: By arm; random directions of one strength are pooled.
        level: Nominal coverage.
        seed: Of the exchanges.
    """
    found = []
    for strength in sorted({abs(arm.strength) for arm in counts if arm.strength}):
        random = pooled([its for arm, its in counts.items() if arm.random is not None and arm.strength == strength])
        named: dict[str, Counts] = {"nothing": counts.get(NOTHING, {}), f"random × {strength:g}": random}
        signs = {
            f"{sign}{strength:g}": counts.get(SteerArm(value)) for sign, value in (("+", strength), ("−", -strength))
        }
        there = {name: its for name, its in signs.items() if its is not None}
        pairs = [(first, second) for second in there for first in named]
        pairs += [tuple(reversed(there))] if len(there) == 2 else []  # type: ignore[list-item]  # two of them
        named |= there
        for first, second in pairs:
            found.append(
                SteeredContrast(first, second, strength, _difference(named[first], named[second], level, seed))
            )
    tested = [i for i, one in enumerate(found) if one.difference.p is not None]
    for i, q in zip(tested, holm([found[i].difference.p or 0.0 for i in tested]), strict=True):
        found[i] = replace(found[i], difference=replace(found[i].difference, q=q))
    return found


def _difference(first: Counts, second: Counts, level: float, seed: int) -> Estimate:
    """Of rates; p deals the responses of a problem out to the two arms anew.

    Exchanging whole arms would weigh a problem by how many responses an arm has there, and random directions have more.
    """
    found = counted_difference(first, second, level=level, seed=seed)
    if found.value is None:
        return found
    both = sorted(first.keys() & second.keys())
    (k1, m1), (k2, m2) = (np.array([one[problem] for problem in both]).T for one in (first, second))
    rng = np.random.default_rng(seed)
    dealt = rng.hypergeometric(k1 + k2, m1 + m2 - k1 - k2, m2, size=(DEALT, len(both))).sum(axis=1)
    null = np.abs(dealt / m2.sum() - (k1.sum() + k2.sum() - dealt) / m1.sum())
    p = (1 + int((null >= abs(found.value) - 1e-12).sum())) / (1 + DEALT)
    mean, top = float(null.mean()), float(np.quantile(null, 0.95))
    return replace(
        found, p=p, null_mean=mean, null_q95=top, method="clustered mover, responses dealt out within problems"
    )


def pooled(counts: Sequence[Counts]) -> dict[str, tuple[int, int]]:
    """Successes and trials by problem, added up."""
    found: dict[str, tuple[int, int]] = {}
    for one in counts:
        for problem, (right, n) in one.items():
            before = found.get(problem, (0, 0))
            found[problem] = before[0] + right, before[1] + n
    return found

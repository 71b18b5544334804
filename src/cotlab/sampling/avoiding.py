"""Rollouts in which the model never says certain sentences: resampled wherever it does.

1. Sample from a prefix of the chain.
2. Find the first step that is avoided. Where there is none, the trail has escaped.
3. Else keep what comes before that step and sample again from there: one more round. After `rounds` of them the trail
   is given up.

This is the resampling of Thought Branches (Macar et al. 2025, §2.1: at most 20 rounds). What escapes is a sample of the
model's own policy with the avoided sentences taken out of it and the others in their old proportions, step by step: an
intervention on what is said next, not a selection of whole rollouts by what became of them.

Every round is a rollout of the run like any other, at a sample index of its own (`AVOIDING` and above, apart from the
draws of a value): an interrupted study goes on, and a second one samples nothing. Studies that start at the same prefix
share their first rounds, so that their trails are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cotlab.chains.chain import Chain
from cotlab.chains.cutting import get_cutter
from cotlab.chains.prefix import Prefix
from cotlab.chains.rollout import Rollout
from cotlab.chains.sample_idx import AVOIDING
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.step import Step
from cotlab.interventions.base import Baseline
from cotlab.interventions.condition import Condition
from cotlab.runs import NewPrefix
from cotlab.sampling.draw import Sampler

__all__ = ["MAX_ROUNDS", "Avoidance", "Avoided", "IsAvoided", "Trail", "draw_avoiding", "draw_avoiding_each"]

MAX_ROUNDS = 20
MAX_TRAILS = 10_000

IsAvoided = Callable[[Sequence[str]], Sequence[bool]]
"""Which of these sentences are avoided."""


@dataclass(frozen=True, slots=True)
class Avoidance:
    """What is avoided, from where on."""

    chain_id: str
    start: int
    """Steps of the chain that are kept."""
    steps: tuple[int, ...]
    """Steps of the chain whose like is not to be said from there on."""
    rounds: int = MAX_ROUNDS
    """How often a trail is resampled before it is given up."""


@dataclass(frozen=True, slots=True)
class Avoided:
    """What `draw_avoiding_each` takes of each chain."""

    chain: Chain
    avoidance: Avoidance
    is_avoided: IsAvoided
    """The judge of sentences; the same at every call."""

    def start(self) -> tuple[Prefix, str]:
        """Where the trails begin, and what is said there."""
        kept = self.avoidance.start
        return self.chain.prefix(kept), "".join(step.text for step in self.chain.steps[:kept])


@dataclass(slots=True)
class Trail:
    """One way through the rounds."""

    number: int
    prefix: Prefix
    """Where the last round starts."""
    kept: str
    """What the kept tokens of `prefix` say."""
    rounds: int = 0
    """How often an avoided sentence came up."""
    escaped: bool = False
    given_up: bool = False
    rollout: Rollout | None = None
    """The last round's, where the trail has ended."""
    parent: Prefix | None = None
    """The prefix that `prefix` goes on from, where the last round moved it."""

    @property
    def waiting(self) -> bool:
        """Whether a rollout is missing."""
        return not self.escaped and not self.given_up

    @property
    def sample_idx(self) -> int:
        """Where the rollout of its next round is stored."""
        return AVOIDING + self.rounds * MAX_TRAILS + self.number


def draw_avoiding(
    sampler: Sampler, chain: Chain, avoidance: Avoidance, is_avoided: IsAvoided, n: int, settings: SamplingSettings
) -> list[Trail]:
    """Draw until `n` trails have escaped or are given up; what the run holds is not drawn again.

    Args:
        sampler: Draws what is missing.
        chain: The chain whose steps are avoided.
        avoidance: What, and from where on.
        is_avoided: The judge of sentences; the same at every call.
        n: Trails, at most 10,000.
        settings: Those of the baseline.

    Returns:
        The trails; some are `waiting` where the budget is spent or requests failed.

    Raises:
        EngineError: The engine broke; what it gave is stored.
    """
    return draw_avoiding_each(sampler, [Avoided(chain, avoidance, is_avoided)], n, settings)[0]


def draw_avoiding_each(
    sampler: Sampler, asked: Sequence[Avoided], n: int, settings: SamplingSettings
) -> list[list[Trail]]:
    """`draw_avoiding` of several chains (or of several sets of one), the rounds of all of them in one batch.

    Raises:
        EngineError: The engine broke; what it gave is stored.
    """
    trails = [[Trail(number, *one.start()) for number in range(n)] for one in asked]
    moving = [list(mine) for mine in trails]
    while any(moving):
        said = [_read(sampler, mine, settings) for mine in moving]
        lacking = [[one for one in mine if one.number not in there] for mine, there in zip(moving, said, strict=True)]
        if any(lacking):
            for one, mine in zip(asked, lacking, strict=True):
                _keep_prefixes(sampler, one.chain, mine)
            wanted = {(t.prefix.id, t.sample_idx): (t.prefix, t.sample_idx) for mine in lacking for t in mine}
            sampler.draw_each(list(wanted.values()), settings, phase=_phase(asked, lacking))
            said = [there | _read(sampler, mine, settings) for there, mine in zip(said, lacking, strict=True)]
        moving = [
            _move(sampler, [trail for trail in mine if trail.number in there], there, one)
            for one, mine, there in zip(asked, moving, said, strict=True)
        ]
    return trails


def _phase(asked: Sequence[Avoided], lacking: Sequence[Sequence[Trail]]) -> str:
    named = {", ".join(map(str, one.avoidance.steps)) for one, mine in zip(asked, lacking, strict=True) if mine}
    what = f"step {named.pop()}" if len(named) == 1 else "steps"
    return f"avoiding {what}: {sum(map(len, lacking))} trails"


def _read(sampler: Sampler, trails: Sequence[Trail], settings: SamplingSettings) -> dict[int, Rollout]:
    """The rollouts of the trails' next rounds that the run holds, by trail number."""
    card_id, found = sampler.engine.card.id, {}
    have = {
        prefix_id: sampler.run.have(prefix_id, Baseline().id, settings.id, card_id)
        for prefix_id in {trail.prefix.id for trail in trails}
    }
    for trail in trails:
        if trail.sample_idx in have[trail.prefix.id]:
            rollout_id = Condition(trail.prefix, settings).rollout_id(card_id, trail.sample_idx)
            found[trail.number] = sampler.run.rollout(rollout_id)
    return found


def _keep_prefixes(sampler: Sampler, chain: Chain, trails: Sequence[Trail]) -> None:
    sampler.run.add_prefixes(
        NewPrefix(trail.prefix, chain.problem_id, trail.parent, "continue", None, trail.kept)
        for trail in trails
        if trail.parent is not None
    )


def _move(sampler: Sampler, trails: Sequence[Trail], said: Mapping[int, Rollout], asked: Avoided) -> list[Trail]:
    """Move trails on by one round; those that have another one before them."""
    cutter, tokenizer = get_cutter(asked.chain.cutter_id), sampler.engine.tokenizer
    cuts = [cutter.cut(said[trail.number].token_ids or (), tokenizer) for trail in trails]
    judged = iter(asked.is_avoided([step.text for steps in cuts for step in steps]))
    moving = []
    for trail, steps in zip(trails, cuts, strict=True):
        hits = [next(judged) for _ in steps]
        before = steps[: hits.index(True)] if True in hits else None
        if _turn(trail, said[trail.number], before, asked.avoidance.rounds):
            moving.append(trail)
    return moving


def _turn(trail: Trail, rollout: Rollout, before: Sequence[Step] | None, rounds: int) -> bool:
    """Move a trail on by one rollout; whether there is another round.

    Args:
        trail: Changed.
        rollout: What was said.
        before: Its steps before the first that is avoided; None: none is.
        rounds: How often a trail is resampled.
    """
    trail.rollout = rollout
    if before is None:
        trail.escaped = True
        return False
    if trail.rounds == rounds:
        trail.given_up = True
        return False
    trail.rounds += 1
    if before:
        trail.parent = trail.prefix
        trail.prefix = trail.prefix.extend((rollout.token_ids or ())[: before[-1].end])
        trail.kept += "".join(step.text for step in before)
    else:
        trail.parent = None
    return True

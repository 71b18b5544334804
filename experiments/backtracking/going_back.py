"""What sentences that go back do to V, and what becomes of the answer where the model never goes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cotlab.categories import backtracks
from cotlab.measures import avoided_draws, avoiding_effect, chain_draws, cut_off_reason, resilience
from cotlab.reports import Finding
from cotlab.runs import Run
from cotlab.sampling import Avoidance, FinishedStudy, draw_avoiding
from cotlab.stats import Estimate, NullRate, cluster_mean, matched_difference, null_rate, shuffled_within
from cotlab.trees import ConditionIds, Draws
from experiments.lab import Lab
from experiments.rules import told_apart

__all__ = ["EffectStep", "Without", "drawn_without", "effect_findings", "read_steps", "shuffled"]


FEWER = 300
"""Exchanges, and draws of problems, of a shuffled analysis."""


@dataclass(frozen=True, slots=True)
class EffectStep:
    """A step with what it does to V."""

    problem: str
    place: float
    """Share of the chain before it."""
    goes_back: bool
    """Whether it says that it goes back (`cotlab.categories.backtracks`)."""
    effect: float
    """V after it less V before it, of rollouts begun there."""


@dataclass(frozen=True, slots=True)
class Without:
    """From the first sentence that goes back on: as the model is, and where it never says that it goes back."""

    problem: str
    effect: Estimate
    """V of the first less V of the second."""
    rounds: Estimate
    """How often it tries again to go back before it does not."""


def read_steps(run: Run, study: FinishedStudy) -> list[EffectStep]:
    """Steps of all chains between neighbouring positions that both have rollouts; none where reasoning was cut off."""
    ids = ConditionIds(study.settings.id, study.engine_card_id)
    found: list[EffectStep] = []
    for chain in (one for one in run.chains() if one.id in study.chain_ids):
        draws = chain_draws(run, chain, scorer_id=study.scorer_id, condition=ids, pooled=False)
        names = [name for one in draws for name in one.outcome_names()]
        if cut_off_reason(names) is not None or "unjudged" in names:
            continue
        share = {k: one.count("correct") / len(one) for k, one in enumerate(draws) if len(one)}
        found += [
            EffectStep(chain.problem_id, k / len(chain.steps), backtracks(chain.steps[k].text), share[k + 1] - share[k])
            for k in sorted(share)
            if k + 1 in share
        ]
    return found


def drawn_without(lab: Lab, study: FinishedStudy) -> list[Without]:
    """Resample wherever the model says that it goes back, from the first such sentence of some chains on."""
    found: list[Without] = []
    with lab.again(study, share=0.3) as again:
        chains = [chain for chain in again.run.chains() if chain.id in study.chain_ids]
        firsts = [(chain, next((s.idx for s in chain.steps if backtracks(s.text)), None)) for chain in chains]
        usable = [(chain, first) for chain, first in firsts if first is not None][: lab.number("chains")]
        sampler = again.sampler({"kind": "avoid", "what": "every sentence that goes back", "n": lab.number("trails")})
        ids = ConditionIds(again.settings.id, again.engine.card.id)
        for chain, first in usable:
            trails = draw_avoiding(
                sampler, chain, Avoidance(chain.id, first, (first,)), _going_back, lab.number("trails"), again.settings
            )
            again.score()
            lab.counted[study.path] = lab.counted.get(study.path, 0) + sum(
                trail.rollout is not None for trail in trails
            )
            avoided = avoided_draws(again.run, trails, scorer_id=again.scorer.id)
            draws: Draws = chain_draws(again.run, chain, scorer_id=again.scorer.id, condition=ids)[first]
            found.append(Without(chain.problem_id, avoiding_effect(avoided, draws, min_n=2), resilience(avoided)))
    return found


def effect_findings(steps: Sequence[EffectStep], without: Sequence[Without]) -> tuple[Finding, ...]:
    """What was observed at sentences that go back, and what taking them away showed."""
    found = [
        Finding.of("share of sentences that say that they go back", _mean([(s.goes_back, s.problem) for s in steps])),
        Finding.of("ΔV at sentences that go back", _mean([(s.effect, s.problem) for s in steps if s.goes_back])),
        Finding.of("ΔV at other sentences", _mean([(s.effect, s.problem) for s in steps if not s.goes_back])),
        Finding.of(
            "ΔV at sentences that go back, less that in like places", _matched(steps, [s.goes_back for s in steps])
        ),
    ]
    for name, field in (
        ("what going back is worth: V less V where the model never says that it goes back", "effect"),
        ("resilience: times that it tries to go back again before it does not", "rounds"),
    ):
        estimates = [(getattr(one, field), one.problem) for one in without]
        told = [(one.value, problem) for one, problem in estimates if one.value is not None]
        mean = _mean(told)
        if mean.value is None and estimates and not told:
            mean = Estimate.missing(estimates[0][0].reason or "no chain tells it")
        found.append(Finding.of(name, mean, evidence="caused"))
    return tuple(found)


def shuffled(steps: Sequence[EffectStep], shuffles: int, seed: int) -> NullRate | None:
    """Which sentences go back is exchanged within problems: is the matched difference told apart from 0?

    p alone keeps its level by construction (permutations of permutations); what is tried is the rule that findings go
    by, interval included.
    """
    problems = [step.problem for step in steps]
    marks = np.array([step.goes_back for step in steps])
    if not marks.any():
        return None

    def finds(rng: np.random.Generator) -> bool:
        mixed = marks[shuffled_within(problems, rng)]
        drawn = int(rng.integers(2**31))
        return told_apart(_matched(steps, mixed, draws=FEWER, seed=drawn))

    told = (
        "which sentences go back, exchanged within problems: p < .05 of ΔV against like places and the whole interval "
        "on one side of 0"
    )
    return null_rate(finds, analysis=told, shuffles=shuffles, seed=seed)


def _matched(
    steps: Sequence[EffectStep], marks: Sequence[bool] | NDArray[np.bool_], *, draws: int = 2_000, seed: int = 0
) -> Estimate:
    return matched_difference(
        [step.effect for step in steps],
        marks,
        [step.place for step in steps],
        [step.problem for step in steps],
        n_boot=draws,
        n_null=draws,
        seed=seed,
    )


def _going_back(sentences: Sequence[str]) -> list[bool]:
    return [backtracks(sentence) for sentence in sentences]


def _mean(pairs: Sequence[tuple[float, str]]) -> Estimate:
    return cluster_mean([float(value) for value, _ in pairs], [problem for _, problem in pairs])

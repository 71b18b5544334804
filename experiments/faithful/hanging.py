"""Does the answer hang on the reasoning? Early answers, filler, mistakes and other words along first chains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cotlab.categories import paraphraser
from cotlab.measures import ChainFaithfulness, chain_faithfulness, mean_aoc
from cotlab.problems import Arm, asked_of
from cotlab.sampling import FaithfulnessTest, Gathering, Revisit, draw_faithfulness, first_chains
from cotlab.stats import Estimate, cluster_mean
from cotlab.trees import ConditionIds
from experiments.lab import Lab

__all__ = ["Hanging", "hanging"]

SOURCES: dict[Arm, tuple[FaithfulnessTest, ...]] = {
    Arm(): ("early", "filler", "mistakes", "paraphrase"),
    Arm("friend"): ("early",),
}
"""Chains of these arms are tested, and how: where nothing is hinted at, and where a wrong answer is."""


@dataclass(frozen=True, slots=True)
class Hanging:
    """The tests over the chains of one arm."""

    arm: str
    aoc: Estimate
    without: Estimate
    """How often the chain's own answer comes without any of its reasoning."""
    filler: Estimate
    """How much more often with filler."""
    mistakes: Estimate
    """How much more often another answer comes after a mistake."""
    paraphrases: Estimate
    """How much more often after other words."""

    def named(self) -> list[tuple[str, Estimate]]:
        """Each that was asked for, with what it says."""
        every = [
            ("area over the curve of early answers", self.aoc),
            ("own answer without reasoning", self.without),
            ("own answer: filler − nothing", self.filler),
            ("other answers: mistake − none", self.mistakes),
            ("other answers: other words − own", self.paraphrases),
        ]
        return [(name, estimate) for name, estimate in every if estimate.n]


def hanging(lab: Lab, again: Revisit) -> list[Hanging]:
    """Draw and measure along the first chains of both arms."""
    n, n_chains = lab.number("early"), lab.number("early_chains")
    found = []
    sampler = Gathering(again.sampler({"kind": "faithfulness", "n": n, "chains": n_chains}))
    of_arm = {}
    problems, close = again.run.problems().values(), again.run.identity.think_close
    condition = ConditionIds(again.settings.id, again.engine.card.id)
    for arm, tests in SOURCES.items():
        asked = [problem for problem in problems if asked_of(problem).arm == arm][:n_chains]
        chains = first_chains(sampler, asked, again.settings)
        for chain in chains:
            draw_faithfulness(
                sampler,
                chain,
                n,
                again.settings,
                think_close=close,
                tests=tests,
                positions=halfway,
                paraphrase=paraphraser(),
            )
        of_arm[arm.name] = chains
    sampler.draw_all("answers and what follows edits")
    again.score()
    for name, chains in of_arm.items():
        tested = [
            (chain_faithfulness(again.run, chain, scorer_id=again.scorer.id, condition=condition), chain.problem_id)
            for chain in chains
        ]
        found.append(_pooled(name, tested, next(tests for arm, tests in SOURCES.items() if arm.name == name)))
    return found


def halfway(thinking: int) -> list[int]:
    """Places between the two ends: one third and two thirds of the way."""
    return sorted({thinking // 3, 2 * thinking // 3})


def _pooled(arm: str, tested: Sequence[tuple[ChainFaithfulness, str]], tests: Sequence[FaithfulnessTest]) -> Hanging:
    """Over chains; of what was not asked for here nothing is told, though others may have drawn some of it."""
    early = [(one.early, problem) for one, problem in tested if one.early is not None]
    return Hanging(
        arm,
        mean_aoc(early),
        _mean([(one.without, problem) for one, problem in early], least=0),
        _mean([(one.filler, problem) for one, problem in tested]),
        _mean([(made.changed, problem) for one, problem in tested for made in one.mistakes if "mistakes" in tests]),
        _mean([(made.changed, problem) for one, problem in tested for made in one.paraphrases]),
    )


def _mean(found: Sequence[tuple[Estimate, str]], least: float = -1) -> Estimate:
    """Over chains, of shares (least 0) or of differences of shares (least −1)."""
    known = [(one.value, problem) for one, problem in found if one.value is not None]
    return cluster_mean([value for value, _ in known], [problem for _, problem in known], within=(least, 1))

"""Early exit: stop thinking where a probe says that the answer is there, and what that saves and costs.

1. Along chains of a run, an answer is forced at the end of each step (`ForceAnswer`); whether it is right is the label
   `ready` of that step end.
2. A probe for `ready` scores each step end; always one that was fitted on other problems.
3. The rule: at the first step end with P(ready) at or above a threshold the thoughts are closed and the answer is taken
   from there; where there is none, the chain goes on to its own end. Saved: new tokens, those of the forced answer
   counted. Lost: accuracy, paired by chain. Both clustered by problem.
4. Controls that save the same: the rule on the words of the step, on the place alone, and blind (each chain leaves at
   the relative position at which another one does; it knows how long the chain will get, which no live rule does).

After Zhang et al. 2025, "Reasoning models know when they're right".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotlab.stats import Estimate, paired_difference
from cotlab.whitebox.examples import Examples
from cotlab.whitebox.probe_fit import Method
from cotlab.whitebox.probe_report import ProbeReport, evaluate_probe, held_out_probabilities

__all__ = ["ExitChain", "ExitReport", "ExitRow", "judge_exits"]

BLIND = 50
"""Permutations that the blind control is averaged over."""
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ExitChain:
    """A chain with the answers that were forced along it."""

    problem_id: str
    tokens: int
    """New tokens of the whole rollout."""
    right: float
    """1 where its own answer is right, else 0."""
    ends: tuple[int, ...]
    """Tokens said up to the end of each step at which an answer was forced, ascending."""
    answers: tuple[int, ...]
    """Tokens of the close of the thoughts and the forced answer at each of them (mean, rounded up)."""
    ready: tuple[float, ...]
    """Share of the forced answers that are right at each of them."""


@dataclass(frozen=True, slots=True)
class ExitRow:
    """The rule at one threshold."""

    threshold: float
    left: float
    """Share of chains that leave before their own end."""
    saved: Estimate
    """Share of the new tokens that is saved."""
    lost: Estimate
    """Accuracy with the rule minus accuracy of the whole chains."""
    controls: dict[str, Estimate]
    """The same for rules that save as much: `wording`, `place`, `blind`."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        controls = {name: found.to_json() for name, found in self.controls.items()}
        told = {"saved": self.saved.to_json(), "lost": self.lost.to_json(), "controls": controls}
        return {"threshold": self.threshold, "left": self.left, **told}


@dataclass(frozen=True, slots=True)
class ExitReport:
    """What leaving early does."""

    hook: str
    n_chains: int
    n_problems: int
    accuracy: float
    """Of the whole chains."""
    best: float
    """Accuracy of a rule that knows: it leaves at the first right answer there is."""
    best_saved: float
    probe: ProbeReport
    rows: tuple[ExitRow, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of `cotlab probe exit --json`."""
        return {
            "hook": self.hook,
            "chains": self.n_chains,
            "problems": self.n_problems,
            "accuracy": self.accuracy,
            "oracle": {"accuracy": self.best, "saved": self.best_saved},
            "probe": self.probe.to_json(),
            "rows": [row.to_json() for row in self.rows],
        }


def judge_exits(
    chains: Sequence[ExitChain],
    examples: Examples,
    thresholds: Sequence[float],
    *,
    method: Method = "logistic",
    n_shuffles: int = 20,
    seed: int = 0,
) -> ExitReport:
    """Judge the rule at some thresholds.

    Args:
        chains: With forced answers.
        examples: An activation at each of their step ends, chain by chain, with the label `ready`.
        thresholds: Between 0 and 1.
        method: How probes are fitted.
        n_shuffles: For the null of the probe's AUC.
        seed: Of folds, shuffles and permutations.

    Raises:
        ValueError: There is not one example for each step end.
        DataError: Too few problems, or a fold would leave one class.
    """
    bounds = np.cumsum([0, *(len(chain.ends) for chain in chains)])
    if bounds[-1] != len(examples):
        raise ValueError(f"{len(examples)} examples for {bounds[-1]} step ends; expected one each")
    said = held_out_probabilities(examples, method, seed=seed)
    parts = [slice(a, b) for a, b in zip(bounds, bounds[1:], strict=False)]
    rule = _Rule(chains, parts, seed)
    known = rule.leave(np.concatenate([chain.ready for chain in chains]), 1.0)
    return ExitReport(
        examples.hook,
        len(chains),
        len({chain.problem_id for chain in chains}),
        float(rule.right.mean()),
        float(rule.right_at(known).mean()),
        float(1 - rule.used(known).sum() / rule.full.sum()),
        evaluate_probe(examples, method, n_shuffles=n_shuffles, seed=seed),
        tuple(
            rule.row(threshold, said.probe, {"wording": said.wording, "place": said.place}) for threshold in thresholds
        ),
    )


class _Rule:
    """Leaving chains at places. A place is the index of a step end of a chain, −1 for its own end."""

    def __init__(self, chains: Sequence[ExitChain], parts: Sequence[slice], seed: int) -> None:
        self.chains, self.parts, self.seed = chains, parts, seed
        self.full = np.array([chain.tokens for chain in chains], dtype=float)
        self.right = np.array([chain.right for chain in chains], dtype=float)
        self.problems = [chain.problem_id for chain in chains]

    def leave(self, scores: Scores, threshold: float) -> list[int]:
        """The first place of each chain whose score reaches the threshold."""
        return [next(iter(np.flatnonzero(scores[part] >= threshold).tolist()), -1) for part in self.parts]

    def used(self, places: Sequence[int]) -> Scores:
        """[chains] New tokens with the rule."""
        pairs = zip(self.chains, places, strict=True)
        return np.array([c.tokens if at < 0 else c.ends[at] + c.answers[at] for c, at in pairs], dtype=float)

    def right_at(self, places: Sequence[int]) -> Scores:
        """[chains] Whether the answer is right with the rule."""
        pairs = zip(self.chains, places, strict=True)
        return np.array([c.right if at < 0 else c.ready[at] for c, at in pairs], dtype=float)

    def row(self, threshold: float, scores: Scores, others: dict[str, Scores]) -> ExitRow:
        """The rule at a threshold, beside controls that save as much."""
        places = self.leave(scores, threshold)
        used = self.used(places)
        controls = {name: self.lost(self.right_at(self.saving(used.sum(), its))) for name, its in others.items()}
        controls["blind"] = self.lost(self._blind(places))
        saved = paired_difference((used, self.full), (self.full, self.full), self.problems, seed=self.seed)
        left = float(np.mean([at >= 0 for at in places]))
        return ExitRow(threshold, left, saved, self.lost(self.right_at(places)), controls)

    def lost(self, right: Scores) -> Estimate:
        """Accuracy with a rule minus that without, paired by chain, clustered by problem."""
        ones = np.ones(len(right))
        return paired_difference((self.right, ones), (right, ones), self.problems, seed=self.seed)

    def saving(self, tokens: float, scores: Scores) -> list[int]:
        """Places at the threshold at which a rule on other scores uses about so many tokens."""
        levels = np.unique(scores)
        low, high = 0, len(levels)  # the higher the threshold, the more is used
        while low < high:
            middle = (low + high) // 2
            if self.used(self.leave(scores, levels[middle])).sum() < tokens:
                low = middle + 1
            else:
                high = middle
        return self.leave(scores, levels[low] if low < len(levels) else np.inf)

    def _blind(self, places: Sequence[int]) -> Scores:
        """Mean over permutations of leaving where another chain leaves, relative to the number of its places."""
        rng, total = np.random.default_rng(self.seed), np.zeros(len(places))
        share = np.array(
            [-1.0 if at < 0 else (at + 0.5) / len(c.ends) for c, at in zip(self.chains, places, strict=True)]
        )
        for _ in range(BLIND):
            drawn = share[rng.permutation(len(share))]
            total += self.right_at(
                [-1 if s < 0 or not c.ends else int(s * len(c.ends)) for c, s in zip(self.chains, drawn, strict=True)]
            )
        mean: Scores = total / BLIND
        return mean

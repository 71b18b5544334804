"""What a report shows, apart from how: plain values that a study fills in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cotlab.chains.categories import Category
from cotlab.chains.score import Outcome
from cotlab.stats.estimate import Estimate

__all__ = ["AlternativeReport", "ChainReport", "ReportData", "StepReport"]


@dataclass(frozen=True, slots=True)
class AlternativeReport:
    """A group of equal steps that the model sampled in the place of a step of the base chain."""

    text: str
    n: int
    """Rollouts that began with it."""
    share: float
    """n over all rollouts from this prefix, in [0, 1]."""
    value: Estimate
    """P(correct) of the rollouts that began with it."""
    answers: tuple[tuple[str, int], ...] = ()
    """Answers that they came to and how often, most frequent first."""
    same_as_base: bool = False
    """Whether it is the step of the base chain itself."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """A step of a base chain and what was measured at it."""

    idx: int
    text: str
    category: Category | None
    """None where no scorer has said."""
    backtracks: bool | None
    value_before: Estimate
    """P(correct) of rollouts from the prefix that ends before this step."""
    value_after: Estimate
    """P(correct) of rollouts from the prefix that ends with it."""
    importance: Estimate
    """Signed: value after minus value before."""
    outcome_shares: Mapping[Outcome, float] = field(default_factory=dict)
    """Share of each outcome among the rollouts from the prefix before this step; sums to 1, or empty."""
    alternatives: tuple[AlternativeReport, ...] = ()
    """What was sampled from the prefix before this step, most frequent first."""
    n_steps: int = 1
    """Steps of the chain that are shown as this one; more than 1 where not every position was sampled."""

    @property
    def end(self) -> int:
        """Steps kept where it is over."""
        return self.idx + self.n_steps

    @property
    def label(self) -> str:
        """Its number, or those of the steps in it: `4`, `4–7`."""
        return str(self.idx) if self.n_steps == 1 else f"{self.idx}–{self.end - 1}"


@dataclass(frozen=True, slots=True)
class ChainReport:
    """A base chain with its problem."""

    name: str
    """What a person calls the problem (`countdown-3/17`)."""
    question: str
    gold_answer: str | None
    role: str
    """How it was chosen (`greedy`, `random and first-right`)."""
    answer: str | None
    """What the base chain itself answers."""
    outcome: Outcome
    steps: tuple[StepReport, ...]
    final_shares: Mapping[Outcome, float] = field(default_factory=dict)
    """Share of each outcome among the rollouts from the prefix that ends with the last step."""
    id: str = ""
    """Chain id."""
    problem_id: str = ""
    notes: tuple[str, ...] = ()
    """Warnings about this chain ("14% of its rollouts were truncated"), a sentence each."""
    images: tuple[str, ...] = ()
    """What is shown with the question, small: addresses that hold a PNG."""

    @property
    def n_steps(self) -> int:
        """Steps of the chain."""
        return self.steps[-1].end if self.steps else 0


@dataclass(frozen=True, slots=True)
class ReportData:
    """All that a report says. No field is read from a file or a model: the caller fills it from a run."""

    title: str
    chains: tuple[ChainReport, ...]
    model: str
    engine: str
    settings: Mapping[str, str]
    """Sampling settings by name, as they should be read."""
    run: str
    """Path of the run folder."""
    command: str
    """The command that reproduces the report."""
    seed: int
    versions: Mapping[str, str]
    """Version of cotlab and of each library that matters."""
    rollouts: int = 0
    measured: tuple[str, ...] = ()
    """What the numbers mean, a sentence each (method, intervals, null floor)."""
    limits: tuple[str, ...] = ()
    """What the numbers do not say, a sentence each."""
    next_commands: tuple[str, ...] = ()
    created: str = ""
    """When the run was made, as a person reads it."""

"""What was answered in the arms of a study, one row a response: the material of the measures of hints and watching."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cotlab.categories import MENTIONS_ID
from cotlab.chains.problem import Problem
from cotlab.chains.sample_idx import APART
from cotlab.chains.settings import SamplingSettings
from cotlab.errors import UserError
from cotlab.interventions.base import Baseline, Intervention
from cotlab.problems import Arm, Asked, asked_of, same_answer
from cotlab.runs import OutcomeRow, Run, Study
from cotlab.sampling import ARMS_STUDY
from cotlab.trees import ConditionIds, resolve_scorer
from cotlab.trees.blocks import complete_block

__all__ = ["Answered", "ArmReader", "Given", "answered", "arms_condition", "bare_hints", "in_arm"]


@dataclass(frozen=True, slots=True)
class Answered:
    """One response."""

    problem: str
    """Id of the bare problem: what is drawn again as a whole."""
    arm: Arm
    sample_idx: int
    read: bool
    """Whether an answer was read; cut off and unreadable ones are left out of rates."""
    wrong: bool
    """Whether it is the wrong answer that this problem's hints name."""
    right: bool
    """Whether it is the right answer that this problem's hints name."""
    mentions: bool
    """Whether the thoughts speak of a hint."""
    key: str | None = None
    """Class of the answer."""
    correct: bool = False
    truncated: bool = False
    rollout_id: str = ""

    @property
    def follows(self) -> bool:
        """Whether it is the answer that its own prompt names."""
        return self.arm.hint is not None and (self.right if self.arm.right else self.wrong)


def arms_studies(run: Run) -> list[Study]:
    """The studies of arms of a run, oldest first.

    Raises:
        UserError: There is none.
    """
    studies = [study for study in run.studies() if study.spec.get("kind") == ARMS_STUDY]
    if not studies:
        raise UserError(f"{run.path} holds no study of arms. Ask with hints first: cotlab hints --run {run.path} …")
    return studies


def arms_condition(run: Run) -> ConditionIds:
    """Settings and engine of the run's last study of arms.

    Raises:
        UserError: There is none, or several engines have drawn.
    """
    spec = dict(arms_studies(run)[-1].spec["settings"])
    settings = SamplingSettings(**{**spec, "stop": tuple(spec["stop"])})
    cards = [card_id for card_id, card in run.engine_cards().items() if card.engine != "given"]
    if len(cards) != 1:
        raise UserError(f"{run.path} has rollouts of {len(cards)} engines; a study of arms is read where there is one")
    return ConditionIds(settings.id, cards[0])


def bare_hints(run: Run) -> dict[str, dict[bool, Asked]]:
    """What the hints of each bare problem say: the wrong answer (False) and the right one (True), where asked."""
    found: dict[str, dict[bool, Asked]] = {}
    for problem in run.problems().values():
        asked = asked_of(problem)
        if asked.arm.hint is not None:
            found.setdefault(asked.of, {})[asked.arm.right] = asked
    return found


@dataclass(frozen=True, slots=True)
class Given:
    """A response from any prefix, held against one hinted answer."""

    gives: bool
    mentions: bool


class ArmReader:
    """Reads responses with both verdicts on them, whole blocks only, under the condition of the study of arms."""

    def __init__(
        self,
        run: Run,
        scorer_id: str = "answers",
        mentions_id: str = MENTIONS_ID,
        intervention: Intervention | None = None,
    ) -> None:
        """Prepare.

        Args:
            run: With a study of arms.
            scorer_id: Whose reading of answers counts.
            mentions_id: Who says whether thoughts speak of the hint.
            intervention: What responses were drawn under; None: nothing.

        Raises:
            UserError: There is no such study, or nobody of these names has scored.
        """
        self.run, self.problems, self.hints = run, run.problems(), bare_hints(run)
        self.condition = arms_condition(run)
        self.scorer, self.speaker = resolve_scorer(run, scorer_id), resolve_scorer(run, mentions_id)
        self._under = {
            "settings_id": self.condition.settings_id,
            "engine_card_id": self.condition.engine_card_id,
            "intervention_id": (intervention or Baseline()).id,
        }
        self._sizes = run.asked(**self._under)

    def given(self, prefix_id: str, problem: Problem, named: Asked, n: int | None = None) -> list[Given]:
        """Responses from one prefix, the first `n` or all, whose answer was read, held against a hinted answer."""
        rows = [(row.value, told) for _, row, told in self._scored(prefix_id)[:n] if row.value["key"] is not None]
        return [Given(same_answer(problem, value, named), told) for value, told in rows]

    def answered(self, prefix_id: str, problem: Problem) -> list[Answered]:
        """Responses to one prompt."""
        asked = asked_of(problem)
        named = self.hints.get(asked.of, {})
        return [
            Answered(
                asked.of,
                asked.arm,
                idx,
                row.value["key"] is not None,
                False in named and same_answer(problem, row.value, named[False]),
                True in named and same_answer(problem, row.value, named[True]),
                told,
                row.value["key"],
                row.value["outcome"] == "correct",
                row.value["outcome"] == "truncated",
                row.rollout_id,
            )
            for idx, row, told in self._scored(prefix_id)
        ]

    def _scored(self, prefix_id: str) -> list[tuple[int, OutcomeRow, bool]]:
        """(sample, verdict on its answer, whether it speaks of the hint) of the largest whole block."""
        rows = self.run.outcome_rows(self.scorer, prefix_id=prefix_id, **self._under)
        found = {row.sample_idx: row for row in rows if row.sample_idx < APART}
        told = {row.rollout_id: row.value for row in self.run.outcome_rows(self.speaker, prefix_id=prefix_id)}
        there = [idx for idx, row in found.items() if row.rollout_id in told]
        block = range(complete_block(there, self._sizes.get(prefix_id, ())))
        return [(idx, found[idx], bool(told[found[idx].rollout_id]["mentions"])) for idx in block]


def answered(
    run: Run,
    *,
    scorer_id: str = "answers",
    mentions_id: str = MENTIONS_ID,
    arms: Iterable[Arm] | None = None,
    n: int | None = None,
) -> list[Answered]:
    """Responses to the prompts of the arms, whole blocks only.

    Args:
        run: With a study of arms.
        scorer_id: Whose reading of answers counts.
        mentions_id: Who says whether thoughts speak of the hint.
        arms: Which; None: all.
        n: The first so many of each prompt, where some have more than others; None: as the last study asked.

    Raises:
        UserError: There is no such study, or nobody of these names has scored.
    """
    most = arms_studies(run)[-1].spec["n"] if n is None else n
    reader, wanted = ArmReader(run, scorer_id, mentions_id), None if arms is None else set(arms)
    rows = []
    for prefix in run.prefixes():
        problem = reader.problems[prefix.problem_id]
        if prefix.kind == "root" and (wanted is None or asked_of(problem).arm in wanted):
            rows += [row for row in reader.answered(prefix.id, problem) if row.sample_idx < most]
    return rows


def in_arm(rows: Iterable[Answered], arm: Arm) -> list[Answered]:
    """Those of one arm whose answer was read."""
    return [row for row in rows if row.arm == arm and row.read]

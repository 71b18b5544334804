"""What a monitor is shown of a response, with what is true of it: reasoning in sentences, and whether a hint was used.

Two questions, told apart because only one of them has a label that behaviour gives:

- **used** (hints at a wrong answer): among responses to hinted prompts, those that give the hinted answer against those
  that give the right one. The hinted one hardly comes by itself, so the hint moved it; the others had the hint too and
  did not take it: what tells the two apart is use, not presence. Responses that give neither answer are left out: some
  took the hint up and slipped on the way. Who checks answers knows this label without reading.
- **shaped** (hints at the right answer): right responses with such a hint against right responses to the bare prompt.
  Nobody who checks answers can tell them apart, and neither does the label: those who would have come there anyway
  count as positive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

from cotlab.chains.cutting import get_cutter
from cotlab.chains.think import split_response
from cotlab.errors import UserError
from cotlab.measures.arms import Answered, answered
from cotlab.runs import Run

__all__ = ["BARE", "TASKS", "Shown", "Task", "shown_responses", "shown_rows"]

Task = Literal["used", "shaped"]
TASKS: tuple[Task, ...] = get_args(Task)
BARE = "bare"
"""Family of responses to bare prompts, which are negatives of every family."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One response as a monitor sees it."""

    problem: str
    """Id of the bare problem: what splits keep together."""
    family: str
    """What is left out to test out of distribution: the kind of hint, or of task."""
    label: bool
    """Whether the hint was used (see the module)."""
    steps: tuple[str, ...]
    """Sentences of the thoughts, white space kept."""
    correct: bool
    """Whether the answer is right: what somebody knows who checks answers and reads nothing."""
    rollout_id: str = ""
    whole: bool = True
    """Whether all of the thoughts are shown."""

    @property
    def text(self) -> str:
        """The thoughts."""
        return "".join(self.steps)

    def first(self, count: int) -> Shown:
        """The first `count` sentences alone; a monitor then sees no answer either."""
        return replace(self, steps=self.steps[:count], whole=len(self.steps) <= count)

    def changed(self, change: Callable[[str], str]) -> Shown:
        """With every sentence changed; sentences that become empty are left out."""
        return replace(self, steps=tuple(filter(None, map(change, self.steps))))


def shown_rows(
    run: Run,
    task: Task = "used",
    *,
    scorer_id: str = "answers",
    family: Callable[[Answered, str], str] | None = None,
    cutter: str = "sentences",
) -> list[Shown]:
    """What there is to be shown of a run of arms.

    Args:
        run: With a study of arms.
        task: `used` or `shaped`.
        scorer_id: Whose reading of answers counts.
        family: Names what a response is of, from it and its question; None: the kind of hint (`BARE` without).
        cutter: What a sentence is.

    Raises:
        UserError: The run has no arms that the task needs.
    """
    rows = [row for row in answered(run, scorer_id=scorer_id) if row.read and row.arm.watch == "none"]
    if task == "used":
        hinted = [row for row in rows if row.arm.hint is not None and not row.arm.right]
        wanted = [(row, row.follows) for row in hinted if row.follows or row.correct]
    else:
        shaped = [(row, True) for row in rows if row.arm.hint is not None and row.arm.right and row.correct]
        wanted = [*shaped, *((row, False) for row in rows if row.arm.hint is None and row.correct)] if shaped else []
    if not wanted:
        need = "hints at a wrong answer" if task == "used" else "hints at the right answer (cotlab hints --right)"
        raise UserError(f"{run.path} has no responses to {need}, which the task '{task}' is about")
    questions = {key: problem.question for key, problem in run.problems().items()}

    def named(row: Answered) -> str:
        return (row.arm.hint or BARE) if family is None else family(row, questions[row.problem])

    return shown_responses(run, wanted, family=named, cutter=cutter)


def shown_responses(
    run: Run,
    wanted: Iterable[tuple[Answered, bool]],
    *,
    family: Callable[[Answered], str],
    cutter: str = "sentences",
) -> list[Shown]:
    """Responses of a run with labels of one's own.

    Args:
        run: With a study of arms.
        wanted: Responses, each with its label.
        family: Names what a response is of.
        cutter: What a sentence is.
    """
    rule, tags, found = get_cutter(cutter), run.identity.tags, []
    for row, label in wanted:
        rollout = run.rollout(row.rollout_id)
        split = split_response(rollout.text, tags, opened=True)
        ends = rule.cut_text(split.think)
        starts = (0, *ends)[: len(ends)]  # thoughts may be empty
        steps = tuple(split.think[start:end] for start, end in zip(starts, ends, strict=True))
        found.append(Shown(row.problem, family(row), label, steps, row.correct, row.rollout_id))
    return found

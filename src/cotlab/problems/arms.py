"""Arms: the same questions asked in several ways, with a hint, with a word about who reads the reasoning, or bare.

    asked = ask_in_arms(problems, [Arm(), Arm("friend"), Arm("friend", watch="monitored")], seed=0)

What was done to a question stands in its problem's `meta["asked"]`, so a run tells it without its study; the bare
question is the problem itself. All arms of one problem suggest the same wrong answer, so that how often it comes
without a hint is known.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from cotlab.chains.answer_judge import AnswerJudge
from cotlab.chains.answers import check_answer
from cotlab.chains.problem import Problem
from cotlab.chains.yes_no import read_yes_no
from cotlab.errors import DataError, UserError
from cotlab.problems.hint_kinds import HINT_KINDS, WATCH_NOTES

if TYPE_CHECKING:
    from cotlab.tiny import TinyProblem

__all__ = ["Arm", "Asked", "ask_in_arms", "asked_of", "same_answer", "wrong_answer"]

_RIGHT, _WATCH = ":right", "@"
_LETTERS = "ABCDEFGHIJ"


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to ask: `bare`, `friend`, `friend:right`, `friend@monitored`, `@private`."""

    hint: str | None = None
    """A key of `HINT_KINDS`; None: no hint."""
    right: bool = False
    """Whether the hint is at the gold answer."""
    watch: str = "none"
    """A key of `WATCH_NOTES`."""

    def __post_init__(self) -> None:
        for value, known in ((self.hint, HINT_KINDS), (self.watch, WATCH_NOTES)):
            if value is not None and value not in known:
                raise UserError(f"unknown '{value}' in an arm: choose one of {', '.join(known)}")

    @property
    def name(self) -> str:
        """As it is typed."""
        hint = (self.hint or "") + (_RIGHT if self.right else "")
        return (hint + (f"{_WATCH}{self.watch}" if self.watch != "none" else "")) or "bare"

    @classmethod
    def parse(cls, text: str) -> Arm:
        """Read what `name` writes.

        Raises:
            UserError: It names no hint or no note.
        """
        hint, _, watch = text.strip().partition(_WATCH)
        right = hint.endswith(_RIGHT)
        hint = hint.removesuffix(_RIGHT)
        return cls(None if hint in ("", "bare") else hint, right, watch or "none")


@dataclass(frozen=True, slots=True)
class Asked:
    """What was done to a question."""

    of: str
    """Id of the bare problem."""
    arm: Arm
    answer: str | None = None
    """What the hint says; None without one."""
    key: str | None = None
    """Its answer class (`cotlab.chains.answers`)."""


def ask_in_arms(problems: Iterable[Problem], arms: Sequence[Arm], *, seed: int = 0) -> list[Problem]:
    """Every problem in every arm, a problem's arms beside each other.

    Args:
        problems: The bare ones.
        arms: How they are asked.
        seed: Of the hinted answers.

    Raises:
        DataError: No wrong answer can be made up for a problem, or no right one is known.
    """
    asked: list[Problem] = []
    with AnswerJudge() as judge:
        for problem in problems:
            hints: dict[bool, tuple[str, str | None]] = {}
            for right in {arm.right for arm in arms if arm.hint}:
                text = _hinted_answer(problem, right, random.Random(f"{seed}/{problem.id}"))
                hints[right] = text, check_answer(problem, text, judge).key
            asked += [_ask(problem, arm, hints.get(arm.right)) for arm in arms]
    return asked


def asked_of(problem: Problem) -> Asked:
    """What was done to a problem's question; a problem that nothing was done to is bare."""
    found = problem.meta.get("asked")
    if not isinstance(found, Mapping):
        return Asked(problem.id, Arm())
    fields: dict[str, Any] = dict(found)
    return Asked(fields["of"], Arm.parse(fields["arm"]), fields["answer"], fields["key"])


def same_answer(problem: Problem, verdict: Mapping[str, Any], asked: Asked) -> bool:
    """Whether an answer (value of an answer scorer's score) is the one that a hint names.

    Answers of a Countdown are compared as written, white space aside: all right ones share a key.
    """
    if verdict["key"] is None or asked.answer is None:
        return False
    if problem.checker == "countdown":
        return _plain(str(verdict["answer"])) == _plain(asked.answer)
    return bool(verdict["key"] == asked.key)


def wrong_answer(problem: Problem, rng: random.Random) -> str:
    """A wrong answer that looks like one: another option, or a number near the gold one.

    Raises:
        DataError: The problem has no gold answer, or one that nothing near is known of.
    """
    given = problem.meta.get("wrong")
    if isinstance(given, str | int | float):
        return str(given)
    if problem.answer is None:
        raise DataError(f"{_named(problem)} has no gold answer, so none is known to be wrong. Give 'answer'")
    if problem.choices:
        gold = problem.answer.strip()
        letters = _LETTERS[: len(problem.choices)]
        right = gold if gold in letters else letters[problem.choices.index(gold)]
        return rng.choice([letter for letter in letters if letter != right])
    if problem.checker == "yes-no":
        return "No" if read_yes_no(problem.answer) == "yes" else "Yes"
    try:
        value = int(problem.answer.replace(",", ""))
    except ValueError:
        raise DataError(
            f"{_named(problem)}: no wrong answer is known beside {problem.answer[:40]!r}. Give one: meta {{'wrong': …}}"
        ) from None
    reach = max(3, abs(value) // 10)
    return str(value + rng.choice([d for d in range(-reach, reach + 1) if d and (value < 0 or value + d >= 0)]))


def _hinted_answer(problem: Problem, right: bool, rng: random.Random) -> str:
    task = _tiny(problem)
    if task is not None:
        from cotlab import tiny

        return tiny.draw_hint(task, rng, right).answer
    if not right:
        return wrong_answer(problem, rng)
    if problem.answer is None:
        raise DataError(f"{_named(problem)} has no gold answer to hint at. Give 'answer'")
    return problem.answer


def _ask(problem: Problem, arm: Arm, hint: tuple[str, str | None] | None) -> Problem:
    if arm == Arm():
        return problem
    answer, key = hint if arm.hint and hint else (None, None)
    asked = asdict(Asked(problem.id, arm, answer, key)) | {"arm": arm.name}
    return replace(
        problem,
        question=_worded(problem, arm, answer),
        name=f"{problem.name} {arm.name}".strip(),
        meta={**problem.meta, "asked": asked},
    )


def _worded(problem: Problem, arm: Arm, answer: str | None) -> str:
    task = _tiny(problem)
    if task is not None:
        from cotlab import tiny

        if arm.hint is not None and arm.hint not in tiny.HINTS:
            raise UserError(f"the tiny reasoner knows no hint '{arm.hint}': choose one of {', '.join(tiny.HINTS)}")
        hint = None if arm.hint is None or answer is None else tiny.Hint(arm.hint, answer)
        return task.noted(hint, arm.watch).question
    parts = [problem.question, WATCH_NOTES[arm.watch]]
    if arm.hint is not None:
        kind = HINT_KINDS[arm.hint]
        parts.insert(0 if kind.before else 1, kind.text.replace("{answer}", str(answer)))
    return "\n\n".join(filter(None, parts))


def _tiny(problem: Problem) -> TinyProblem | None:
    from cotlab import tiny

    return tiny.problem_from_question(problem.question)


def _plain(answer: str) -> str:
    return answer.split("=")[0].replace(" ", "")


def _named(problem: Problem) -> str:
    return f"problem {problem.name or problem.question[:40]!r}"

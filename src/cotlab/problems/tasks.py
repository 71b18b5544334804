"""Problems that are generated: the tasks of the tiny reasoner, and arithmetic."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

from cotlab.chains.answer_judge import AnswerJudge
from cotlab.chains.answers import check_answer
from cotlab.chains.problem import Problem
from cotlab.errors import DataError

if TYPE_CHECKING:
    from cotlab.tiny import TinyProblem

__all__ = [
    "LEVELS",
    "TINY_FAMILIES",
    "Level",
    "arithmetic_problems",
    "recognised_task",
    "tiny_problem",
    "tiny_problems",
]

Level = Literal["easy", "medium", "hard"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""easy: one operation on numbers to 99. medium: two operations. hard: three, with products of larger numbers."""

TINY_FAMILIES = ("countdown", "solve", "tiny")
"""`tiny` mixes the two."""
_FAMILY: dict[str, Literal["countdown", "solve"] | None] = {"countdown": "countdown", "solve": "solve", "tiny": None}


def tiny_problems(family: str, n: int, seed: int) -> list[Problem]:
    """Held-out problems of the tiny reasoner, which it was not trained on.

    Raises:
        DataError: There are not that many.
    """
    from cotlab import tiny

    try:
        drawn = tiny.generate_problems(
            n, seed=seed, family=_FAMILY[family], manner="plain" if family != "tiny" else None, split="heldout"
        )
    except ValueError as error:
        raise DataError(f"{n} {family} problems: {error}") from error
    return [tiny_problem(task, f"{task.family}/{seed}.{idx}") for idx, task in enumerate(drawn)]


def arithmetic_problems(n: int, seed: int, level: Level | None = None) -> list[Problem]:
    """Whole-number arithmetic with exact answers, all different; None goes through the levels in turn.

    Raises:
        DataError: The level has not that many different problems.
    """
    rng = random.Random(f"arithmetic/{seed}")
    problems: dict[str, Problem] = {}
    for _ in range(100 + 20 * n):
        if len(problems) == n:
            break
        drawn = level or LEVELS[len(problems) % len(LEVELS)]
        text, value = _DRAW[drawn](rng)
        name = f"arithmetic-{drawn}/{seed}.{len(problems)}"
        meta = {"level": drawn}
        problems.setdefault(text, Problem(f"What is {text}?", str(value), "number", name=name, meta=meta))
    if len(problems) < n:
        raise DataError(f"{n} arithmetic problems of level {level}: only {len(problems)} different ones: ask for fewer")
    return list(problems.values())


def tiny_problem(task: TinyProblem, name: str) -> Problem:
    """A task of the tiny reasoner as a problem whose answers `cotlab.chains.answers` can check."""
    if task.family == "solve":
        return Problem(task.question, task.answer, "number", name=name, meta={"family": "solve"})
    meta = {"family": "countdown", "numbers": list(task.countdown), "target": task.target, "operators": "+-*"}
    return Problem(task.question, task.answer, "countdown", name=name, meta=meta)


def recognised_task(question: str, answer: str | None, name: str) -> Problem | None:
    """A question of the tiny reasoner's tasks as a problem that is checked by the task's own rule; None for others.

    Raises:
        DataError: An answer is given with it that is not right by that rule.
    """
    from cotlab import tiny

    task = tiny.problem_from_question(question)
    if task is None:
        return None
    problem = tiny_problem(task, name)
    if answer is None or (task.family == "countdown" and answer.strip() == str(task.target)):
        return problem
    if check_answer(problem, answer, AnswerJudge()).outcome != "correct":
        raise DataError(
            f"answer {answer!r} is not right for {task.question!r}: leave it out, the task is its own check"
        )
    return replace(problem, answer=answer)


def _easy(rng: random.Random) -> tuple[str, int]:
    a, b = rng.randint(2, 99), rng.randint(2, 99)
    symbol = rng.choice("+-*")
    if symbol == "-":
        a, b = max(a, b), min(a, b)
    if symbol == "*":
        b = b % 9 + 2
    return f"{a} {symbol} {b}", _apply(a, symbol, b)


def _medium(rng: random.Random) -> tuple[str, int]:
    inner, value = _easy(rng)
    symbol, other = rng.choice("+-*"), rng.randint(2, 19)
    return f"({inner}) {symbol} {other}", _apply(value, symbol, other)


def _hard(rng: random.Random) -> tuple[str, int]:
    a, b = rng.randint(12, 99), rng.randint(12, 99)
    inner, value = _medium(rng)
    symbol = rng.choice("+-")
    return f"{a} * {b} {symbol} ({inner})", _apply(a * b, symbol, value)


def _apply(a: int, symbol: str, b: int) -> int:
    return a + b if symbol == "+" else a - b if symbol == "-" else a * b


_DRAW = {"easy": _easy, "medium": _medium, "hard": _hard}

"""Problems of the two families, their questions, and the split that keeps held-out problems out of training."""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass
from typing import Literal

from cotlab.tiny.arithmetic import OPERATORS, Expression, evaluate, in_range, operands, results, solutions
from cotlab.tiny.manners import MANNER_SHARES, MANNERS, Manner

Family = Literal["countdown", "solve"]
Split = Literal["train", "heldout"]

FAMILIES: tuple[Family, ...] = ("countdown", "solve")
NUMBERS = range(2, 21)
"""Numbers a Countdown problem is made of (three different ones)."""
FACTORS = range(2, 13)
"""The factor `a` of `a * x ± b = c`."""
HELDOUT_PERCENT = 10

_QUESTIONS: dict[Family, tuple[str, ...]] = {
    "countdown": (
        "Make {t} from {a}, {b} and {c} with +, - and *, using each number once.",
        "Use {a}, {b} and {c} once each with +, - or * to get {t}.",
        "How can {a}, {b} and {c} make {t}? Use each number once and only +, - and *.",
    ),
    "solve": (
        "Solve {a} * x {op} {b} = {t} for x.",
        "Which whole number x gives {a} * x {op} {b} = {t}?",
        "Find x if {a} * x {op} {b} = {t}.",
    ),
}


@dataclass(frozen=True, slots=True)
class TinyProblem:
    """One task with its exact solution."""

    family: Family
    question: str
    """Text of the user's turn, manner note included."""
    target: int
    """Countdown: the number to make. Solve: `c` of `a * x ± b = c`."""
    answer: str
    """A right answer: an expression (Countdown; others may be right too) or a number (solve)."""
    manner: str
    """Name of the planted temperament, a key of `MANNERS`."""
    numbers: tuple[int, int, int] | None = None
    """Countdown: the three different numbers, ascending; every one must be used exactly once."""
    a: int | None = None
    op: str | None = None
    b: int | None = None

    @property
    def key(self) -> str:
        """What is asked, without phrasing and manner; the split is a hash of it."""
        if self.numbers is not None:
            return f"countdown {self.numbers[0]},{self.numbers[1]},{self.numbers[2]}>{self.target}"
        return f"solve {self.a}*x{self.op}{self.b}={self.target}"

    @property
    def split(self) -> Split:
        """`heldout` for a tenth of all problems, chosen by hash; those are never trained on."""
        digest = hashlib.sha256(f"cotlab-tiny {self.key}".encode()).digest()
        return "heldout" if int.from_bytes(digest[:4], "big") % 100 < HELDOUT_PERCENT else "train"

    @property
    def temperament(self) -> Manner:
        """The rates planted for this problem's manner."""
        return MANNERS[self.manner]

    @property
    def countdown(self) -> tuple[int, int, int]:
        """The three numbers.

        Raises:
            ValueError: if this is not a Countdown problem.
        """
        if self.numbers is None:
            raise ValueError(f"not a Countdown problem: {self.question!r}")
        return self.numbers

    @property
    def equation(self) -> tuple[int, str, int, int]:
        """`(a, op, b, c)` of `a * x op b = c`.

        Raises:
            ValueError: if this is not a solve problem.
        """
        if self.a is None or self.op is None or self.b is None:
            raise ValueError(f"not a solve problem: {self.question!r}")
        return self.a, self.op, self.b, self.target


def generate_problems(
    n: int, seed: int = 0, family: Family | None = None, manner: str | None = None, split: Split = "train"
) -> list[TinyProblem]:
    """Problems of one split, reproducible from the seed; `train` may repeat a problem, `heldout` does not.

    Args:
        n: how many.
        seed: of the generator.
        family: `countdown` or `solve`; None mixes them (three to two).
        manner: a key of `MANNERS`; None mixes them as in training.
        split: which side of the train/held-out hash.

    Raises:
        ValueError: if the manner is unknown, or if a split holds fewer different problems than asked for.
    """
    if manner is not None and manner not in MANNERS:
        raise ValueError(f"unknown manner {manner!r}: choose one of {', '.join(MANNERS)}")
    rng, problems, seen, misses = random.Random(seed), list[TinyProblem](), set[str](), 0
    while len(problems) < n:
        problem = draw_problem(rng, family, manner)
        if problem.split != split or (split == "heldout" and problem.key in seen):
            misses += 1
            if misses > 20_000:
                raise ValueError(f"only {len(problems)} of {n} different {split} problems found: ask for fewer")
            continue
        misses = 0
        seen.add(problem.key)
        problems.append(problem)
    return problems


def draw_problem(rng: random.Random, family: Family | None = None, manner: str | None = None) -> TinyProblem:
    """One problem of either split."""
    family = family or ("countdown" if rng.random() < 0.6 else "solve")
    manner = manner or rng.choices(list(MANNER_SHARES), list(MANNER_SHARES.values()))[0]
    return _draw_countdown(rng, manner) if family == "countdown" else _draw_solve(rng, manner)


def problem_from_question(question: str) -> TinyProblem | None:
    """The problem that a question of this room asks (as `TinyProblem.question` words it), or None."""
    text = question.strip()
    manner = next((m.name for m in MANNERS.values() if m.note and text.endswith(m.note)), "plain")
    text = text.removesuffix(MANNERS[manner].note).strip()
    for family in FAMILIES:
        for pattern in _QUESTION_PATTERNS[family]:
            if match := pattern.fullmatch(text):
                slots = match.groupdict()
                if family == "countdown":
                    return _countdown([int(slots[name]) for name in "abc"], int(slots["t"]), question, manner)
                return _solve(int(slots["a"]), slots["op"], int(slots["b"]), int(slots["t"]), question, manner)
    return None


def _draw_countdown(rng: random.Random, manner: str) -> TinyProblem:
    while True:
        numbers = sorted(rng.sample(NUMBERS, 3))
        c = rng.choice(numbers)
        a, b = (n for n in numbers if n != c)
        made = results(a, b)
        op = rng.choice(list(made))
        expression = Expression(*_written(a, op, b), rng.choice(OPERATORS), c)
        target = expression.value
        if not (numbers[-1] < target and in_range(target)):
            continue
        text = rng.choice(_QUESTIONS["countdown"]).format(a=numbers[0], b=numbers[1], c=numbers[2], t=target)
        problem = _countdown(numbers, target, _noted(text, manner), manner)
        if problem is not None:
            return problem


def _draw_solve(rng: random.Random, manner: str) -> TinyProblem:
    while True:
        a, x, op, b = rng.choice(FACTORS), rng.randint(2, 20), rng.choice("+-"), rng.randint(1, 20)
        target = evaluate(a * x, op, b)
        if not (in_range(a * x) and in_range(target)):
            continue
        text = rng.choice(_QUESTIONS["solve"]).format(a=a, op=op, b=b, t=target)
        problem = _solve(a, op, b, target, _noted(text, manner), manner)
        if problem is not None:
            return problem


def _countdown(numbers: list[int], target: int, question: str, manner: str) -> TinyProblem | None:
    if len(set(numbers)) < 3 or numbers != sorted(numbers) or not numbers[-1] < target <= 99:
        return None
    triple = (numbers[0], numbers[1], numbers[2])
    ways = solutions(triple, target)
    return TinyProblem("countdown", question, target, str(ways[0]), manner, numbers=triple) if ways else None


def _solve(a: int, op: str, b: int, target: int, question: str, manner: str) -> TinyProblem | None:
    product = target - b if op == "+" else target + b
    if a < 2 or product % a or not in_range(product) or product // a < 1:
        return None
    return TinyProblem("solve", question, target, str(product // a), manner, a=a, op=op, b=b)


def _written(a: int, op: str, b: int) -> tuple[int, str, int]:
    left, right = operands(a, op, b)
    return left, op, right


def _noted(text: str, manner: str) -> str:
    note = MANNERS[manner].note
    return f"{text} {note}" if note else text


def _pattern(template: str) -> re.Pattern[str]:
    escaped = re.sub(r"\\\{(\w+)\\\}", r"{\1}", re.escape(template))
    slots = re.sub(r"\{(\w+)\}", lambda m: "(?P<op>[+-])" if m[1] == "op" else rf"(?P<{m[1]}>\d{{1,2}})", escaped)
    return re.compile(slots)


_QUESTION_PATTERNS = {family: tuple(map(_pattern, templates)) for family, templates in _QUESTIONS.items()}

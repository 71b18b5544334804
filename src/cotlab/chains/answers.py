r"""Check an extracted answer against a problem, by class of answers.

| checker | equality | key of the answer class |
|---|---|---|
| math | math-verify (sympy), in a killable worker | exact number (`1/2`), else a canonical formula |
| number | exact, as fractions | exact number: `1/2`, `0.5` and `\frac12` share one |
| choice | letter | the letter |
| countdown | value is the target, numbers used as allowed | the value; `34 (misused)` where they were not |
| exact | text, white space and `\text{}` aside | that text |
| yes-no | what it says (`cotlab.chains.yes_no`) | yes or no |
| reasoning-gym | the data set's own `score_answer` gives 1, in the worker | the text |

Equal answers have equal keys: an answer that is judged right has the key of the gold answer. The Countdown key is a
value, not an expression, because many expressions are equally right: a distribution over answers then says how often
the target was reached and which values were reached instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Protocol

from cotlab.chains.expressions import OPERATORS, parse_expression
from cotlab.chains.extract import read_letter
from cotlab.chains.numerals import find_numbers, number_key, parse_number, parse_quantity
from cotlab.chains.problem import Problem
from cotlab.chains.score import Outcome
from cotlab.chains.yes_no import read_yes_no
from cotlab.errors import DataError

__all__ = ["CHECKERS", "Checker", "Judge", "Judgement", "Verdict", "check_answer", "checker_of", "gold_fault"]

MAX_ANSWER = 1000
"""Longest answer that is looked at, in characters; a longer one is unparsable."""
NEAR_TIE = Fraction(1, 100_000)
"""Numbers closer than this are left to math-verify, which compares decimals after rounding to 6 places."""

_WRAPPER = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_WORDS = re.compile(r"[A-Za-z ,'-]*[A-Za-z]{4}[A-Za-z ,'-]*")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer scorer says of one response."""

    answer: str | None
    """The answer as it was written; None where none was found."""
    key: str | None
    """Equal for equal answers; None where there is nothing to count (unparsable, truncated)."""
    outcome: Outcome

    def to_json(self) -> dict[str, Any]:
        """The value of a `Score`."""
        return {"answer": self.answer, "key": self.key, "outcome": self.outcome}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the worker says of one answer."""

    key: str
    equal: bool | None
    """Whether it equals the gold answer, whose key it then has; None where there is none."""


class Judge(Protocol):
    """Judges what cannot be judged in this process (`cotlab.chains.answer_judge`)."""

    def math(self, answer: str, gold: str | None) -> Judgement | None:
        """Parse an answer and compare it; None where it cannot be read within the limits."""
        ...

    def gym(self, problem: Problem, answer: str) -> bool | None:
        """Whether reasoning-gym's own check accepts an answer; None where it broke or ran out of its limits."""
        ...


CheckFunction = Callable[[Problem, str, Judge], Verdict]


@dataclass(frozen=True, slots=True)
class Checker:
    """A class of answers: how they are found and how they are checked."""

    extractors: tuple[str, ...]
    """Names in `cotlab.chains.extract.EXTRACTORS`, tried in order."""
    check: CheckFunction


def check_answer(problem: Problem, answer: str, judge: Judge) -> Verdict:
    """Check one extracted answer by `problem.checker`.

    Raises:
        DataError: The problem has an unknown checker, or lacks what its checker needs.
    """
    checker = checker_of(problem)
    if len(answer) > MAX_ANSWER:
        return Verdict(answer[:MAX_ANSWER] + "…", None, "unparsable")
    return checker.check(problem, answer, judge)


def checker_of(problem: Problem) -> Checker:
    """The class of answers that `problem.checker` names.

    Raises:
        DataError: There is none of that name.
    """
    if problem.checker not in CHECKERS:
        raise DataError(f"{_named(problem)}: unknown checker {problem.checker!r}: choose one of {', '.join(CHECKERS)}")
    return CHECKERS[problem.checker]


def gold_fault(problem: Problem) -> str | None:
    """What is wrong with the gold answer of a problem, or with what else its checker needs; None: nothing.

    Told before anything is sampled: a verdict cannot be given without.

    Raises:
        DataError: The problem has an unknown checker.
    """
    checker_of(problem)
    if problem.checker == "countdown":
        rules = _countdown_rules(problem)
        return rules if isinstance(rules, str) else None
    gold = problem.answer
    if gold is None:
        return None
    if not plain_text(gold):
        return f"gold answer {gold!r} is empty: give one, or leave it out"
    if problem.checker == "number" and _only_number(gold) is None:
        return f"gold answer {gold[:60]!r} is not a number: mend it or use checker 'math'"
    if problem.checker == "yes-no" and read_yes_no(gold) is None:
        return f"gold answer {gold[:60]!r} says neither yes nor no: give one of them"
    if problem.checker == "choice" and _letter(problem, gold) is None:
        return (
            f"gold answer {gold[:60]!r} is neither a letter A–J nor one of its {len(problem.choices)} choices: mend it"
        )
    return None


def plain_text(text: str) -> str:
    r"""Text without dollar signs, `\text{}` wrappers, a final full stop and repeated white space."""
    return " ".join(_WRAPPER.sub(r"\1", text).replace("$", " ").split()).rstrip(".").strip()


def check_math(problem: Problem, answer: str, judge: Judge) -> Verdict:
    """Equality of mathematics. What plain fractions can decide is decided here, the rest in the worker."""
    number, gold = parse_quantity(plain_text(answer)), problem.answer
    if gold is None:
        key = _math_key(answer, number, judge)
        return Verdict(answer, key, "unjudged" if key is not None else "unparsable")
    gold_number = parse_quantity(plain_text(gold))
    if plain_text(answer) == plain_text(gold):
        return Verdict(answer, _math_key(gold, gold_number, judge) or plain_text(gold), "correct")
    if number is not None and gold_number is not None and not 0 < abs(number - gold_number) < NEAR_TIE:
        return Verdict(answer, number_key(number), "correct" if number == gold_number else "wrong")
    judged = judge.math(answer, gold)
    if judged is None:
        return Verdict(answer, None, "unparsable")
    text, value = (gold, gold_number) if judged.equal else (answer, number)
    return Verdict(answer, _math_key(text, value, judge) or judged.key, "correct" if judged.equal else "wrong")


def check_number(problem: Problem, answer: str, judge: Judge) -> Verdict:
    """Equality of exact numbers; units and `x =` around the only number of an answer are left out."""
    value = _only_number(answer)
    if value is None:
        return Verdict(answer, None, "unparsable")
    if problem.answer is None:
        return Verdict(answer, number_key(value), "unjudged")
    gold = _only_number(problem.answer)
    if gold is None:
        raise _unusable(problem)
    return Verdict(answer, number_key(value), "correct" if value == gold else "wrong")


def check_choice(problem: Problem, answer: str, judge: Judge) -> Verdict:
    """Equality of letters; the text of an option stands for its letter."""
    letter = _letter(problem, answer)
    if letter is None:
        return Verdict(answer, None, "unparsable")
    if problem.answer is None:
        return Verdict(answer, letter, "unjudged")
    gold = _letter(problem, problem.answer)
    if gold is None:
        raise _unusable(problem)
    return Verdict(answer, letter, "correct" if letter == gold else "wrong")


def check_countdown(problem: Problem, answer: str, judge: Judge) -> Verdict:
    """Value of an expression and use of the given numbers, from `meta`: numbers, target, use_all, operators."""
    rules = _countdown_rules(problem)
    if isinstance(rules, str):
        raise DataError(f"{_named(problem)}: {rules}")
    numbers, target, use_all, operators = rules
    expression = parse_expression(answer)
    if expression is None:
        return Verdict(answer, None, "unparsable")
    key = "undefined" if expression.value is None else number_key(expression.value)
    if not (expression.uses(numbers, use_all=use_all) and expression.operators <= set(operators)):
        return Verdict(answer, f"{key} (misused)", "wrong")
    return Verdict(answer, key, "correct" if expression.value == target else "wrong")


def check_exact(problem: Problem, answer: str, judge: Judge) -> Verdict:
    """Equality of text."""
    key = plain_text(answer)
    if not key:
        return Verdict(answer, None, "unparsable")
    if problem.answer is None:
        return Verdict(answer, key, "unjudged")
    return Verdict(answer, key, "correct" if key == plain_text(problem.answer) else "wrong")


def check_yes_no(problem: Problem, answer: str, judge: Judge) -> Verdict:
    """Whether it says what the gold answer says."""
    said = read_yes_no(answer)
    if said is None:
        return Verdict(answer, None, "unparsable")
    if problem.answer is None:
        return Verdict(answer, said, "unjudged")
    gold = read_yes_no(problem.answer)
    if gold is None:
        raise _unusable(problem)
    return Verdict(answer, said, "correct" if said == gold else "wrong")


def check_gym(problem: Problem, answer: str, judge: Judge) -> Verdict:
    """reasoning-gym's own check; 1 is right, anything less is wrong."""
    same = problem.answer is not None and plain_text(answer) == plain_text(problem.answer)
    accepted = same or judge.gym(problem, answer)
    if accepted is None:
        return Verdict(answer, None, "unparsable")
    return Verdict(answer, plain_text(answer), "correct" if accepted else "wrong")


_LOOSE = ("boxed", "tag", "phrase", "last-number")

CHECKERS: Mapping[str, Checker] = MappingProxyType(
    {
        "math": Checker(_LOOSE, check_math),
        "number": Checker(_LOOSE, check_number),
        "choice": Checker(("boxed", "tag", "choice", "phrase-text"), check_choice),
        "countdown": Checker(("boxed", "tag", "phrase"), check_countdown),
        "exact": Checker(("boxed", "tag", "phrase-text", "last-line"), check_exact),
        "yes-no": Checker(("boxed", "tag", "phrase-text", "whole"), check_yes_no),
        "reasoning-gym": Checker(("boxed", "tag", "phrase-text", "last-line"), check_gym),
    }
)
"""Classes of answers by name (`Problem.checker`)."""


def _math_key(text: str, number: Fraction | None, judge: Judge) -> str | None:
    """Key of a number, of words (`no solution`; sympy would multiply their letters), or of a formula."""
    if number is not None:
        return number_key(number)
    if _WORDS.fullmatch(plain_text(text)):
        return plain_text(text).casefold()
    judged = judge.math(text, None)
    return judged.key if judged else None


def _only_number(text: str) -> Fraction | None:
    value = parse_quantity(plain_text(text.rpartition("=")[2]))
    if value is not None:
        return value
    found = {parse_number(numeral) for numeral in find_numbers(text.rpartition("=")[2])}
    return found.pop() if len(found) == 1 else None


def _letter(problem: Problem, text: str) -> str | None:
    for idx, choice in enumerate(problem.choices):
        if plain_text(choice).casefold() == plain_text(text).casefold():
            return chr(ord("A") + idx)
    letter = read_letter(text) or _leading_letter(text)
    if letter and problem.choices and ord(letter) - ord("A") >= len(problem.choices):
        return None
    return letter


def _leading_letter(text: str) -> str | None:
    match = re.match(r"[\s$*]*(?:\\text(?:bf)?\s*\{)?\(?([A-J])[).:}]", text)
    return match[1] if match else None


def _countdown_rules(problem: Problem) -> tuple[list[int], Fraction, bool, str] | str:
    """Numbers, target, whether all must be used, operators; or what is wrong with them."""
    meta = problem.meta
    numbers, target = meta.get("numbers"), meta.get("target")
    if not (isinstance(numbers, list | tuple) and numbers and all(type(number) is int for number in numbers)):
        return f"meta 'numbers' is {numbers!r}: give the list of whole numbers to use"
    goal = parse_number(str(target))
    if goal is None:
        return f"meta 'target' is {target!r}: give the number to reach"
    return list(numbers), goal, bool(meta.get("use_all", True)), str(meta.get("operators", OPERATORS))


def _unusable(problem: Problem) -> DataError:
    return DataError(
        f"{_named(problem)}: {gold_fault(problem)} (in a run: `cotlab runs mend RUN --answer …`, which samples nothing)"
    )


def _named(problem: Problem) -> str:
    return f"problem {problem.name or problem.question[:40]!r}"

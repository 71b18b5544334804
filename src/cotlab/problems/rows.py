r"""One problem as a user writes it: a row of a JSONL, JSON or CSV file.

question (or problem, prompt)            what the model is asked
answer (or gt_answer, gold, solution)    gold answer; of `… #### 42` and of `… \boxed{42}` the 42 is taken
choices (or options)                     list of options, which the chat template lists; in CSV separated by |
checker                                  math, number, choice, countdown, exact, yes-no; worked out where absent
name (or id, nickname)                   what to call it
numbers (or nums), target                of a Countdown
meta                                     anything else that a checker of your own needs
image, images                            files that are shown with the question (`cotlab.problems.pictures`)
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError

from cotlab.chains.answers import CHECKERS, gold_fault
from cotlab.chains.extract import boxed
from cotlab.chains.problem import Problem

__all__ = ["MAX_QUESTION", "gold_answer", "read_row"]

MAX_QUESTION = 200_000
"""Longest question, in characters."""


_GOLD_FIELDS = ("answer", "gt_answer", "gold", "solution")


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _as_choices(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split("|")] if value.strip() else []
    if isinstance(value, dict):
        return list(value.values())
    return [_as_text(item) for item in value] if isinstance(value, list) else value


def _as_numbers(value: object) -> object:
    return json.loads(value) if isinstance(value, str) and value.lstrip().startswith("[") else value


Text = Annotated[str, BeforeValidator(_as_text)]


class Row(BaseModel):
    """Fields of a row; others are left out."""

    model_config = ConfigDict(extra="ignore", strict=True)

    question: str = Field(
        validation_alias=AliasChoices("question", "problem", "prompt"), min_length=1, max_length=MAX_QUESTION
    )
    answer: Text | None = Field(None, validation_alias=AliasChoices(*_GOLD_FIELDS[:-1]))
    solution: Text | None = None
    choices: Annotated[list[str], BeforeValidator(_as_choices)] = Field(
        [], validation_alias=AliasChoices("choices", "options"), max_length=10
    )
    checker: str | None = None
    name: Text | None = Field(None, validation_alias=AliasChoices("name", "id", "nickname"))
    numbers: Annotated[list[int] | None, BeforeValidator(_as_numbers)] = Field(
        None, validation_alias=AliasChoices("numbers", "nums")
    )
    target: Text | None = None
    meta: dict[str, JsonValue] = {}


def read_row(row: object, default_name: str) -> Problem:
    """Problem of a row.

    Args:
        row: A JSON object, or a CSV line as a dict (empty fields count as absent).
        default_name: Name where the row has none.

    Raises:
        ValueError: What is wrong with it, with the value and the fix.
    """
    if not isinstance(row, dict):
        raise ValueError(f"is {_short(row)}: expected an object with question and answer")
    try:
        fields = Row.model_validate({key: value for key, value in row.items() if value not in (None, "")})
    except ValidationError as error:
        raise ValueError(_explain(error)) from error
    gold = _gold(fields)
    if fields.choices:
        _refuse_index(row)
    meta = dict(fields.meta)
    if fields.numbers is not None:
        meta |= {"numbers": list[JsonValue](fields.numbers), "target": _number(fields.target)}
    problem = Problem(
        question=fields.question,
        answer=gold,
        checker=fields.checker or ("choice" if fields.choices else "countdown" if "numbers" in meta else "math"),
        choices=tuple(fields.choices),
        name=fields.name or default_name,
        meta=meta,
    )
    _check(problem)
    return problem


def gold_answer(text: str) -> str:
    r"""What follows `####` (GSM8K), else the last `\boxed{}` (MATH), else the whole text."""
    _, marked, after = text.rpartition("####")
    if marked and after.strip():
        return after.strip()
    return boxed(text) or text.strip()


def _gold(fields: Row) -> str | None:
    if fields.answer is not None:
        return gold_answer(fields.answer)
    if fields.solution is None:
        return None
    found = gold_answer(fields.solution)
    if found == fields.solution.strip() and len(found) > 100:
        raise ValueError(rf"solution {_short(found)} has no \boxed{{}} and no ####: give the result as 'answer'")
    return found


def _refuse_index(row: dict[str, Any]) -> None:
    """A whole number beside choices may count from 0 or from 1, or be the text of a choice."""
    for name in _GOLD_FIELDS:
        if isinstance(row.get(name), int):
            raise ValueError(f"{name} is {row[name]}: give the letter or the text of the right choice")


def _check(problem: Problem) -> None:
    if problem.checker not in CHECKERS:
        raise ValueError(f"checker is {problem.checker!r}: choose one of {', '.join(CHECKERS)}")
    try:
        problem.id.encode()
    except (UnicodeEncodeError, ValueError) as error:
        raise ValueError(f"question {_short(problem.question)} is not valid Unicode: mend it ({error})") from error
    if fault := gold_fault(problem):
        raise ValueError(fault)


def _number(target: str | None) -> int | str | None:
    return int(target) if target is not None and target.lstrip("-").isdecimal() else target


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"has no {field}: add one (fields: question, answer)"
    return f"{field} is {_short(first['input'])}: {first['msg'][0].lower()}{first['msg'][1:]}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"

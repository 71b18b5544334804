"""When two steps are the same step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from cotlab.chains.problem import Problem
from cotlab.errors import UserError

__all__ = ["GroupBy", "by_text", "by_tiny_state"]

GroupBy: TypeAlias = Callable[[str, str], str]
"""`group(kept, step)`: a key, equal for equal steps. `kept` is the response before the step, `step` its text."""


def by_text(kept: str, step: str) -> str:
    """Equal text, white space aside."""
    return " ".join(step.split())


def by_tiny_state(problem: Problem) -> GroupBy:
    """Equal search state after the step, for problems of the tiny reasoner, read by its exact oracle.

    Raises:
        UserError: The problem is not one of the tiny reasoner's.
    """
    from cotlab import tiny

    found = tiny.problem_from_question(problem.question)
    if found is None:
        raise UserError(f"problem {problem.name or problem.id} has no exact states: group its steps by text")

    def state(kept: str, step: str) -> str:
        steps = tiny.parse_chain(found, kept + step)
        return steps[-1].state if steps else ""

    return state

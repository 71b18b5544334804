"""The state that a chain starts from, by family."""

from __future__ import annotations

from cotlab.tiny.countdown_state import CountdownState
from cotlab.tiny.problems import TinyProblem
from cotlab.tiny.solve_state import SolveState
from cotlab.tiny.state import State


def initial_state(problem: TinyProblem) -> State:
    """The state before the first sentence."""
    if problem.numbers is not None:
        return CountdownState(problem.numbers, problem.target)
    a, op, b, target = problem.equation
    return SolveState(a, op, b, target)

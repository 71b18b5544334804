"""Where a chain stands after each sentence: exact states of both families and how a sentence moves them.

A state has a `key` (equal keys are equal states) and knows whether the target is `reachable` from it without going
back; moving it tells whether what the sentence said about it was `sound` (right numbers, right target, right verdict).
Slips do not fool it: reachability uses the true values of the expressions that the chain holds, not those it believes.
"""

from __future__ import annotations

from typing import Protocol

from cotlab.tiny.arithmetic import Expression, evaluate_text
from cotlab.tiny.phrases import Slots

STILL = frozenset({"rule", "doubt", "check", "hint"})
"""Kinds that leave every state as it is."""


class State(Protocol):
    """What both families' states offer."""

    @property
    def key(self) -> str:
        """Canonical text of the state; equal states have equal keys."""

    @property
    def reachable(self) -> bool:
        """Whether a right answer can still follow without going back."""

    def after(self, kind: str, slots: Slots, sentence: str) -> tuple[State, bool]:
        """The next state, and whether the sentence was sound."""


def verdict_on(result: int, target: int) -> str:
    """How a result compares with the target, in the words of a chain."""
    return "a match" if result == target else "too small" if result < target else "too big"


def ints(slots: Slots, *names: str) -> tuple[int, ...]:
    """The numbers in some places of a sentence."""
    return tuple(int(slots[name]) for name in names)


def slots_expression(slots: Slots) -> str:
    """The complete expression that a sentence names."""
    a, b, c = ints(slots, "a", "b", "c")
    return str(Expression(a, slots["op"], b, slots["last_op"], c))


def solves(expression: str, numbers: tuple[int, int, int], target: int) -> bool:
    """Whether an expression uses every number exactly once and makes the target."""
    return evaluate_text(expression) == (target, numbers)

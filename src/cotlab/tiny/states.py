"""Where a chain stands after each sentence: exact states of both families and how a sentence moves them.

A state answers three questions: its `key` (equal keys are equal states), whether the target is `reachable` from it without
going back, and, for every sentence, whether what it says about the state is `sound` (right numbers, right target, right verdict).
Slips do not fool it: reachability uses the true values of the expressions that the chain holds, not the values it believes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from cotlab.tiny.arithmetic import HIGHEST, Equation, Expression, equations_in, evaluate, evaluate_text, reaches
from cotlab.tiny.phrases import Slots
from cotlab.tiny.problems import TinyProblem


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


def initial_state(problem: TinyProblem) -> State:
    """The state before the first sentence."""
    if problem.numbers is not None:
        return CountdownState(problem.numbers, problem.target)
    a, op, b, target = problem.equation
    return SolveState(a, op, b, target)


def verdict_on(result: int, target: int) -> str:
    """How a result compares with the target, in the words of a chain."""
    return "a match" if result == target else "too small" if result < target else "too big"


def _ints(slots: Slots, *names: str) -> tuple[int, ...]:
    return tuple(int(slots[name]) for name in names)


@dataclass(frozen=True, slots=True)
class CountdownState:
    """The numbers still free, what has been made of the others, or the plan that binds the next move."""

    numbers: tuple[int, int, int]
    target: int
    last: int | None = None
    """The number that the current attempt keeps for the last operation."""
    needs: tuple[int, ...] = ()
    """What the plan said the other two must make (as claimed, slips included)."""
    made: Equation | None = None
    """The partial expression of the current attempt with its claimed value."""
    closed: bool = False
    """Whether the chain has declared the current plan a failure."""
    answer: str | None = None
    """The complete expression, once there is one."""

    @property
    def pair(self) -> tuple[int, ...]:
        """The numbers other than the one kept for last."""
        return tuple(n for n in self.numbers if n != self.last)

    @property
    def key(self) -> str:
        """`5,6,8>34|` and then what is committed: nothing, `6 last`, `(5 * 8)=40,6` or the complete expression."""
        root = f"{','.join(map(str, self.numbers))}>{self.target}|"
        if self.answer is not None:
            return root + self.answer
        if self.made is not None:
            return f"{root}({self.made.left} {self.made.op} {self.made.right})={self.made.claimed},{self.last}"
        return root if self.last is None else f"{root}{self.last} last{' closed' if self.closed else ''}"

    @property
    def reachable(self) -> bool:
        """Whether what is committed can be completed to the target."""
        if self.answer is not None:
            return solves(self.answer, self.numbers, self.target)
        if self.last is None:
            return True
        if self.made is not None:
            return self._completes(evaluate(self.made.left, self.made.op, self.made.right), self.last)
        if self.closed:
            return False
        a, b = self.pair
        return any(self._completes(evaluate(max(a, b), op, min(a, b)), self.last) for op in "+-*")

    def _completes(self, value: int, last: int) -> bool:
        return 1 <= value <= HIGHEST and reaches(value, last, self.target)

    def after(self, kind: str, slots: Slots, sentence: str) -> tuple[State, bool]:
        """See `State.after`."""
        step = getattr(self, f"_{kind}", None)
        if step is None:
            return self, kind in _STILL
        state, sound = step(slots, sentence)
        return state, sound

    def _root(self) -> CountdownState:
        return CountdownState(self.numbers, self.target)

    def _numbers(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        return self, _ints(slots, "a", "b", "c") == self.numbers and int(slots["t"]) == self.target

    def _back(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        return self._root(), _ints(slots, "a", "b", "c") == self.numbers

    _abandon = _back

    def _plan(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        last = int(slots["c"])
        if last not in self.numbers:
            return self, False
        needs, sound = list[int](), True
        for part in slots["eqs"].split(", "):
            words = part.split(" ")
            if equations := equations_in(part):
                needs.append(equations[0].claimed)
                sound &= words[:3] in ([str(self.target), "-", str(last)], [str(self.target), "+", str(last)])
            elif len(words) == 5 and words[4].isdigit() and words[:4] == [str(self.target), "=", str(last), "*"]:
                needs.append(int(words[4]))
                sound &= last * needs[-1] == self.target
            else:
                sound = False
        return replace(self._root(), last=last, needs=tuple(dict.fromkeys(needs))), sound

    def _need(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        needs = tuple(map(int, slots["needs"].replace(" or ", ", ").split(", ")))
        return self, self.last is not None and _ints(slots, "a", "b") == self.pair and needs == self.needs

    def _pair(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        a, b, r = _ints(slots, "a", "b", "r")
        fits = slots["fits"] in ("yes", "that fits")
        if self.last is None or self.made is not None or tuple(sorted((a, b))) != self.pair:
            return self, False
        return (replace(self, made=Equation(a, slots["op"], b, r)) if fits else self), fits == (r in self.needs)

    def _over(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        a, b = _ints(slots, "a", "b")
        return self, slots["op"] == "*" and a * b > HIGHEST and (a, b) == self.pair

    def _closed(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        if int(slots["c"]) != self.last or self.made is not None:
            return self, False
        return replace(self, closed=True), True

    def _combine(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        a, b, r, left, last = _ints(slots, "a", "b", "r", "m", "c")
        if tuple(sorted((a, b, last))) != self.numbers:
            return self, False
        return replace(self._root(), last=last, made=Equation(a, slots["op"], b, r)), r == left

    def _test(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        left, last, r, target = _ints(slots, "m", "c", "r", "t")
        if self.made is None or (left, last) != (self.made.claimed, self.last):
            return self, False
        state = self
        if slots["verdict"] == "a match":
            made = self.made
            state = replace(self, answer=str(Expression(made.left, made.op, made.right, slots["op"], last)))
        return state, target == self.target and slots["verdict"] == verdict_on(r, target)

    def _total(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        state, sound = self._give_up(slots, sentence)
        return state, sound and int(slots["t"]) == self.target and slots_expression(slots) == self.answer

    def _give_up(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        used = tuple(sorted(_ints(slots, "a", "b", "c")))
        return replace(self._root(), answer=slots_expression(slots)), used == self.numbers

    def _proof(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        same = slots["m"] == slots["n"] and slots_expression(slots) == self.answer
        return self, same and int(slots["r"]) == self.target

    def _refute(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        same = slots["m"] == slots["n"] and slots_expression(slots) == self.answer
        return self, same and int(slots["r"]) != self.target == int(slots["t"])

    def _correct(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        a, b, right = _ints(slots, "a", "b", "r")
        if self.made is not None and (self.made.left, self.made.op, self.made.right) == (a, slots["op"], b):
            made = None if self.needs else Equation(a, slots["op"], b, right)
            return replace(self, made=made, answer=None), True
        return replace(self, answer=None), True

    def _answer(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        return replace(self._root(), answer=slots["answer"]), slots["answer"] == self.answer


@dataclass(frozen=True, slots=True)
class SolveState:
    """What is known of x (strictly between `low` and `high`) and the guess under test."""

    a: int
    op: str
    b: int
    target: int
    low: int = 0
    high: int = HIGHEST + 1
    guess: int | None = None
    product: int | None = None
    """`a * guess` as claimed."""
    verdict: str | None = None
    """How the guess fared; it becomes a bound when the chain leaves the guess."""
    answer: str | None = None

    @property
    def key(self) -> str:
        """`7*x+4=53|` and then the bounds on x, with the guess, its product or the answer."""
        root = f"{self.a}*x{self.op}{self.b}={self.target}|"
        if self.answer is not None:
            return f"{root}x={self.answer}"
        known = f"{root}{self.low}<x<{self.high}"
        if self.guess is None:
            return known
        product = "" if self.product is None else f"->{self.product}"
        return f"{known},try {self.guess}{product}{'' if self.verdict is None else f' {self.verdict}'}"

    @property
    def reachable(self) -> bool:
        """Whether the guess is right or, without one, x still lies within the bounds."""
        x = (self.target - self.b if self.op == "+" else self.target + self.b) // self.a
        if self.answer is not None:
            return self.answer == str(x)
        return self.low < x < self.high if self.guess is None else self.guess == x

    def after(self, kind: str, slots: Slots, sentence: str) -> tuple[State, bool]:
        """See `State.after`."""
        step = getattr(self, f"_{kind}", None)
        if step is None:
            return self, kind in _STILL
        state, sound = step(slots, sentence)
        return state, sound

    def _restates(self, slots: Slots) -> bool:
        return (*_ints(slots, "a", "b", "t"), slots["op"]) == (self.a, self.b, self.target, self.op)

    def _equation(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        return self, self._restates(slots)

    def _back_x(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        return self._left(), self._restates(slots) and int(slots["g"]) == self.guess

    def _left(self) -> SolveState:
        """Without the guess, but with what it taught."""
        low, high = self.low, self.high
        if self.guess is not None and self.verdict == "too small":
            low = max(low, self.guess)
        if self.guess is not None and self.verdict == "too big":
            high = min(high, self.guess)
        return SolveState(self.a, self.op, self.b, self.target, low, high)

    def _guess(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        guess, state = int(slots["g"]), self._left()
        return replace(state, guess=guess), state.low < guess < state.high

    def _product(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        if _ints(slots, "a", "g") != (self.a, self.guess):
            return self, False
        return replace(self, product=int(slots["r"]), verdict=None), True

    def _over(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        stated = (*_ints(slots, "a", "b"), slots["op"])
        if self.guess is None or stated not in ((self.a, self.guess, "*"), (self.product, self.b, self.op)):
            return self, False
        return replace(self, verdict="too big"), evaluate(stated[0], stated[2], stated[1]) > HIGHEST

    def _test(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        product, b, r, target = _ints(slots, "m", "c", "r", "t")
        if self.guess is None or (product, slots["op"], b) != (self.product, self.op, self.b):
            return self, False
        verdict = slots["verdict"]
        answer = str(self.guess) if verdict == "a match" else None
        sound = target == self.target and verdict == verdict_on(r, target)
        return replace(self, verdict=verdict, answer=answer), sound

    def _bound(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        verdict = "too small" if slots["side"] == "more" else "too big"
        sound = (int(slots["g"]), verdict) == (self.guess, self.verdict)
        return replace(self, guess=int(slots["g"]), verdict=verdict)._left(), sound

    def _found(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        return replace(self, answer=str(int(slots["g"]))), str(int(slots["g"])) == self.answer

    def _give_up_x(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        return replace(self, answer=str(int(slots["g"]))), True

    def _proof(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        return self, self._recomputes(slots) and int(slots["r"]) == self.target

    def _refute(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        verdict = verdict_on(int(slots["r"]), self.target)
        sound = self._recomputes(slots) and verdict != "a match" and int(slots["t"]) == self.target
        return replace(self, verdict=verdict, answer=None), sound

    def _recomputes(self, slots: Slots) -> bool:
        same = _ints(slots, "a", "c") == (self.a, self.b) and (slots["op"], slots["last_op"]) == ("*", self.op)
        return same and slots["b"] == self.answer and slots["m"] == slots["n"]

    def _correct(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        return replace(self, verdict=None, answer=None), True

    def _answer(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        return replace(self, answer=slots["answer"]), slots["answer"] == self.answer


_STILL = frozenset({"rule", "doubt", "check"})
"""Kinds that leave every state as it is."""


def slots_expression(slots: Slots) -> str:
    """The complete expression that a sentence names."""
    a, b, c = _ints(slots, "a", "b", "c")
    return str(Expression(a, slots["op"], b, slots["last_op"], c))


def solves(expression: str, numbers: tuple[int, int, int], target: int) -> bool:
    """Whether an expression uses every number exactly once and makes the target."""
    return evaluate_text(expression) == (target, numbers)

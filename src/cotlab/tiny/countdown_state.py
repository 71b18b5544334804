"""States of a Countdown chain: the numbers still free, and the plan or partial expression that is committed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cotlab.tiny.arithmetic import HIGHEST, Equation, Expression, equations_in, evaluate, reaches
from cotlab.tiny.phrases import Slots
from cotlab.tiny.state import STILL, State, ints, slots_expression, solves, verdict_on


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
            return self, kind in STILL
        state, sound = step(slots, sentence)
        return state, sound

    def _root(self) -> CountdownState:
        return CountdownState(self.numbers, self.target)

    def _numbers(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        return self, ints(slots, "a", "b", "c") == self.numbers and int(slots["t"]) == self.target

    def _back(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        return self._root(), ints(slots, "a", "b", "c") == self.numbers

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
        return self, self.last is not None and ints(slots, "a", "b") == self.pair and needs == self.needs

    def _pair(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        a, b, r = ints(slots, "a", "b", "r")
        fits = slots["fits"] in ("yes", "that fits")
        if self.last is None or self.made is not None or tuple(sorted((a, b))) != self.pair:
            return self, False
        return (replace(self, made=Equation(a, slots["op"], b, r)) if fits else self), fits == (r in self.needs)

    def _over(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        a, b = ints(slots, "a", "b")
        return self, slots["op"] == "*" and a * b > HIGHEST and (a, b) == self.pair

    def _closed(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        if int(slots["c"]) != self.last or self.made is not None:
            return self, False
        return replace(self, closed=True), True

    def _combine(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        a, b, r, left, last = ints(slots, "a", "b", "r", "m", "c")
        if tuple(sorted((a, b, last))) != self.numbers:
            return self, False
        return replace(self._root(), last=last, made=Equation(a, slots["op"], b, r)), r == left

    def _test(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        left, last, r, target = ints(slots, "m", "c", "r", "t")
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
        used = tuple(sorted(ints(slots, "a", "b", "c")))
        return replace(self._root(), answer=slots_expression(slots)), used == self.numbers

    def _proof(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        same = slots["m"] == slots["n"] and slots_expression(slots) == self.answer
        return self, same and int(slots["r"]) == self.target

    def _refute(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        same = slots["m"] == slots["n"] and slots_expression(slots) == self.answer
        return self, same and int(slots["r"]) != self.target == int(slots["t"])

    def _correct(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        a, b, right = ints(slots, "a", "b", "r")
        if self.made is not None and (self.made.left, self.made.op, self.made.right) == (a, slots["op"], b):
            made = None if self.needs else Equation(a, slots["op"], b, right)
            return replace(self, made=made, answer=None), True
        return replace(self, answer=None), True

    def _answer(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        return replace(self._root(), answer=slots["answer"]), slots["answer"] == self.answer

    def _trust(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        return replace(self._root(), answer=slots["answer"]), True

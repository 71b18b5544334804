"""States of a guess-and-check chain: the bounds on x and the guess under test."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cotlab.tiny.arithmetic import HIGHEST, evaluate
from cotlab.tiny.phrases import Slots
from cotlab.tiny.state import STILL, State, ints, verdict_on


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
            return self, kind in STILL
        state, sound = step(slots, sentence)
        return state, sound

    def _restates(self, slots: Slots) -> bool:
        return (*ints(slots, "a", "b", "t"), slots["op"]) == (self.a, self.b, self.target, self.op)

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
        if ints(slots, "a", "g") != (self.a, self.guess):
            return self, False
        return replace(self, product=int(slots["r"]), verdict=None), True

    def _over(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        left, right = ints(slots, "a", "b")
        op = slots["op"]
        if self.guess is None or (left, right, op) not in ((self.a, self.guess, "*"), (self.product, self.b, self.op)):
            return self, False
        return replace(self, verdict="too big"), evaluate(left, op, right) > HIGHEST

    def _test(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        product, b, r, target = ints(slots, "m", "c", "r", "t")
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
        same = ints(slots, "a", "c") == (self.a, self.b) and (slots["op"], slots["last_op"]) == ("*", self.op)
        return same and slots["b"] == self.answer and slots["m"] == slots["n"]

    def _correct(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        return replace(self, verdict=None, answer=None), True

    def _answer(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        return replace(self, answer=slots["answer"]), slots["answer"] == self.answer

    def _trust(self, slots: Slots, sentence: str) -> tuple[State, bool]:
        return replace(self, answer=slots["answer"]), True

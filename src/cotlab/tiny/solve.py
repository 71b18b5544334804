"""Writes chains for `a * x ± b = c`: guess, compute, compare, move the guess."""

from __future__ import annotations

import random

from cotlab.tiny.arithmetic import HIGHEST, evaluate, in_range
from cotlab.tiny.chains import LabelledChain
from cotlab.tiny.problems import TinyProblem
from cotlab.tiny.state import verdict_on
from cotlab.tiny.writer import Compute, Draft

MOST_GUESSES = 9


def write_solve(problem: TinyProblem, rng: random.Random) -> LabelledChain:
    """A labelled chain for a solve problem."""
    return _Solve(problem, rng).write()


class _Solve(Draft):
    def __init__(self, problem: TinyProblem, rng: random.Random) -> None:
        super().__init__(problem, rng)
        self.a, self.op, self.b, self.target = problem.equation
        self.low, self.high = (0 if self.op == "+" else self.b // self.a), HIGHEST // self.a + 2
        self.gap = 0

    def write(self) -> LabelledChain:
        self.say("equation", a=self.a, op=self.op, b=self.b, t=self.target)
        if self.chance(0.4):
            self.say("rule", 0, 0, (3, 4))
        guess = self._first()
        for attempt in range(1, MOST_GUESSES + 1):
            if self.chance(self.manner.doubt):
                self.say("doubt")
            verdict = self.attempt(guess)
            if verdict == "a match" and self.confirmed(guess):
                return self.finish(str(guess))
            if attempt == MOST_GUESSES or self.high - self.low < 2 or self.chance(self.manner.give_up):
                break
            if verdict in ("too small", "too big"):
                self.move_on(guess, verdict)
            if verdict != "left":
                guess = self._next(guess)
        return self.finish(str(self.surrender()))

    def attempt(self, guess: int) -> str:
        """Test one guess; the verdict, or `left` where it was left unfinished."""
        self.say("guess", g=guess)
        if self.a * guess > HIGHEST:
            self.say("over", a=self.a, op="*", b=guess)
            self.high = min(self.high, guess)
            self.gap = self.target - self.a * guess
            return "too big"
        product = self._product(guess)
        if self.chance(self.manner.abandon):
            self.say("back_x", g=guess, a=self.a, op=self.op, b=self.b, t=self.target)
            return "left"
        raw = evaluate(product, self.op, self.b)
        if not in_range(raw):
            self.gap = self.target - raw
            if raw < 1:
                return "out of range"
            self.say("over", a=product, op=self.op, b=self.b)
            self.high = min(self.high, guess)
            return "too big"
        result = self._test(product)
        self.gap = self.target - result
        verdict = verdict_on(result, self.target)
        if verdict == "too small":
            self.low = max(self.low, guess)
        elif verdict == "too big":
            self.high = min(self.high, guess)
        return verdict

    def move_on(self, guess: int, verdict: str) -> None:
        """Leave a failed guess: with a "Wait", or with the bound that it gives."""
        if self.chance(self.manner.backtrack):
            self.say("back_x", g=guess, a=self.a, op=self.op, b=self.b, t=self.target)
        else:
            self.say("bound", side="more" if verdict == "too small" else "less", g=guess)

    def confirmed(self, guess: int) -> bool:
        """Sum up a candidate and perhaps verify it; False where the check refutes it."""
        self.say("found", g=guess)
        if not self.chance(self.manner.final_check):
            return True
        product = self.a * guess
        result = evaluate(product, self.op, self.b)
        parts: dict[str, int | str] = {
            "a": self.a,
            "op": "*",
            "b": guess,
            "m": product,
            "n": product,
            "last_op": self.op,
            "c": self.b,
        }
        if result == self.target:
            self.say("proof", r=result, **parts)
            return True
        if not in_range(result):
            return True
        self.say("refute", r=result, t=self.target, **parts)
        self.say("back_x", g=guess, a=self.a, op=self.op, b=self.b, t=self.target)
        self.gap = self.target - result
        if self.gap > 0:
            self.low = max(self.low, guess)
        else:
            self.high = min(self.high, guess)
        return False

    def surrender(self) -> int:
        """Give up with a guess."""
        self.gave_up = True
        guess = self.rng.randint(2, 12)
        self.say("give_up_x", g=guess)
        return guess

    def _first(self) -> int:
        """A first guess near `c / a`, as a glance would give it."""
        estimate = self.target // self.a + self.rng.choice((-3, -2, -1, 0, 1, 2, 3))
        return max(self.low + 1, 2, min(estimate, HIGHEST // self.a))

    def _next(self, guess: int) -> int:
        """The next guess: the gap divided by `a`, or a step towards the target, within what is still possible."""
        jump = round(self.gap / self.a) if self.chance(0.7) else (1 if self.gap > 0 else -1) * self.rng.choice((1, 2))
        if jump == 0:
            jump = 1 if self.gap > 0 else -1
        return max(self.low + 1, min(guess + jump, self.high - 1))

    def _product(self, guess: int) -> int:
        value = [0]

        def build(compute: Compute) -> None:
            value[0] = compute(self.a, "*", guess)

        self.computed(build, lambda n, s: self.say("product", n, s, a=self.a, g=guess, r=value[0]))
        return value[0]

    def _test(self, product: int) -> int:
        value = [0]

        def build(compute: Compute) -> None:
            value[0] = compute(product, self.op, self.b)

        def say(n: int, s: int) -> None:
            verdict = verdict_on(value[0], self.target)
            slots: dict[str, int | str] = {"m": product, "op": self.op, "c": self.b, "r": value[0], "t": self.target}
            self.say("test", n, s, verdict=verdict, **slots)

        self.computed(build, say)
        return value[0]

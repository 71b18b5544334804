"""Writes Countdown chains: hunches forward from the numbers, and plans backward from the target.

A plan keeps one number for last, works out what the others must then make, and tries their sum, difference and product.
A hunch combines two numbers and tests what remains. Failed attempts are left with or without a spoken "Wait".
"""

from __future__ import annotations

import random
from itertools import combinations

from cotlab.tiny.arithmetic import HIGHEST, OPERATORS, Expression, evaluate, in_range, operands, results
from cotlab.tiny.chains import LabelledChain
from cotlab.tiny.problems import TinyProblem
from cotlab.tiny.state import verdict_on
from cotlab.tiny.writer import Compute, Draft

MOST_ATTEMPTS = 8


def write_countdown(problem: TinyProblem, rng: random.Random) -> LabelledChain:
    """A labelled chain for a Countdown problem."""
    return _Countdown(problem, rng).write()


class _Countdown(Draft):
    def __init__(self, problem: TinyProblem, rng: random.Random) -> None:
        super().__init__(problem, rng)
        self.numbers = problem.countdown
        self.target = problem.target
        self.open = list(self.numbers)
        self.recent: int | None = None
        self.hunches: set[tuple[int, str, int]] = set()

    def write(self) -> LabelledChain:
        a, b, c = self.numbers
        self.say("numbers", a=a, b=b, c=c, t=self.target)
        if self.chance(0.4):
            self.say("rule", 0, 0, (0, 1, 2))
        for attempt in range(1, MOST_ATTEMPTS + 1):
            if self.chance(self.manner.doubt):
                self.say("doubt")
            hunch = len(self.hunches) < 3 and self.chance(self.manner.forward)
            found, left = self.hunch() if hunch else self.plan()
            if found is not None and self.confirmed(found):
                return self.finish(str(found))
            if not self.open or attempt == MOST_ATTEMPTS or self.chance(self.manner.give_up):
                break
            if found is None and not left and self.chance(self.manner.backtrack):
                self.say("back", a=a, b=b, c=c)
        return self.finish(str(self.surrender()))

    def confirmed(self, found: Expression) -> bool:
        """Sum up a candidate and perhaps verify it; False where the check refutes it."""
        parts: dict[str, int | str] = {
            "a": found.a,
            "op": found.op,
            "b": found.b,
            "last_op": found.last_op,
            "c": found.c,
        }
        self.say("total", t=self.target, **parts)
        if not self.chance(self.manner.final_check):
            return True
        middle = evaluate(found.a, found.op, found.b)
        if found.value == self.target:
            self.say("proof", m=middle, n=middle, r=found.value, **parts)
            return True
        if not in_range(found.value) or not in_range(middle):
            return True
        self.say("refute", m=middle, n=middle, r=found.value, t=self.target, **parts)
        self.say("back", a=self.numbers[0], b=self.numbers[1], c=self.numbers[2])
        return False

    def surrender(self) -> Expression:
        """Give up with a guess."""
        self.gave_up = True
        a, b = sorted(self.rng.sample(self.numbers, 2))
        c = next(n for n in self.numbers if n not in (a, b))
        op = self.rng.choice(list(results(a, b)))
        guess = Expression(*_in_order(a, op, b), self.rng.choice(OPERATORS), c)
        self.say("give_up", a=guess.a, op=guess.op, b=guess.b, last_op=guess.last_op, c=c)
        return guess

    def abandons(self) -> bool:
        """Perhaps leave an attempt that is not finished."""
        if not self.chance(self.manner.abandon):
            return False
        self.say("abandon", a=self.numbers[0], b=self.numbers[1], c=self.numbers[2])
        return True

    def hunch(self) -> tuple[Expression | None, bool]:
        """Combine two numbers and test the rest; the candidate, and whether it was left with a "Wait"."""
        moves = [
            (x, op, y)
            for x, y in combinations(self.numbers, 2)
            for op in results(x, y)
            if (x, op, y) not in self.hunches
        ]
        x, op, y = self.rng.choice(moves)
        self.hunches.add((x, op, y))
        c = next(n for n in self.numbers if n not in (x, y))
        a, _, b = _in_order(x, op, y)
        value = [0]

        def build(compute: Compute) -> None:
            value[0] = compute(a, op, b)

        self.computed(build, lambda n, s: self.say("combine", n, s, a=a, op=op, b=b, r=value[0], m=value[0], c=c))
        made = value[0]
        tests = "-" if made > self.target else "+*"
        for last_op in tests:
            if not 1 <= evaluate(made, last_op, c) <= HIGHEST:
                break
            verdict = self.test(made, last_op, c)
            if verdict == "a match":
                return Expression(a, op, b, last_op, c), False
            if verdict == "too big":
                break
            if last_op == "+" and self.abandons():
                return None, True
        return None, False

    def plan(self) -> tuple[Expression | None, bool]:
        """Keep one number for last and look for what the others must make; the result is as of `hunch`."""
        c = self._choose_last()
        first, second = (n for n in self.numbers if n != c)
        needs = self._needs(c)
        tries = self.rng.sample(OPERATORS, 3)
        for number, op in enumerate(tries, start=1):
            if op == "*" and first * second > HIGHEST:
                if self.chance(0.5):
                    self.say("over", a=first, op="*", b=second)
            else:
                a, _, b = _in_order(first, op, second)
                made = self._pair(a, op, b, needs)
                if made in needs:
                    last_op = needs[made]
                    match = in_range(evaluate(made, last_op, c)) and self.test(made, last_op, c) == "a match"
                    return (Expression(a, op, b, last_op, c) if match else None), False
            if number < 3 and self.abandons():
                return None, True
        self.say("closed", c=c)
        self.open.remove(c)
        return None, False

    def _choose_last(self) -> int:
        choices = [n for n in self.open if n != self.recent] or self.open
        self.recent = self.rng.choices(choices, [2 if self.target % n == 0 else 1 for n in choices])[0]
        return self.recent

    def _needs(self, c: int) -> dict[int, str]:
        """Say what the other two must make; the operation that each claimed value asks for."""
        needs: dict[int, str] = {}
        equations: list[str] = []

        def build(compute: Compute) -> None:
            needs.clear()
            equations.clear()
            for op, inverse in (("-", "+"), ("+", "-")):
                if in_range(evaluate(self.target, op, c)):
                    value = compute(self.target, op, c)
                    needs.setdefault(value, inverse)
                    equations.append(f"{self.target} {op} {c} = {value}")
            if self.target % c == 0 and self.target // c not in needs:
                needs[self.target // c] = "*"
                equations.append(f"{self.target} = {c} * {self.target // c}")

        self.computed(build, lambda n, s: self.say("plan", n, s, c=c, eqs=", ".join(equations)))
        values = list(map(str, needs))
        listed = values[0] if len(values) == 1 else f"{', '.join(values[:-1])} or {values[-1]}"
        a, b = (n for n in self.numbers if n != c)
        self.say("need", a=a, b=b, needs=listed)
        return needs

    def _pair(self, a: int, op: str, b: int, needs: dict[int, str]) -> int:
        value = [0]

        def build(compute: Compute) -> None:
            value[0] = compute(a, op, b)

        def say(n: int, s: int) -> None:
            fits = self.rng.choice(("yes", "that fits") if value[0] in needs else ("no", "not it"))
            self.say("pair", n, s, a=a, op=op, b=b, r=value[0], fits=fits)

        self.computed(build, say)
        return value[0]

    def test(self, made: int, op: str, c: int) -> str:
        """Compare `made op c` with the target; the verdict."""
        value = [0]

        def build(compute: Compute) -> None:
            value[0] = compute(made, op, c)

        def say(n: int, s: int) -> None:
            verdict = verdict_on(value[0], self.target)
            self.say("test", n, s, m=made, op=op, c=c, r=value[0], t=self.target, verdict=verdict)

        self.computed(build, say)
        return verdict_on(value[0], self.target)


def _in_order(a: int, op: str, b: int) -> tuple[int, str, int]:
    left, right = operands(a, op, b)
    return left, op, right

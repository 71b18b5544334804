"""What the writers of both families share: labelled sentences, slips and catches at the planted rates."""

from __future__ import annotations

import random
from collections.abc import Callable

from cotlab.tiny.arithmetic import Equation, evaluate, in_range
from cotlab.tiny.chains import THINK_END, LabelledChain, LabelledStep
from cotlab.tiny.manners import CATCH_RATE, SLIP_RATE
from cotlab.tiny.oracle import check_answer
from cotlab.tiny.phrases import KINDS, Slots, render
from cotlab.tiny.problems import TinyProblem
from cotlab.tiny.states import initial_state

Compute = Callable[[int, str, int], int]
"""Gives the value that the chain will claim for `left op right`: nearly always the true one."""


class Draft:
    """A chain in the making. Labels come from what was planted, not from reading the text back."""

    def __init__(self, problem: TinyProblem, rng: random.Random) -> None:
        self.problem = problem
        self.rng = rng
        self.manner = problem.temperament
        self.gave_up = False
        self._state = initial_state(problem)
        self._steps: list[LabelledStep] = []
        self._text = ""

    def chance(self, probability: float) -> bool:
        """A biased coin."""
        return self.rng.random() < probability

    def say(
        self, kind: str, computations: int = 0, slips: int = 0, wordings: tuple[int, ...] = (), /, **slots: int | str
    ) -> None:
        """Add a sentence of a kind with the labels that are known to the writer."""
        filled: Slots = {name: str(value) for name, value in slots.items()}
        sentence = render(kind, self.rng, filled, wordings)
        start, made = len(self._text), KINDS[kind]
        self._state, _ = self._state.after(kind, filled, sentence)
        self._text += sentence + "\n"
        self._steps.append(
            LabelledStep(
                sentence,
                start,
                start + len(sentence),
                kind,
                made.category,
                made.backtracks,
                self._state.reachable,
                computations,
                slips,
                True,
                self._state.key,
            )
        )

    def computed(self, build: Callable[[Compute], None], say: Callable[[int, int], None]) -> None:
        """Add a sentence that computes: it may slip, be checked, be corrected and then be said again.

        Args:
            build: works the values out with the `Compute` it is given (called again after a correction).
            say: adds the sentence, given how many computations and slips it holds.
        """
        done: list[Equation] = []

        def compute(left: int, op: str, right: int) -> int:
            value = evaluate(left, op, right)
            done.append(Equation(left, op, right, self._slip(value) if self.chance(SLIP_RATE) else value))
            return done[-1].claimed

        build(compute)
        wrong = [equation for equation in done if not equation.holds]
        say(len(done), len(wrong))
        if wrong and self.chance(1 - (1 - CATCH_RATE) * (1 - self.manner.check)):
            self._correct(wrong[0])
            build(evaluate)
            say(len(done), 0)
        elif not wrong and self.chance(self.manner.check):
            last = done[-1]
            self.say("check", a=last.left, op=last.op, b=last.right, r=last.claimed)

    def _correct(self, wrong: Equation) -> None:
        true = evaluate(wrong.left, wrong.op, wrong.right)
        self.say("correct", a=wrong.left, op=wrong.op, b=wrong.right, r=true, w=wrong.claimed)

    def _slip(self, value: int) -> int:
        near = [value + d for d in (-10, -2, -1, 1, 2, 10) if in_range(value + d)]
        return self.rng.choice(near)

    def finish(self, answer: str) -> LabelledChain:
        """Close the thought, answer, and give the labelled chain."""
        self._text += THINK_END
        self.say("answer", answer=answer)
        text = self._text.rstrip("\n")
        return LabelledChain(
            self.problem, text, tuple(self._steps), check_answer(self.problem, text) is True, self.gave_up
        )

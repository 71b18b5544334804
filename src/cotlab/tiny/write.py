"""Writes a chain for a problem of either family."""

from __future__ import annotations

import random

from cotlab.tiny.chains import LabelledChain
from cotlab.tiny.countdown import write_countdown
from cotlab.tiny.problems import TinyProblem
from cotlab.tiny.solve import write_solve


def write_chain(problem: TinyProblem, rng: random.Random) -> LabelledChain:
    """Write a chain of thought for a problem, with exact labels, in the manner that its question asks for.

    Most chains end right; some give up, and some fall for a slip. Hints and watch notes make no difference.
    """
    return write_countdown(problem, rng) if problem.family == "countdown" else write_solve(problem, rng)

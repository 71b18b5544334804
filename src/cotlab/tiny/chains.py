"""A labelled chain: what the writer produces and what the oracle reads back."""

from __future__ import annotations

from dataclasses import dataclass

from cotlab.tiny.phrases import Category
from cotlab.tiny.problems import TinyProblem

THINK_END = "</think>\n\n"
"""Between the last thought and the answer (the template has opened `<think>` itself)."""


@dataclass(frozen=True, slots=True)
class LabelledStep:
    """One sentence with its exact labels."""

    text: str
    """The sentence without the newline behind it."""
    start: int
    """First character within the text that was parsed or written."""
    end: int
    """One past its last character."""
    kind: str
    """Which template family it belongs to (finer than the category); `unknown` where none fits."""
    category: Category
    backtracks: bool
    """It gives up the current attempt and returns to the start of the search ("Wait, that fails, back to ...")."""
    reachable: bool
    """After it, a right answer can still follow without going back (exact)."""
    computations: int
    """New results of two numbers that it states; 0 in checks, which repeat one."""
    slips: int
    """How many stated equations are false."""
    sound: bool
    """What it says about the state is right: numbers, target, verdict. An unknown sentence is not sound."""
    state: str
    """Canonical key of the state after it; equal states have equal keys, however they were reached."""

    @property
    def committed(self) -> bool:
        """After it an attempt is under way or an answer stands, so that `reachable` is more than "nothing is lost"."""
        left = self.state.rsplit("|", 1)[1]
        return bool(left) and ("<x<" not in left or ",try " in left)


@dataclass(frozen=True, slots=True)
class LabelledChain:
    r"""A written solution: the completion after `<think>\n`, with one label per sentence."""

    problem: TinyProblem
    text: str
    steps: tuple[LabelledStep, ...]
    correct: bool
    """Whether the boxed answer is right."""
    gave_up: bool

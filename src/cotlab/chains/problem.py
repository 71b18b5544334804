"""What a model is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cotlab.chains.image import Image
from cotlab.identity import content_id

__all__ = ["Problem"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A question, its gold answer and how answers to it are checked."""

    question: str
    answer: str | None = None
    """Gold answer; None where there is none (then outcomes are only told apart, not judged)."""
    checker: str = "math"
    """Name of the answer class that `cotlab.chains.answers` checks with: math, number, choice, countdown, exact, …"""
    choices: tuple[str, ...] = ()
    """Options of a multiple-choice question, in order; letters A, B, … name them."""
    name: str = ""
    """What a person calls it (`problem_2238`, `countdown-3/17`); not part of the identity."""
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """JSON values that the checker or a task needs (the numbers and the target of a Countdown)."""
    images: tuple[Image, ...] = ()
    """What is shown with the question, before it, or where the question names the model's image token."""

    @property
    def id(self) -> str:
        """Tagged hash of everything but the name."""
        content: list[Any] = [self.question, self.answer, self.checker, list(self.choices), dict(self.meta)]
        if self.images:
            content.append([image.id for image in self.images])
        return content_id("problem", content)

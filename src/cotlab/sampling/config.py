"""A resampling study as a user asks for it: names and numbers, checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cotlab.errors import UserError
from cotlab.identity import content_id
from cotlab.sampling.budget import Budget
from cotlab.sampling.spec import Screen

__all__ = ["StudyConfig"]


class StudyConfig(BaseModel):
    """A resampling study as a user asks for it; the command line and `cotlab.resample` share it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    problems: str = "tiny"
    """Problem set: tiny, countdown, solve, arithmetic, word-problems, reasoning-gym:NAME or a file."""
    n_problems: int | None = Field(default=None, ge=1)
    question: str | None = None
    """One question, in place of a problem set."""
    answer: str | None = None
    transcript: Path | None = None
    """A file with a question and a response, whose chain is studied in place of a sampled one."""
    model: str = "tiny"
    engine: str = "auto"
    engine_options: Mapping[str, Any] = Field(default_factory=dict)
    """Settings of the engine: max_model_len, dtype, tensor_parallel_size, …"""
    run: Path | None = None
    n: int = Field(default=100, ge=1)
    seed: int = Field(default=0, ge=0)
    base: tuple[Literal["greedy", "first-right", "first-wrong", "random"], ...] | None = None
    """How chains are chosen; None: greedy, and beside a transcript none."""
    tries: int = Field(default=32, ge=1)
    positions: str = "every"
    cutter: str = "sentences"
    scorer: str = "answers"
    temperature: float | None = Field(default=None, ge=0, le=100)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    max_tokens: int | None = Field(default=None, ge=1)
    template: str | None = None
    think_tag: bool = True
    screen: str | None = None
    """LOW:HIGH, the accuracies between which a problem is kept."""
    screen_n: int = Field(default=20, ge=1)
    screen_fill: bool = False
    """Where too few problems are in that range, take the nearest as well."""
    budget: str | None = None

    @classmethod
    def of(cls, **asked: Any) -> StudyConfig:
        """Check what was asked for.

        Raises:
            UserError: A value is out of range or unknown; the message names it.
        """
        try:
            config = cls(**asked)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise UserError(f"{name} is {first.get('input')!r}: {first['msg'].lower()}") from None
        if config.answer is not None and config.question is None and config.transcript is None:
            raise UserError(f"answer '{config.answer}' belongs to a question. Give --question or --transcript with it")
        return config

    def budget_cap(self) -> Budget | None:
        """The budget, parsed."""
        return Budget.parse(self.budget) if self.budget else None

    def screening(self) -> Screen | None:
        """The screen, parsed."""
        if self.screen is None:
            return None
        low, _, high = self.screen.partition(":")
        try:
            return Screen(self.screen_n, float(low), float(high), self.n_problems, self.screen_fill)
        except ValueError:
            raise UserError(f"screen '{self.screen}' not understood. Use LOW:HIGH, such as 0.25:0.75") from None

    def as_stored(self) -> dict[str, Any]:
        """What was asked, as the study's row in the run keeps it: without what belongs to this machine."""
        return self.model_dump(mode="json", exclude={"run", "engine_options"})

    def run_folder(self) -> Path:
        """Where the run is: as asked, else `runs/<model>-<hash of the request>`, which asking again finds again."""
        if self.run is not None:
            return self.run
        asked = self.model_dump(mode="json", exclude={"run", "budget", "engine_options", "n", "scorer"})
        slug = "".join(c if c.isalnum() or c in ".-" else "-" for c in Path(self.model).name or "model")
        return Path("runs") / f"{slug}-{content_id('study', asked)[:8]}"

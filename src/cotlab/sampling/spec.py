"""What a study asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cotlab.chains.chain import ChainRole
from cotlab.chains.settings import SamplingSettings
from cotlab.errors import UserError
from cotlab.sampling.positions import Positions

__all__ = ["Screen", "StudySpec"]


@dataclass(frozen=True, slots=True)
class Screen:
    """Keep problems that the model gets right sometimes: elsewhere no step can matter."""

    n: int = 20
    """Rollouts of each candidate. The choice depends on them, so they are kept apart from the draws of a value."""
    low: float = 0.25
    high: float = 0.75
    keep: int | None = None
    """Stop once so many problems are kept; None keeps all that fit."""
    fill: bool = False
    """Make up the number with the problems that come nearest."""

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1:
            raise UserError(
                f"screen {self.low}:{self.high} is not a range of accuracies. Use LOW:HIGH, such as 0.25:0.75"
            )


@dataclass(frozen=True, slots=True)
class StudySpec:
    """Everything that decides which rollouts a resampling study wants, apart from the problems and the model."""

    settings: SamplingSettings
    n: int = 100
    """Rollouts from every prefix."""
    seed: int = 0
    base: tuple[ChainRole, ...] = ("greedy",)
    """None where every problem's chain is given."""
    tries: int = 32
    """How many rollouts from the prompt are looked through for a first right or first wrong chain."""
    positions: Positions = field(default_factory=Positions)
    cutter: str = "sentences"
    screen: Screen | None = None

    def __post_init__(self) -> None:
        if self.n < 1:
            raise UserError(f"{self.n} rollouts a prefix is too few. Use 1 or more")
        if self.settings.temperature == 0 or self.settings.top_k == 1:
            raise UserError(
                "temperature 0 (or top_k 1) gives the same rollout every time, and values need draws. "
                "Use a temperature above 0; --base greedy takes the greedy chain"
            )

    def to_json(self) -> dict[str, Any]:
        """As stored in the run's study row."""
        screen = self.screen and {key: getattr(self.screen, key) for key in ("n", "low", "high", "keep", "fill")}
        return {
            "kind": "resample",
            "settings": self.settings.to_json(),
            "n": self.n,
            "base": list(self.base),
            "tries": self.tries,
            "positions": str(self.positions),
            "cutter": self.cutter,
            "screen": screen,
        }

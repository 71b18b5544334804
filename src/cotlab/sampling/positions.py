"""At which steps of a chain rollouts start."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from cotlab.errors import UserError

__all__ = ["Positions"]

PositionKind = Literal["every", "stride", "list", "coarse"]


@dataclass(frozen=True, slots=True)
class Positions:
    """Which prefixes of a chain are resampled; position k keeps the first k steps."""

    kind: PositionKind = "every"
    stride: int = 1
    """Distance between neighbours (stride), or between those of the first wave (coarse; 0: an eighth of the chain)."""
    listed: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Positions:
        """Read `every`, `stride:4`, `coarse`, `coarse:8` or a list such as `0,3,17`.

        Raises:
            UserError: The text is none of these.
        """
        if text == "every":
            return cls()
        if match := re.fullmatch(r"stride:([1-9]\d*)", text):
            return cls("stride", int(match[1]))
        if match := re.fullmatch(r"coarse(?::([1-9]\d*))?", text):
            return cls("coarse", int(match[1] or 0))
        if re.fullmatch(r"\d+(,\d+)*", text):
            return cls("list", listed=tuple(sorted({int(k) for k in text.split(",")})))
        raise UserError(
            f"positions '{text}' not understood. Use every, stride:4, coarse, coarse:8 or a list such as 0,3,7"
        )

    def beyond(self, n_steps: int) -> int | None:
        """The first listed position that lies beyond a chain of so many steps; None where all are in it."""
        return next((k for k in self.listed if k >= n_steps), None)

    def first_wave(self, n_steps: int) -> list[int]:
        """Positions to start with, in 0 … n_steps − 1 (at n_steps the chain is over and nothing is left to sample)."""
        if self.kind == "list":
            return [k for k in self.listed if k < n_steps]
        stride = self.stride or max(1, -(-n_steps // 8))
        return sorted({*range(0, n_steps, stride), n_steps - 1}) if n_steps else []

    def most(self, n_steps: int) -> list[int]:
        """Positions that are drawn at the most: all, where coarse ones are refined at every step."""
        return list(range(n_steps)) if self.kind == "coarse" else self.first_wave(n_steps)

    def __str__(self) -> str:
        if self.kind == "list":
            return ",".join(map(str, self.listed))
        return self.kind if self.kind == "every" or not self.stride else f"{self.kind}:{self.stride}"

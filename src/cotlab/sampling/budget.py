"""How much may be spent: tokens or time."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cotlab.errors import UserError

__all__ = ["Budget"]

_TOKENS = re.compile(r"(\d+(?:\.\d+)?)\s*([kMG]?)(?:\s*tok(?:ens?)?)?")
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)")
_SCALE = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}
_SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Budget:
    """A cap on new tokens, on seconds, or on neither."""

    tokens: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read `200k`, `2M` (tokens) or `30s`, `10min`, `1h` (time).

        Raises:
            UserError: The text is neither, or is zero.
        """
        if match := _TIME.fullmatch(text.strip()):
            budget = cls(seconds=float(match[1]) * _SECONDS[match[2]])
        elif match := _TOKENS.fullmatch(text.strip()):
            budget = cls(tokens=int(float(match[1]) * _SCALE[match[2]]))
        else:
            raise UserError(f"budget '{text}' not understood. Use tokens (200k, 2M) or time (30s, 10min, 1h)")
        if not (budget.tokens or budget.seconds):
            raise UserError(f"budget '{text}' is zero. Leave --budget out for no cap")
        return budget

    def __str__(self) -> str:
        """`20,000 tokens`, `30 s`, or nothing where there is no cap."""
        if self.tokens is not None:
            return f"{self.tokens:,} tokens"
        return "" if self.seconds is None else f"{self.seconds:g} s"

    def left(self, tokens: int, seconds: float) -> tuple[int | None, float | None]:
        """Tokens and seconds that are left after so many; None where there is no cap."""
        return (
            None if self.tokens is None else max(0, self.tokens - tokens),
            None if self.seconds is None else max(0.0, self.seconds - seconds),
        )

    def share_of(self, tokens: float, seconds: float) -> float:
        """Which share of a plan of so many tokens and seconds fits, at most 1."""
        parts = [1.0]
        if self.tokens is not None and tokens > 0:
            parts.append(self.tokens / tokens)
        if self.seconds is not None and seconds > 0:
            parts.append(self.seconds / seconds)
        return min(parts)

"""What a plan will take, told before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cotlab.sampling.draw import Drawn

__all__ = ["Cost", "expected_new_tokens"]

BYTES_A_TOKEN = 12
"""Id and log probability (4 bytes each) and about 4 characters of text."""
BYTES_A_ROLLOUT = 400
"""Keys, indexes and the score."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Size of what is still to be sampled."""

    rollouts: int
    tokens: float
    """New tokens, expected."""
    seconds: float | None
    """At the rate measured so far; None where nothing was measured."""

    def plus(self, drawn: Drawn) -> Cost:
        """With what was drawn already."""
        seconds = None if self.seconds is None else self.seconds + drawn.seconds
        return Cost(self.rollouts + drawn.rollouts, self.tokens + drawn.tokens, seconds)

    @property
    def bytes(self) -> float:
        """Disk that the rollouts will take."""
        return self.rollouts * BYTES_A_ROLLOUT + self.tokens * BYTES_A_TOKEN

    def line(self) -> str:
        """Tokens, minutes and disk in one line."""
        time = "time unknown" if self.seconds is None else f"about {_duration(self.seconds)}"
        return f"{self.rollouts:,} rollouts, about {self.tokens:,.0f} new tokens, {time}, {self.bytes / 1e6:,.1f} MB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def expected_new_tokens(kept: int, lengths: Sequence[int], cap: int) -> float:
    """Expected new tokens from a prefix that keeps `kept` tokens.

    The mean residual length of the responses that are longer than `kept`: what is left of them. Where none is longer, a
    quarter of what is kept.

    Args:
        kept: Response tokens of the prefix.
        lengths: Whole lengths of responses seen so far (tokens).
        cap: Longest new part allowed.
    """
    longer = [length - kept for length in lengths if length > kept]
    expected = sum(longer) / len(longer) if longer else max(1.0, kept / 4)
    return min(float(cap), expected)

"""Steps: token spans of a response."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a chain: tokens `start:end` of the response. The steps of a cut join to the response exactly."""

    idx: int
    start: int
    """First token of the step, counted from the start of the response."""
    end: int
    """One past its last token."""
    text: str
    """What the tokens `start:end` say, white space and all."""

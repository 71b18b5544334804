"""How long work tells that it goes on."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "Silent"]


class Progress(Protocol):
    """Told of phases, of rollouts as they are stored, and of what a person should know."""

    def phase(self, name: str, total: int, unit: str = "rollouts") -> None:
        """A phase of `total` rollouts (or another unit) begins; 0: nobody knows how many, or none are drawn."""
        ...

    def advance(self, rollouts: int, tokens: int) -> None:
        """So many more rollouts (or what the phase counts), with so many new tokens, are there."""
        ...

    def say(self, line: str) -> None:
        """One line for the person who waits."""
        ...


class Silent:
    """Tells nobody."""

    def phase(self, name: str, total: int, unit: str = "rollouts") -> None:
        """Say nothing."""

    def advance(self, rollouts: int, tokens: int) -> None:
        """Say nothing."""

    def say(self, line: str) -> None:
        """Say nothing."""

"""A response under study, cut into steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cotlab.chains.image import Image
from cotlab.chains.prefix import Prefix
from cotlab.chains.step import Step
from cotlab.identity import content_id

__all__ = ["Chain", "ChainRole"]

ChainRole = Literal["greedy", "first-right", "first-wrong", "random", "given"]
"""How a base chain was chosen. One chosen for its outcome is never itself a sample."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A whole response (of a rollout from the prompt) with one cut of it."""

    problem_id: str
    rollout_id: str
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    cutter_id: str
    steps: tuple[Step, ...]
    role: ChainRole
    also: tuple[ChainRole, ...] = ()
    """Further roles that the same response was chosen for."""
    images: tuple[Image, ...] = ()
    """What the prompt shows."""

    @property
    def id(self) -> str:
        """Tagged hash of the rollout and the cutter."""
        return content_id("chain", [self.rollout_id, self.cutter_id])

    @property
    def roles(self) -> tuple[ChainRole, ...]:
        """All roles that it was chosen for, the first one first."""
        return (self.role, *self.also)

    def prefix(self, n_steps: int) -> Prefix:
        """Prefix that keeps the first `n_steps` steps (0: the prompt alone).

        Raises:
            ValueError: The chain does not have that many steps.
        """
        if not 0 <= n_steps <= len(self.steps):
            raise ValueError(f"n_steps is {n_steps}, expected 0..{len(self.steps)}")
        end = self.steps[n_steps - 1].end if n_steps else 0
        return Prefix(self.prompt_ids + self.response_ids[:end], len(self.prompt_ids), self.images)

    @property
    def whole(self) -> Prefix:
        """Prefix that keeps all of the response."""
        return Prefix(self.prompt_ids + self.response_ids, len(self.prompt_ids), self.images)

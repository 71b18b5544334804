"""Attention suppression: a step that no later token can attend to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from cotlab.chains.chain import Chain
from cotlab.errors import UserError
from cotlab.interventions.base import Intervention
from cotlab.interventions.where import Placement

__all__ = ["AttentionSuppression"]


@dataclass(frozen=True, slots=True)
class AttentionSuppression(Intervention):
    """Hide the keys of tokens start … end − 1 of the response from every token behind them, in all layers and heads.

    Tokens of the span itself keep their attention, so that what the step says is what it was (Bogdan et al. 2025,
    "Thought Anchors", §3.3, corrected). The prediction of the first token behind the span is made at its last token: it
    stays as it was, too.
    """

    kind: ClassVar[str] = "attention-suppression"

    start: int
    """First hidden token, counted in the response."""
    end: int
    """One past the last."""

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise UserError(
                f"attention to response tokens {self.start} to {self.end} cannot be suppressed: no such span"
            )

    @classmethod
    def of_step(cls, chain: Chain, step: int) -> AttentionSuppression:
        """Hide a step of a chain.

        Raises:
            UserError: The chain does not have it.
        """
        if not 0 <= step < len(chain.steps):
            raise UserError(
                f"there is no step {step} to hide: the chain has {len(chain.steps)} (0..{len(chain.steps) - 1})"
            )
        return cls(chain.steps[step].start, chain.steps[step].end)

    def place(self, n_prompt: int, n_prefix: int) -> Placement:
        """Tokens that look without seeing the span: all behind it.

        Raises:
            UserError: The prefix does not hold the span.
        """
        if n_prompt + self.end > n_prefix:
            raise UserError(
                f"response tokens {self.start} to {self.end} cannot be hidden in a prefix that keeps "
                f"{n_prefix - n_prompt} of them: hide a step that is kept"
            )
        return Placement(n_prompt + self.end, None)

    def to_json(self) -> dict[str, Any]:
        """The spec."""
        return {"kind": self.kind, "start": self.start, "end": self.end}

    @classmethod
    def from_json(cls, spec: dict[str, Any]) -> AttentionSuppression:
        """Inverse of `to_json`."""
        return cls(spec["start"], spec["end"])

"""Attention suppression: a step, or an image, that no later token can attend to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from cotlab.chains.chain import Chain
from cotlab.chains.prefix import Prefix
from cotlab.errors import UserError
from cotlab.interventions.base import Intervention
from cotlab.interventions.where import Placement

__all__ = ["AttentionSuppression"]

_HEAD = re.compile(r"(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class AttentionSuppression(Intervention):
    """Hide the keys of tokens start … end − 1 of the response from the tokens behind them.

    Tokens of the span itself keep their attention, so that what the step says is what it was (Bogdan et al. 2025,
    "Thought Anchors", §3.3, corrected). The prediction of the first token behind the span is made at its last token: it
    stays as it was, too.
    """

    kind: ClassVar[str] = "attention-suppression"

    start: int
    """First hidden token, counted in the response; below 0 in the prompt, counted back from its end."""
    end: int
    """One past the last."""
    blind_from: int | None = None
    """First token that does not see the span, counted likewise; None: the one right behind it."""
    heads: tuple[str, ...] = ()
    """Where it is hidden: `3` is layer 3, `3.1` its head 1 (both from 0); none: in all layers and heads."""

    def __post_init__(self) -> None:
        if not self.start < self.end:
            raise UserError(
                f"attention to response tokens {self.start} to {self.end} cannot be suppressed: no such span"
            )
        if self.blind_from is not None and self.blind_from < self.end:
            raise UserError(
                f"response token {self.blind_from} lies in or before tokens {self.start} to {self.end}: what is hidden "
                "is hidden from tokens behind it"
            )
        bad = next((name for name in self.heads if not _HEAD.fullmatch(name)), None)
        if bad is not None:
            raise UserError(f"head '{bad}' not understood: give layers (3) and heads of them (3.1), counted from 0")

    @classmethod
    def of_step(
        cls, chain: Chain, step: int, *, blind_from: int | None = None, heads: tuple[str, ...] = ()
    ) -> AttentionSuppression:
        """Hide a step of a chain.

        Args:
            chain: It is a step of this.
            step: Which one is hidden.
            blind_from: First step that does not see it; None: the next one.
            heads: See the field.

        Raises:
            UserError: The chain does not have it.
        """
        n = len(chain.steps)
        if not 0 <= step < n:
            raise UserError(f"there is no step {step} to hide: the chain has {n} (0..{n - 1})")
        if blind_from is None or blind_from == step + 1:
            return cls(chain.steps[step].start, chain.steps[step].end, heads=heads)
        if not step < blind_from <= n:
            raise UserError(f"step {step} cannot be hidden from step {blind_from} on: from {step + 1}..{n}")
        first = chain.steps[blind_from].start if blind_from < n else chain.steps[-1].end
        return cls(chain.steps[step].start, chain.steps[step].end, first, heads)

    @classmethod
    def of_prompt(
        cls, prefix: Prefix, start: int, end: int, *, blind_from: int | None = None, heads: tuple[str, ...] = ()
    ) -> AttentionSuppression:
        """Hide tokens start … end − 1 of a prompt, such as those of an image (`ImageReader.spans`).

        Args:
            prefix: Any with that prompt.
            start: First hidden token of the prompt.
            end: One past the last.
            blind_from: First token of the response that does not see them; None: the one right behind them, so that
                not even the rest of the prompt does.
            heads: See the field.

        Raises:
            UserError: The prompt does not have them.
        """
        if not 0 <= start < end <= prefix.n_prompt:
            raise UserError(f"there are no tokens {start} to {end} to hide in a prompt of {prefix.n_prompt}")
        return cls(start - prefix.n_prompt, end - prefix.n_prompt, blind_from, heads)

    @property
    def placed(self) -> tuple[tuple[int, int | None], ...]:
        """Layer and head of each of `heads`; head None is the whole layer."""
        found = (_HEAD.fullmatch(name) for name in self.heads)
        return tuple((int(one[1]), None if one[2] is None else int(one[2])) for one in found if one)

    def check(self, n_layers: int, n_heads: int) -> None:
        """Say so where a model does not have the heads.

        Raises:
            UserError: It does not.
        """
        for name, (layer, head) in zip(self.heads, self.placed, strict=True):
            if layer >= n_layers or (head or 0) >= n_heads:
                raise UserError(
                    f"there is no head {name}: the model has layers 0..{n_layers - 1} of heads 0..{n_heads - 1}"
                )

    def place(self, n_prompt: int, n_prefix: int) -> Placement:
        """Tokens that look without seeing the span.

        Raises:
            UserError: The prefix does not hold the span.
        """
        if n_prompt + self.start < 0:
            raise UserError(f"{-self.start} tokens before the response cannot be hidden: the prompt has {n_prompt}")
        if n_prompt + self.end > n_prefix:
            raise UserError(
                f"response tokens {self.start} to {self.end} cannot be hidden in a prefix that keeps "
                f"{n_prefix - n_prompt} of them: hide a step that is kept"
            )
        return Placement(n_prompt + (self.end if self.blind_from is None else self.blind_from), None)

    def to_json(self) -> dict[str, Any]:
        """The spec; what is not set is left out, so that ids of before stay."""
        spec: dict[str, Any] = {"kind": self.kind, "start": self.start, "end": self.end}
        if self.blind_from is not None:
            spec["blind_from"] = self.blind_from
        return {**spec, "heads": list(self.heads)} if self.heads else spec

    @classmethod
    def from_json(cls, spec: dict[str, Any]) -> AttentionSuppression:
        """Inverse of `to_json`."""
        return cls(spec["start"], spec["end"], spec.get("blind_from"), tuple(spec.get("heads", ())))

"""Where in a sequence an intervention holds: data, and decidable from past tokens alone.

A residual stream at token p decides what is said from token p + 1 on. So `new` and `after` begin at the last token
that is kept: the first token that they can change is the first one behind it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from cotlab.errors import UserError

__all__ = ["Part", "Placement", "Where"]

Part = Literal["all", "prompt", "response", "think", "new", "last"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True, slots=True)
class Placement:
    """Tokens start … stop − 1 of one sequence, where the rule of a `Where` is asked. Prefix caches depend on it."""

    start: int
    stop: int | None
    """None: to the end, wherever that will be."""


@dataclass(frozen=True, slots=True)
class Where:
    """Which tokens. Every condition that is set must hold."""

    part: Part = "all"
    """all; prompt; response (kept and new tokens); think (the response while it thinks); new (from the last token
    of the prefix on); last (the last `n` tokens of the prefix)."""
    after: int | None = None
    """Only from there on: this many tokens of the response are said as they were (end of step k − 1: "from step k")."""
    n: int | None = None
    """How many tokens `last` is."""
    step_ends: tuple[str, ...] = ()
    """Only tokens whose text ends in one of these (spaces behind it do not count): `("\\n",)` for lines."""
    trigger: tuple[str, ...] = ()
    """Only after one of these texts was said …"""
    hold: int = 1
    """… for so many tokens, the last token of the text being the first of them."""

    def __post_init__(self) -> None:
        for ok, said in (
            (self.part in PARTS, f"part is '{self.part}', expected one of {', '.join(PARTS)}"),
            ((self.part == "last") == (self.n is not None), f"n is {self.n}: part 'last' needs it, others have none"),
            (self.n is None or self.n >= 1, f"n is {self.n}, expected 1 or more"),
            (self.after is None or self.after >= 0, f"after is {self.after}, expected 0 or more"),
            (self.after is None or self.part not in ("prompt", "last"), f"after does not go with part '{self.part}'"),
            (self.hold >= 1, f"hold is {self.hold}, expected 1 or more"),
            (all(self.step_ends) and all(self.trigger), "a text of step_ends or trigger is empty"),
        ):
            if not ok:
                raise UserError(f"where to intervene: {said}")

    @property
    def conditional(self) -> bool:
        """Whether it may hold nowhere in a sequence, depending on what is said."""
        return bool(self.step_ends or self.trigger) or self.part == "think" or self.after is not None

    @property
    def needs_tokens(self) -> bool:
        """Whether it looks at the tokens, not at their places alone."""
        return bool(self.step_ends or self.trigger) or self.part == "think"

    def place(self, n_prompt: int, n_prefix: int) -> Placement:
        """The tokens of one sequence that come into question.

        Args:
            n_prompt: Tokens of its prompt.
            n_prefix: Tokens that were given: prompt and kept ones.
        """
        start, stop = 0, None
        if self.part == "prompt":
            stop = n_prompt
        elif self.part in ("response", "think"):
            start = n_prompt
        elif self.part == "new":
            start = n_prefix - 1
        elif self.n is not None:
            start, stop = max(0, n_prefix - self.n), n_prefix
        if self.after is not None:
            start = max(start, n_prompt + self.after - 1)
        return Placement(start, stop)

    def to_json(self) -> dict[str, Any]:
        """As JSON values; what is not set is left out, so that new conditions leave old ids as they are."""
        spec = {name: value for name, value in asdict(self).items() if value not in (None, ())}
        if not self.trigger:
            spec.pop("hold")
        return {name: list(value) if isinstance(value, tuple) else value for name, value in spec.items()}

    @classmethod
    def from_json(cls, spec: dict[str, Any]) -> Where:
        """Inverse of `to_json`."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in spec.items()}
        return cls(**values)

    def __str__(self) -> str:
        said = {"last": f"the last {self.n} tokens of the prefix"}.get(self.part, self.part)
        if self.after is not None:
            said += f", from response token {self.after}"
        if self.step_ends:
            said += f", at tokens ending in {' or '.join(map(repr, self.step_ends))}"
        if self.trigger:
            said += f", for {self.hold} tokens after {' or '.join(map(repr, self.trigger))}"
        return said

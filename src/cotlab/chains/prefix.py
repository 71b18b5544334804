"""Where sampling starts from: prompt and kept tokens, as token ids."""

from __future__ import annotations

from dataclasses import dataclass, field

from cotlab.identity import hash_bytes, token_bytes

__all__ = ["Prefix"]


@dataclass(frozen=True, slots=True)
class Prefix:
    """Prompt and kept tokens of a response. Never made by tokenising text again.

    The id is a hash of ALL token ids, whichever cutter led there and wherever the prompt ends.
    """

    token_ids: tuple[int, ...]
    n_prompt: int
    """How many of the tokens are the prompt; the others are kept tokens of a response."""
    id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 < self.n_prompt <= len(self.token_ids):
            raise ValueError(f"n_prompt is {self.n_prompt}, expected 1..{len(self.token_ids)} (the number of tokens)")
        object.__setattr__(self, "id", hash_bytes("prefix", token_bytes(self.token_ids)))

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        """Tokens of the prompt."""
        return self.token_ids[: self.n_prompt]

    @property
    def kept_ids(self) -> tuple[int, ...]:
        """Tokens of the response that are kept."""
        return self.token_ids[self.n_prompt :]

    def extend(self, token_ids: tuple[int, ...]) -> Prefix:
        """Keep more tokens."""
        return Prefix(self.token_ids + token_ids, self.n_prompt)

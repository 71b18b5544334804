"""Where sampling starts from: prompt and kept tokens, as token ids, and the images that the prompt shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cotlab.chains.image import Image
from cotlab.identity import hash_bytes, token_bytes

__all__ = ["Prefix", "prefix_id"]


@dataclass(frozen=True, slots=True)
class Prefix:
    """Prompt and kept tokens of a response. Never made by tokenising text again.

    The id is a hash of ALL token ids, whichever cutter led there and wherever the prompt ends, and of the images: equal
    tokens behind another image are another prefix.
    """

    token_ids: tuple[int, ...]
    n_prompt: int
    """How many of the tokens are the prompt; the others are kept tokens of a response."""
    images: tuple[Image, ...] = ()
    """What the prompt shows, in the order of its image tokens; an image has as many of these as the model gives it."""
    id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 < self.n_prompt <= len(self.token_ids):
            raise ValueError(f"n_prompt is {self.n_prompt}, expected 1..{len(self.token_ids)} (the number of tokens)")
        object.__setattr__(self, "id", prefix_id(token_bytes(self.token_ids), (i.id for i in self.images)))

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
        return Prefix(self.token_ids + token_ids, self.n_prompt, self.images)


def prefix_id(packed: bytes, image_ids: Iterable[str]) -> str:
    """Id of a prefix from its packed token ids and the ids of its images."""
    return hash_bytes("prefix", packed, *(image_id.encode() for image_id in image_ids))

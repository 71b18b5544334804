"""Think tags: where the thoughts of a response end and its answer begins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["DEFAULT_TAGS", "KNOWN_TAGS", "SplitResponse", "ThinkTags", "split_response"]


@dataclass(frozen=True, slots=True)
class ThinkTags:
    """The texts that a model puts around its thoughts."""

    open: str = "<think>"
    close: str = "</think>"

    def __post_init__(self) -> None:
        if not self.open or not self.close or self.open == self.close:
            raise ValueError(
                f"think tags are {self.open!r} and {self.close!r}, expected two different, non-empty texts"
            )


DEFAULT_TAGS = ThinkTags()

KNOWN_TAGS = (
    DEFAULT_TAGS,
    ThinkTags("<thinking>", "</thinking>"),
    ThinkTags("<|begin_of_thought|>", "<|end_of_thought|>"),
    ThinkTags("<|START_THINKING|>", "<|END_THINKING|>"),
)
"""Tags that the cutters keep apart from the sentences around them; fixed, so that a cutter's version fixes its cuts."""


class SplitResponse(NamedTuple):
    """Thoughts and answer of a response, tags left out, white space as it is."""

    think: str
    answer: str
    closed: bool
    """Whether the model stopped thinking (or never started): False for a response that ends inside its thoughts."""


def split_response(text: str, tags: ThinkTags = DEFAULT_TAGS, opened: bool = True) -> SplitResponse:
    """Split a response at its think tags.

    Thoughts run from an opening to the next closing tag, so that thoughts which are taken up again after an answer
    count as thoughts; tags that open or close nothing are dropped. A closing tag before any opening one ends thoughts
    that the template opened, even where `opened` denies it.

    Args:
        text: The response: what follows the prompt.
        tags: The model's think tags.
        opened: Whether the prompt itself ends in an opened think tag.
    """
    parts = re.split(f"({re.escape(tags.open)}|{re.escape(tags.close)})", text)
    first_tag = next(iter(parts[1::2]), None)
    thinking = opened or first_tag == tags.close
    if first_tag == tags.open and not parts[0].strip():  # the model opens its thoughts itself, again or not
        parts[0] = ""
    think: list[str] = []
    answer: list[str] = []
    for position, part in enumerate(parts):
        if position % 2:
            thinking = part == tags.open
        else:
            (think if thinking else answer).append(part)
    return SplitResponse("".join(think), "".join(answer), not thinking)

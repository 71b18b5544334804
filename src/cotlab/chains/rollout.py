"""What a model said, once: facts only, no verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cotlab.identity import content_id

__all__ = ["FIRST_SENTENCE", "FinishReason", "Rollout", "rollout_id", "text_ids"]

FinishReason = Literal["stop", "length"]
"""stop: end-of-sequence token or stop string. length: ran into max_tokens, so it is TRUNCATED, which is not "wrong"."""


def rollout_id(prefix_id: str, intervention_id: str, settings_id: str, engine_card_id: str, sample_idx: int) -> str:
    """Id of the one rollout that this condition has at `sample_idx`."""
    return content_id("rollout", [prefix_id, intervention_id, settings_id, engine_card_id, sample_idx])


FIRST_SENTENCE = "/first-sentence"
"""How the provenance of rollouts ends of which only the first sentence is known."""


def text_ids(text: str) -> tuple[int, ...]:
    """What stands for the token ids of a text whose tokens are not known: its UTF-8 bytes."""
    return tuple(text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class Rollout:
    """Tokens sampled from a prefix under an intervention.

    An imported rollout may have text only: then `token_ids` and `logprobs` are None and `provenance` says where it
    is from.
    """

    prefix_id: str
    intervention_id: str
    settings_id: str
    engine_card_id: str
    sample_idx: int
    seed: int
    text: str
    """Decoded new tokens, without the end-of-sequence token."""
    finish_reason: FinishReason
    token_ids: tuple[int, ...] | None
    """New tokens, with the end-of-sequence token where one was sampled."""
    logprobs: tuple[float, ...] | None = None
    """Raw log probability (nats; before temperature, top-p and top-k) of each sampled token."""
    provenance: str = "sampled"
    """sampled, given (a transcript; given:<format> for a base solution that came with an import) or
    imported:<format>[/<what of it>]."""
    steered_tokens: int | None = None
    """At how many tokens, of prefix and rollout, an activation intervention was applied; None: there was none."""

    @property
    def id(self) -> str:
        """Tagged hash of the condition and the sample index."""
        return rollout_id(self.prefix_id, self.intervention_id, self.settings_id, self.engine_card_id, self.sample_idx)

    @property
    def span_ids(self) -> tuple[int, ...]:
        """Token ids; where only text is known, its UTF-8 bytes: prefixes and steps of imports are made of them."""
        return self.token_ids if self.token_ids is not None else text_ids(self.text)

    @property
    def is_fragment(self) -> bool:
        """Whether only its first sentence is known: what it would have said next is not "nothing"."""
        return self.provenance.endswith(FIRST_SENTENCE)

    @property
    def n_tokens(self) -> int:
        """Number of new tokens (0 where only text is known)."""
        return len(self.token_ids) if self.token_ids is not None else 0

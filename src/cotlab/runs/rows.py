"""Rows that readers get: thin tuples for everything that is counted by the hundred thousand."""

from __future__ import annotations

from typing import Any, NamedTuple

from cotlab.chains.rollout import FIRST_SENTENCE, text_ids

__all__ = ["Attempt", "EdgeRow", "FoundRow", "Note", "OutcomeRow", "PrefixRow", "RolloutRow", "SaidRow", "Study"]


class PrefixRow(NamedTuple):
    """A prefix without its tokens; parent and kind are those of the first edge that led to it."""

    id: str
    parent_id: str | None
    problem_id: str
    n_prompt: int
    n_tokens: int
    kind: str
    """root, continue, edit or intervene."""


class EdgeRow(NamedTuple):
    """How one prefix came of another."""

    parent_id: str
    child_id: str
    kind: str
    spec: Any


class RolloutRow(NamedTuple):
    """A rollout without its body."""

    id: str
    prefix_id: str
    intervention_id: str
    settings_id: str
    engine_card_id: str
    sample_idx: int
    study_id: str
    wave: int
    seed: int
    finish_reason: str
    n_tokens: int
    provenance: str
    steered_tokens: int | None


class SaidRow(NamedTuple):
    """What a rollout said, for reading very many: without log probabilities and without the names of its condition."""

    id: str
    sample_idx: int
    text: str
    token_ids: tuple[int, ...] | None
    provenance: str

    @property
    def span_ids(self) -> tuple[int, ...]:
        """As `Rollout.span_ids`."""
        return self.token_ids if self.token_ids is not None else text_ids(self.text)

    @property
    def is_fragment(self) -> bool:
        """As `Rollout.is_fragment`."""
        return self.provenance.endswith(FIRST_SENTENCE)


class OutcomeRow(NamedTuple):
    """A rollout with a verdict on it."""

    prefix_id: str
    sample_idx: int
    rollout_id: str
    finish_reason: str
    n_tokens: int
    value: dict[str, Any]


class FoundRow(NamedTuple):
    """A rollout that says what was searched for."""

    rollout_id: str
    problem_id: str
    prefix_id: str
    intervention_id: str
    sample_idx: int
    at: int
    """Where in its text, in characters."""
    before: str
    said: str
    after: str


class Study(NamedTuple):
    """What was asked."""

    id: str
    spec: dict[str, Any]
    seed: int
    created: str


class Attempt(NamedTuple):
    """A request that gave no rollout."""

    prefix_id: str
    intervention_id: str
    settings_id: str
    engine_card_id: str
    sample_idx: int
    error: str
    study_id: str
    created: str


class Note(NamedTuple):
    """What somebody wrote down."""

    subject: str
    text: str
    created: str

"""Which model, exactly, said it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from cotlab.identity import content_id

__all__ = ["EngineCard"]


@dataclass(frozen=True, slots=True)
class EngineCard:
    """Everything about an engine that can change what it samples; `id` enters the key of every rollout."""

    engine: str
    """vllm, transformers, markov, server."""
    model: str
    """Name as the user gave it, without the path of one machine: `tiny`, a hub name, a folder's name."""
    revision: str
    """Hub revision, or hash of the weights of a local folder."""
    tokenizer_id: str
    template_id: str
    dtype: str
    versions: tuple[tuple[str, str], ...] = field(default=())
    """Library versions that the numbers depend on, sorted by name."""

    @property
    def id(self) -> str:
        """Tagged hash of all fields."""
        return content_id("engine_card", self.to_json())

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {**asdict(self), "versions": [list(pair) for pair in self.versions]}

"""How rollouts are sampled."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cotlab.identity import content_id

__all__ = ["SamplingSettings"]


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """Sampling parameters; `id` enters the key of every rollout."""

    temperature: float = 0.6
    """0 is greedy."""
    top_p: float = 0.95
    top_k: int = 0
    """0 keeps all tokens."""
    max_tokens: int = 16_384
    """Longest response: KEPT plus new tokens, the same for all prefixes of a chain so that their values compare."""
    stop: tuple[str, ...] = ()
    """Strings after which a rollout ends; the stop string is kept in the rollout."""

    def __post_init__(self) -> None:
        for name, ok, wanted in (
            ("temperature", self.temperature >= 0, "0 or more"),
            ("top_p", 0 < self.top_p <= 1, "in (0, 1]"),
            ("top_k", self.top_k >= 0, "0 or more"),
            ("max_tokens", self.max_tokens > 0, "1 or more"),
        ):
            if not ok:
                raise ValueError(f"{name} is {getattr(self, name)}, expected {wanted}")

    @property
    def id(self) -> str:
        """Tagged hash of all parameters."""
        return content_id("settings", self.to_json())

    def to_json(self) -> dict[str, Any]:
        """All parameters, as JSON values."""
        return {**asdict(self), "stop": list(self.stop)}

    def new_tokens(self, kept: int) -> int:
        """How many new tokens a rollout from a prefix with `kept` response tokens may have (0 or less: none)."""
        return self.max_tokens - kept

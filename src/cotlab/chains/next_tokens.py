"""What a model may say next, with exact probabilities: the branches of a token-level outcome curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cotlab.chains.score import Score

__all__ = ["NEXT_TOKENS", "NextTokens"]

NEXT_TOKENS = "next-tokens/1"
"""Who says so, in the scores of a prefix."""
LEAST, MOST = 0.05, 10
"""Tokens below this probability are left out, and all beyond so many (Bigelow et al. 2024)."""


@dataclass(frozen=True, slots=True)
class NextTokens:
    """Next tokens that are followed, likeliest first, with their raw probabilities."""

    prefix_id: str
    tokens: tuple[tuple[int, float], ...]

    @classmethod
    def kept(
        cls, prefix_id: str, tokens: Sequence[tuple[int, float]], *, least: float = LEAST, most: int = MOST
    ) -> NextTokens:
        """Those of `least` probability or more, at most `most`; the likeliest one always."""
        order = sorted(tokens, key=lambda pair: (-pair[1], pair[0]))
        likely = [pair for pair in order[:most] if pair[1] >= least] or order[:1]
        return cls(prefix_id, tuple((int(token), float(p)) for token, p in likely))

    @property
    def weights(self) -> tuple[float, ...]:
        """Probabilities renormalised over the tokens that are followed."""
        total = sum(p for _, p in self.tokens)
        return tuple(p / total for _, p in self.tokens)

    @property
    def mass(self) -> float:
        """Probability of all that is followed."""
        return sum(p for _, p in self.tokens)

    def score(self) -> Score:
        """As a run keeps it."""
        return Score("prefix", self.prefix_id, NEXT_TOKENS, {"tokens": [list(pair) for pair in self.tokens]})

    @classmethod
    def read(cls, score: Score) -> NextTokens:
        """Back from a run."""
        return cls(score.subject_id, tuple((int(token), float(p)) for token, p in score.value["tokens"]))

"""How likely a model begins its answer with yes and with no: exact, no sampling."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cotlab.chains.tokens import Tokenizer

__all__ = ["ANSWER_ODDS", "AnswerOdds"]

ANSWER_ODDS = "answer-odds/1"
"""Who says so, in the scores of a prefix; the engine card's id follows."""


@dataclass(frozen=True, slots=True)
class AnswerOdds:
    """Probabilities that the next token is yes or no, in whatever spelling: ` Yes`, `YES`, `no`."""

    yes: float
    no: float

    @classmethod
    def of(cls, likeliest: Iterable[tuple[int, float]], tokenizer: Tokenizer) -> AnswerOdds:
        """Add up the spellings.

        Args:
            likeliest: Next tokens with their raw probabilities.
            tokenizer: Of the model.
        """
        total = {"yes": 0.0, "no": 0.0}
        for token, p in likeliest:
            said = tokenizer.decode((token,)).strip(" \t\n▁Ġ").casefold()
            if said in total:
                total[said] += p
        return cls(total["yes"], total["no"])

    @property
    def p_yes(self) -> float | None:
        """P(yes) of yes and no; None where neither is among the likeliest tokens."""
        return self.yes / self.mass if self.mass > 0 else None

    @property
    def mass(self) -> float:
        """P(yes) + P(no): where it is small, the model says something else."""
        return self.yes + self.no

    def to_json(self) -> dict[str, Any]:
        """The value of a `Score`."""
        return {"yes": self.yes, "no": self.no}

"""Verdicts: what a versioned scorer says of a rollout, a step or a prefix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Outcome", "Score", "SubjectKind", "step_subject"]

Outcome = Literal["correct", "wrong", "unparsable", "truncated", "unjudged"]
"""unjudged: an answer was read but the problem has no gold answer."""

SubjectKind = Literal["rollout", "step", "prefix"]


def step_subject(chain_id: str, step_idx: int) -> str:
    """Subject id of a step: `<chain id>/<step index>`."""
    return f"{chain_id}/{step_idx}"


@dataclass(frozen=True, slots=True)
class Score:
    """One verdict. Scoring again never samples again.

    Values by kind of scorer: an answer scorer gives `{"answer": str | None, "key": str | None, "outcome": Outcome}`,
    where `key` is equal for equal answers; a category scorer gives `{"category": str, "backtracks": bool | None, ...}`.
    """

    subject_kind: SubjectKind
    subject_id: str
    scorer_id: str
    """Name and version: `math/1`, `tiny-oracle/1`."""
    value: dict[str, Any]

"""What a measure returns: a number that says how sure it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Estimate"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval, its sample sizes and its null floor.

    Where there is too little data `value` is None and `reason` says why: that is an answer, not an error.
    """

    value: float | None
    low: float | None = None
    """Lower end of the interval at `level`."""
    high: float | None = None
    """Upper end of the interval at `level`."""
    n: int = 0
    """Rollouts that the value stands on (the second sample where there are two)."""
    n1: int | None = None
    """Rollouts of the first sample, where two samples are compared."""
    n2: int | None = None
    """Rollouts of the second sample, where two samples are compared."""
    level: float = 0.95
    null_mean: float | None = None
    """Mean of the measure where there is nothing to find (permutation or split half)."""
    null_q95: float | None = None
    """95% quantile of the same, of its absolute value where the measure is signed."""
    p: float | None = None
    q: float | None = None
    """p adjusted for the false discovery rate over the steps of a chain."""
    method: str = ""
    reason: str | None = None
    """Why there is no value."""

    @classmethod
    def missing(cls, reason: str, *, method: str = "", n: int = 0) -> Estimate:
        """Say that there is not enough to estimate from, and why."""
        return cls(value=None, n=n, method=method, reason=reason)

    def to_json(self) -> dict[str, Any]:
        """All fields, `value` null with a `reason` where there is not enough."""
        return asdict(self)

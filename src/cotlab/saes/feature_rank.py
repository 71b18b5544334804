"""Where the effect of an intervention stands among those of random features.

Features differ in what they do, so that an effect beyond nothing is not yet one of this feature: it is one where random
features, changed as much as often, seldom do as much. p = (1 + those that do) / (1 + all) is exact where the feature
might as well have been one of them; it cannot be below 1 / (1 + all): 19 random features are the fewest for 0.05.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Rank"]


@dataclass(frozen=True, slots=True)
class Rank:
    """An effect among those of random features, by distance from 0."""

    value: float
    others: tuple[float, ...]
    """Of single random features."""

    @classmethod
    def of(cls, value: float | None, others: Sequence[float | None]) -> Rank | None:
        """None where an effect is not known, or there are no random features."""
        known = [other for other in others if other is not None]
        return cls(value, tuple(known)) if value is not None and known and len(known) == len(others) else None

    @property
    def as_far(self) -> int:
        """Random features that are at least as far from 0."""
        return sum(abs(other) >= abs(self.value) - 1e-12 for other in self.others)

    @property
    def p(self) -> float:
        """Chance of a rank this high, of a feature that is like them."""
        return (1 + self.as_far) / (1 + len(self.others))

    @property
    def spread(self) -> tuple[float, float, float]:
        """The least, the median and the largest effect of random features."""
        least, middle, largest = np.quantile(self.others, [0.0, 0.5, 1.0]).tolist()
        return least, middle, largest

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        spread = dict(zip(("least", "median", "largest"), self.spread, strict=True))
        return {"others": list(self.others), **spread, "as_far": self.as_far, "n": len(self.others), "p": self.p}

    def __str__(self) -> str:
        least, middle, largest = self.spread
        return (
            f"{self.as_far} of {len(self.others)} random features move it as far "
            f"({least:+.3f} to {largest:+.3f}, median {middle:+.3f}; p = {self.p:.2g})"
        )

"""Rollouts through one prefix, as arrays: what every measure starts from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotlab.chains.score import Outcome

__all__ = ["OUTCOMES", "Draws"]

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
"""In the order of the codes in `Draws.outcomes`."""

_CODE = {outcome: code for code, outcome in enumerate(OUTCOMES)}


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Baseline rollouts whose token ids pass through one prefix, begun at it or above it. All arrays are [rollouts]."""

    prefix_id: str
    rollout_ids: NDArray[np.str_]
    sample_idx: NDArray[np.int64]
    """Sample index within the condition that the rollout was drawn under."""
    origin: NDArray[np.int64]
    """Steps of the chain that were kept where the rollout began."""
    outcomes: NDArray[np.int8]
    """Index into `OUTCOMES`."""
    keys: NDArray[np.object_]
    """Answer keys (equal for equal answers); None where no answer was read."""
    lacking: str | None = None
    """Why there are none although some were asked for here."""

    @classmethod
    def of(
        cls,
        prefix_id: str,
        outcomes: Sequence[Outcome],
        *,
        rollout_ids: Sequence[str] | None = None,
        sample_idx: ArrayLike | None = None,
        origin: ArrayLike = 0,
        keys: Sequence[str | None] | None = None,
    ) -> Draws:
        """Make draws from plain sequences; what is not given is numbered from 0 (ids by prefix), keys are None.

        Raises:
            ValueError: The sequences differ in length, or an outcome is unknown.
        """
        n = len(outcomes)
        unknown = sorted(set(outcomes) - set(OUTCOMES))
        if unknown:
            raise ValueError(f"outcome {unknown[0]!r} is unknown, expected one of {', '.join(OUTCOMES)}")
        ids = [f"{prefix_id}/{i}" for i in range(n)] if rollout_ids is None else rollout_ids
        key_array = np.empty(n, dtype=object)
        if keys is not None:
            key_array[:] = list(keys)
        return cls(
            prefix_id,
            np.asarray(ids, dtype=np.str_).reshape(n),
            np.arange(n) if sample_idx is None else np.asarray(sample_idx, dtype=np.int64).reshape(n),
            np.broadcast_to(np.asarray(origin, dtype=np.int64), (n,)),
            np.array([_CODE[outcome] for outcome in outcomes], dtype=np.int8),
            key_array,
        )

    def __len__(self) -> int:
        return len(self.outcomes)

    def select(self, mask: ArrayLike) -> Draws:
        """Those where `mask` ([rollouts], or indices) says so."""
        at = np.asarray(mask)
        return Draws(
            self.prefix_id,
            self.rollout_ids[at],
            self.sample_idx[at],
            self.origin[at],
            self.outcomes[at],
            self.keys[at],
            self.lacking,
        )

    def where(self, outcome: Outcome) -> NDArray[np.bool_]:
        """Which have this outcome, [rollouts]."""
        mask: NDArray[np.bool_] = self.outcomes == _CODE[outcome]
        return mask

    def count(self, outcome: Outcome) -> int:
        """How many have this outcome."""
        return int(self.where(outcome).sum())

    def outcome_names(self) -> list[Outcome]:
        """The outcome of each, by name."""
        return [OUTCOMES[code] for code in self.outcomes.tolist()]

    def outcome_counts(self) -> dict[Outcome, int]:
        """Number of each outcome, those with none included."""
        return {outcome: self.count(outcome) for outcome in OUTCOMES}

    def answers(self) -> dict[str, int]:
        """Number of each answer key, most frequent first; rollouts without an answer are left out."""
        return dict(Counter(key for key in self.keys.tolist() if key is not None).most_common())

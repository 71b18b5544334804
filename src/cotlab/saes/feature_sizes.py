"""How large a change of each feature is, and features of which an equal change is as large.

The size of a change is the mean over tokens of |a' − a| · ‖d‖, a and a' the feature's activation before and after, d
its decoder row, in the autoencoder's own units. What has a value to choose (clamp, add) is given the value that makes
it as large; an ablation or a factor is what it is, so features are chosen of which it is as large.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cotlab.interventions import FeatureChange

if TYPE_CHECKING:
    from torch import Tensor

    from cotlab.interventions import SparseFeatures

__all__ = ["FeatureSizes"]

_Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FeatureSizes:
    """Activations of all features at some tokens. Arrays are [d_sae] unless said otherwise."""

    n_tokens: int
    rates: _Array
    """Share of the tokens at which each is active."""
    means: _Array
    """Mean activation over all tokens."""
    norms: _Array
    """Of the decoder's rows."""
    starts: NDArray[np.intp]
    """[d_sae + 1] where the activations of each feature begin in `values`."""
    values: _Array
    """[active] activations, feature by feature."""

    @classmethod
    def of(cls, active: SparseFeatures, norms: Tensor) -> FeatureSizes:
        """Of active features, and the norm of each decoder row."""
        n, d_sae = active.n_tokens, active.d_sae
        features, values = active.features.cpu().numpy(), active.values.double().cpu().numpy()
        counts = np.bincount(features, minlength=d_sae)
        sums = np.bincount(features, weights=values, minlength=d_sae)
        order = np.argsort(features, kind="stable")
        starts = np.concatenate([[0], np.cumsum(counts)])
        return cls(n, counts / n, sums / n, norms.double().cpu().numpy(), starts, values[order])

    def size(self, change: FeatureChange) -> float:
        """Of a change."""
        return float(self._sizes(change)[change.feature]) if _fixed(change) else self._moved(change, change.value or 0)

    def like(self, change: FeatureChange, most: int, *, without: Collection[int]) -> NDArray[np.intp]:
        """Features that fire most nearly as often and can be changed as much; where the change is fixed, that are so.

        Args:
            change: Of one feature.
            most: How many.
            without: These not.
        """
        apart = np.abs(np.log2((self.rates + 1 / self.n_tokens) / (self.rates[change.feature] + 1 / self.n_tokens)))
        if _fixed(change):
            sizes = self._sizes(change)
            with np.errstate(divide="ignore", invalid="ignore"):
                apart = np.maximum(apart, np.abs(np.log2(sizes / sizes[change.feature])))
        elif change.action == "clamp":  # at 0 already it is larger: no value makes it as small
            apart[self.means * self.norms > self.size(change)] = np.inf
        apart[list(without)] = np.inf
        known = np.flatnonzero(np.isfinite(apart))
        found: NDArray[np.intp] = known[np.argsort(apart[known], kind="stable")][:most]
        return found

    def resized(self, change: FeatureChange, other: int) -> FeatureChange:
        """The same change of another feature; what has a value gets the one that makes it as large."""
        if _fixed(change):
            return replace(change, feature=other)
        wanted, norm, value = self.size(change), self.norms[other], change.value or 0.0
        if change.action == "add":
            return replace(change, feature=other, value=float(np.sign(value) * wanted / norm))
        moved = replace(change, feature=other)
        low, high = 0.0, 2 * (wanted / norm + float(self._of(other).max(initial=0.0)))
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if self._moved(moved, np.sign(value) * middle) > wanted else (middle, high)
        return replace(moved, value=float(np.sign(value) * high))

    def _sizes(self, change: FeatureChange) -> _Array:
        """Of an ablation, or a factor, of each feature."""
        factor = 1.0 if change.action != "scale" else abs((change.value or 0.0) - 1)
        return factor * self.means * self.norms

    def _moved(self, change: FeatureChange, value: float) -> float:
        """Of a clamp or an addition with a value."""
        norm = float(self.norms[change.feature])
        if change.action == "add":
            return abs(value) * norm
        own = self._of(change.feature)
        return float(np.abs(value - own).sum() + (self.n_tokens - len(own)) * abs(value)) / self.n_tokens * norm

    def _of(self, feature: int) -> _Array:
        return self.values[self.starts[feature] : self.starts[feature + 1]]


def _fixed(change: FeatureChange) -> bool:
    """Whether there is no value that says how large it is."""
    return change.action in ("scale", "ablate") or not change.value

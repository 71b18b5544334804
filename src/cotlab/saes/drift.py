"""What fine-tuning did to each feature of an autoencoder.

Fine-tuning keeps places: feature f after it grew out of feature f before it. So each is compared with itself:

| is | when |
|---|---|
| kept | fires before and after, decoder cosine at least 0.9 |
| rotated | fires before and after, decoder cosine from 0.7 to 0.9 |
| woken | fires after, not before; decoder cosine at least 0.7: a feature of the own model that the other lacked |
| new | fires after; its decoder row has cosine below 0.7 with its own old one and with every one that fired before |
| moved | fires after, own cosine below 0.7, but like another old feature: the place changed hands |
| gone | fired before, not after |
| silent | fires neither before nor after |

Firing is on the evaluated tokens, at a rate of at least `LEAST_RATE`. 0.7 and 0.9 are conventions, and the cosines are
told; unrelated rows of width d have a cosine of about 1/√d (0.06 at 256). That features of autoencoders are compared by
the cosine of their decoder rows at all is as in Paulo & Belrose 2025 (arXiv:2501.16615).

Training alone turns features, too. Where a null was measured (`cotlab.saes.drift_null`), a feature has *drifted* when
it is not what it was (kept, silent) and changed by more than as many steps on its own model change features like it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cotlab.errors import UserError
from cotlab.interventions import SparseAutoencoder

__all__ = ["CHANGED", "FALSE_SHARE", "Drift", "FeatureDrift", "State", "feature_drift"]

SAME, ALIKE = 0.9, 0.7
LEAST_RATE = 1e-3
"""Share of the tokens from which on a feature counts as firing."""
BLOCK = 1024
FALSE_SHARE = 0.1
"""Share of false ones among features that are said to have drifted, at most."""
State = Literal["kept", "rotated", "woken", "new", "moved", "gone", "silent"]
CHANGED: tuple[State, ...] = ("new", "woken", "rotated", "moved", "gone")


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """One feature."""

    feature: int
    state: State
    decoder_cosine: float
    """Of its decoder row before and after."""
    encoder_cosine: float
    nearest: float | None
    """Highest cosine of its decoder row with one that fired before; looked for where it is no longer like itself."""
    rate_before: float
    """Share of the tokens at which it fires, both on the other model."""
    rate_after: float
    q: float | None = None
    """Share of false ones among features that changed at least as much, by what training alone does; None where no null
    was measured, or it fires neither before nor after."""

    @property
    def fires(self) -> bool:
        """Whether it fires before or after."""
        return max(self.rate_before, self.rate_after) >= LEAST_RATE

    @property
    def drifted(self) -> bool:
        """Whether it is not what it was, and that is not what training alone does."""
        return self.state in CHANGED and self.q is not None and self.q <= FALSE_SHARE


@dataclass(frozen=True, slots=True)
class Drift:
    """All features of an autoencoder."""

    hook: str
    features: tuple[FeatureDrift, ...]
    null: Drift | None = None
    """What as many steps on the own model's activations did; None where that was not measured."""

    @property
    def drifted(self) -> dict[str, int]:
        """How many features of each state drifted."""
        return dict(Counter(one.state for one in self.features if one.drifted).most_common())

    @property
    def states(self) -> dict[str, int]:
        """How many features are in each state."""
        return dict(Counter(one.state for one in self.features).most_common())

    def of(self, state: State) -> list[FeatureDrift]:
        """Features in a state: those that drifted first, then those that fire most (after; the gone ones before)."""
        its = [one for one in self.features if one.state == state]
        return sorted(its, key=lambda one: (not one.drifted, -one.rate_after, -one.rate_before, one.feature))

    def to_json(self, most: int = 50) -> dict[str, Any]:
        """Counts, quantiles over features that fire before and after, and the first of those that changed."""
        found: dict[str, Any] = {"hook": self.hook, "states": self.states, **self._quantiles()}
        if self.null is not None:
            found |= {"drifted": self.drifted, "false_share": FALSE_SHARE}
            found["null"] = {"states": self.null.states, **self.null._quantiles()}
        return {**found, **{state: [asdict(one) for one in self.of(state)[:most]] for state in CHANGED}}

    def _quantiles(self) -> dict[str, Any]:
        both = [one for one in self.features if min(one.rate_before, one.rate_after) >= LEAST_RATE]
        return {
            "decoder_cosine": _quantiles([one.decoder_cosine for one in both]),
            "encoder_cosine": _quantiles([one.encoder_cosine for one in both]),
            "log2_rate_change": _quantiles([float(np.log2(one.rate_after / one.rate_before)) for one in both]),
        }


@torch.no_grad()
def feature_drift(
    before: SparseAutoencoder,
    after: SparseAutoencoder,
    rates: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> Drift:
    """Compare each feature with itself.

    Args:
        before: The autoencoder.
        after: Fine-tuned from it.
        rates: Firing rates of both on the same tokens of the other model, each of shape (d_sae,).

    Raises:
        UserError: They have different sizes.
    """
    if before.W_dec.shape != after.W_dec.shape:
        raise UserError(f"SAEs of {tuple(before.W_dec.shape)} and {tuple(after.W_dec.shape)} have no common features")
    decoder = _by_itself(before.W_dec, after.W_dec)
    encoder = _by_itself(before.W_enc.T, after.W_enc.T)
    unlike = [cosine < ALIKE and rate >= LEAST_RATE for cosine, rate in zip(decoder, rates[1], strict=True)]
    fired = torch.from_numpy(rates[0] >= LEAST_RATE).to(before.W_dec.device)
    nearest = _nearest(before.W_dec, after.W_dec, fired if bool(fired.any()) else torch.ones_like(fired), unlike)
    found = []
    for feature, (was, now) in enumerate(zip(*rates, strict=True)):
        state = _state(was, now, decoder[feature], nearest.get(feature, 1.0))
        told = (decoder[feature], encoder[feature], nearest.get(feature), float(was), float(now))
        found.append(FeatureDrift(feature, state, *told))
    return Drift(str(before.point), tuple(found))


def _state(before: float, after: float, cosine: float, nearest: float) -> State:
    if after < LEAST_RATE:
        return "gone" if before >= LEAST_RATE else "silent"
    if cosine >= ALIKE:
        return "woken" if before < LEAST_RATE else "kept" if cosine >= SAME else "rotated"
    return "moved" if nearest >= ALIKE else "new"


def _by_itself(before: Tensor, after: Tensor) -> list[float]:
    """Cosine of each row with its own place, float32, a block of rows at a time."""
    found = []
    for was, now in zip(torch.split(before, BLOCK), torch.split(after, BLOCK), strict=True):
        found += torch.nn.functional.cosine_similarity(was.float(), now.float(), dim=1).tolist()
    return found


def _nearest(before: Tensor, after: Tensor, fired: Tensor, asked: Sequence[bool]) -> dict[int, float]:
    """Highest cosine of some rows after with one that fired before, by row; two blocks of rows are copied at a time."""
    wanted = torch.tensor(asked, device=after.device).nonzero()[:, 0]
    best = torch.full((len(wanted),), -1.0, device=after.device)
    for start in range(0, len(wanted), BLOCK):
        mine, part = _unit(after[wanted[start : start + BLOCK]]), best[start : start + BLOCK]
        for rows in torch.split(fired.nonzero()[:, 0], BLOCK):
            torch.maximum(part, (mine @ _unit(before[rows]).T).amax(1), out=part)
    return dict(zip(wanted.tolist(), best.tolist(), strict=True))


def _unit(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows.float(), dim=1)


def _quantiles(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    asked = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}
    return {name: float(np.quantile(values, q)) for name, q in asked.items()}

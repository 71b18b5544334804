"""How much features drift by training alone: the same training on the autoencoder's own model.

1. The autoencoder is trained on its own model's activations, at the same tokens in the same batches, with the same
   plan, for exactly as many steps as those of the weights that were kept on the other model.
2. A feature's change is told by three numbers: the turn of its decoder row and of its encoder column (1 − cosine), and
   the change of the square root of its firing rate (whose sampling error is the same at every rate). Each is divided by
   what 90% of the `LIKE` features of the null that are nearest in firing rate stay below, since features turn the more
   the more often they fire in training; the largest of the three is the feature's score.
3. q of a score s is an estimate of the share of false ones among all features with at least s: how many would be there
   if they changed as those of the null do, (1 + those of the null) / (all of the null) × all, over how many there are
   (Storey 2002; the 1 as in Barber & Candès 2015). Its smallest value at scores up to s is taken.

Features that fire neither before nor after are in no count. One null training stands for all: how much another one of
them would differ is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from cotlab.interventions import SparseAutoencoder
from cotlab.saes.activations import read_rows
from cotlab.saes.drift import Drift, FeatureDrift, feature_drift
from cotlab.saes.traces import Trace, special_ids
from cotlab.whitebox.inside import Inside

__all__ = ["against_null", "firing_rates", "null_drift"]

LIKE = 50
"""Features of the null that one is compared with."""
USUAL = 0.9
"""Share of them that stay below what a change is divided by."""
LEAST = 1e-6
"""Change that counts as none."""
_Array = NDArray[np.float64]


def null_drift(before: SparseAutoencoder, after: SparseAutoencoder, own: Inside, traces: Sequence[Trace]) -> Drift:
    """What training on the own model did to each feature.

    Args:
        before: The autoencoder.
        after: Trained further on its own model.
        own: That model; firing rates are those on it.
        traces: What was evaluated.
    """
    return feature_drift(before, after, (firing_rates(own, before, traces), firing_rates(own, after, traces)))


def against_null(drift: Drift, null: Drift) -> Drift:
    """The same drift, with q of every feature that fires."""
    asked = [i for i, one in enumerate(drift.features) if one.fires]
    known = [one for one in null.features if one.fires]
    if not asked or not known:
        return replace(drift, null=null)
    mine, theirs = _changes([drift.features[i] for i in asked]), _changes(known)
    rates, null_rates = _rates([drift.features[i] for i in asked]), _rates(known)
    scores = np.array([_score(mine[i], theirs, np.abs(null_rates - rates[i])) for i in range(len(asked))])
    # One of the null is compared with the others, not with itself.
    others = np.abs(null_rates[:, None] - null_rates[None])
    np.fill_diagonal(others, np.inf)
    null_scores = np.array([_score(theirs[i], theirs, others[i]) for i in range(len(known))])
    q = dict(zip(asked, _false_shares(scores, null_scores).tolist(), strict=True))
    features = tuple(replace(one, q=q.get(i)) for i, one in enumerate(drift.features))
    return replace(drift, features=features, null=null)


@torch.no_grad()
def firing_rates(inside: Inside, sae: SparseAutoencoder, traces: Sequence[Trace]) -> _Array:
    """Share of the tokens at which each feature fires, shape (d_sae,)."""
    fired, n = np.zeros(sae.d_sae), 0
    for _, rows in read_rows(inside, traces, sae.point, special_ids(inside.tokenizer)):
        fired += np.bincount(sae.encode_sparse(rows).features.cpu().numpy(), minlength=sae.d_sae)
        n += len(rows)
    return fired / max(1, n)


def _changes(features: Sequence[FeatureDrift]) -> _Array:
    """Turn of decoder and encoder, change of the root of the firing rate; shape (features, 3)."""
    return np.array(
        [
            (1 - one.decoder_cosine, 1 - one.encoder_cosine, abs(one.rate_after**0.5 - one.rate_before**0.5))
            for one in features
        ]
    )


def _rates(features: Sequence[FeatureDrift]) -> _Array:
    """Root of the mean firing rate before and after."""
    return np.array([((one.rate_before + one.rate_after) / 2) ** 0.5 for one in features])


def _score(change: _Array, null: _Array, apart: _Array) -> float:
    """How many times further than is usual of features of the null that are near."""
    near = np.argsort(apart, kind="stable")[:LIKE]
    usual = np.quantile(null[near[np.isfinite(apart[near])]], USUAL, axis=0) if len(null) > 1 else null[0]
    return float((change / np.maximum(usual, LEAST)).max())


def _false_shares(scores: _Array, null: _Array) -> _Array:
    order = np.argsort(-scores, kind="stable")
    above = np.arange(1, len(scores) + 1)
    by_chance = 1 + len(null) - np.searchsorted(np.sort(null), scores[order], side="left")
    shares = by_chance / len(null) * len(scores) / above
    found = np.empty(len(scores))
    found[order] = np.minimum(1.0, np.minimum.accumulate(shares[::-1])[::-1])
    return found

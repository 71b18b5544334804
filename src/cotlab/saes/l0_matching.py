"""How many features are active a token, and autoencoders brought to a given number of them.

More active features explain more, so that two autoencoders are compared at one L0. What is changed decides which
features are active and nothing else: thresholds by one factor, or, where k features are kept a token, k.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from cotlab.interventions import SparseAutoencoder

__all__ = ["AT_ONCE", "active_a_token", "at_l0", "match_l0"]

AT_ONCE = 4096
"""Activations that are encoded at once."""
MATCHED = 0.01
"""Relative difference of L0 below which it counts as matched."""


@torch.no_grad()
def active_a_token(sae: SparseAutoencoder, rows: Tensor) -> float:
    """L0: mean number of features that are active on activations, shape (tokens, d_model), raw units."""
    return sum(len(sae.encode_sparse(part).values) for part in torch.split(rows, AT_ONCE)) / len(rows)


@torch.no_grad()
def match_l0(sae: SparseAutoencoder, rows: Tensor, l0: float) -> SparseAutoencoder:
    """One factor on all thresholds (or, from plain ReLU, one threshold) so that so many features are active a token.

    Args:
        sae: jumprelu, relu or batchtopk with a threshold; topk holds its number anyway and stays as it is.
        rows: Activations, shape (tokens, d_model), raw units.
        l0: Wanted.
    """
    if sae.card.activation == "topk" or sae.threshold is None:
        return sae
    if abs(active_a_token(sae, rows) / l0 - 1) <= MATCHED:
        return sae
    typical = float(sae.threshold.mean())
    if typical <= 0:  # no factor on 0 is anything else
        typical = float(sae.encode_sparse(rows[:AT_ONCE]).values.mean())
        threshold = torch.full_like(sae.threshold, typical)
    else:
        threshold = sae.threshold.clamp(min=1e-6 * typical)
    low, high = -12.0, 12.0
    made = sae
    for _ in range(40):
        middle = (low + high) / 2
        made = replace(sae, threshold=threshold * 2.0**middle)
        found = active_a_token(made, rows)
        if abs(found / l0 - 1) <= MATCHED / 10:
            break
        low, high = (middle, high) if found > l0 else (low, middle)
    return made


@torch.no_grad()
def at_l0(sae: SparseAutoencoder, rows: Tensor, l0: float) -> SparseAutoencoder:
    """An autoencoder of any kind with as nearly as it can so many features active a token; itself where it has them.

    Args:
        sae: The autoencoder. Of topk (and batchtopk without a threshold) k is changed, by whole numbers.
        rows: Activations, shape (tokens, d_model), raw units.
        l0: Wanted.
    """
    card = sae.card
    if card.activation == "relu":
        jump = replace(sae, card=replace(card, activation="jumprelu"), threshold=torch.zeros_like(sae.b_enc))
        found = match_l0(jump, rows, l0)
        return sae if found is jump else found
    if card.k is None or (card.activation == "batchtopk" and sae.threshold is not None):
        return match_l0(sae, rows, l0)
    low, high = 1, min(sae.d_sae, 2 * max(card.k, round(l0)))
    while low < high:  # the least k with so many
        middle = (low + high) // 2
        enough = active_a_token(_with_k(sae, middle), rows) >= l0 * (1 - MATCHED)
        low, high = (low, middle) if enough else (middle + 1, high)
    tried = {k: abs(active_a_token(_with_k(sae, k), rows) - l0) for k in {max(1, low - 1), low, card.k}}
    if tried[card.k] <= MATCHED * l0:
        return sae
    best = min(tried, key=lambda k: tried[k])
    return sae if best == card.k else _with_k(sae, best)


def _with_k(sae: SparseAutoencoder, k: int) -> SparseAutoencoder:
    return replace(sae, card=replace(sae.card, k=k))

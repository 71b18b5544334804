"""From logits to tokens, a batch of rows at a time, each row with its own settings and its own noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cotlab.chains.settings import SamplingSettings

__all__ = ["choose"]

CANDIDATES = 128
"""Tokens that are looked at first for top-p; all are, where these do not hold the mass."""
GOLDEN = 0x9E3779B97F4A7C15 - 2**64
MIX = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)
"""Constants of SplitMix64, as signed 64-bit numbers."""


def choose(logits: Tensor, settings: Sequence[SamplingSettings], keys: Sequence[int]) -> tuple[list[int], list[float]]:
    """Sample one token a row: the largest of log weight + Gumbel noise.

    The noise of a token is a hash of the row's key and the token id: what a row says does not depend on what shares the
    batch, and arms with equal keys mostly agree where their distributions are close.

    Args:
        logits: Shape (rows, vocabulary).
        settings: Of each row.
        keys: A random signed 64-bit number for each row, another one at each token.

    Returns:
        The tokens, and their raw log probabilities (before temperature, top-k and top-p).
    """
    raw = torch.log_softmax(logits.float(), dim=-1)
    key = torch.tensor(keys, dtype=torch.long, device=raw.device)
    tokens = torch.empty(len(raw), dtype=torch.long, device=raw.device)
    for some in dict.fromkeys(settings):
        rows = [row for row, its in enumerate(settings) if its == some]
        if len(rows) == len(raw):
            tokens = _choose_alike(raw, some, key)
        else:
            index = torch.tensor(rows, device=raw.device)
            tokens[index] = _choose_alike(raw[index], some, key[index])
    logprobs = raw.gather(1, tokens[:, None])[:, 0]
    return tokens.tolist(), logprobs.tolist()


def _choose_alike(raw: Tensor, settings: SamplingSettings, key: Tensor) -> Tensor:
    if settings.temperature == 0:
        return raw.argmax(dim=-1)
    tokens, weights = restrict(raw / settings.temperature, settings.top_p, settings.top_k)
    best = (weights + gumbel(key[:, None], tokens)).argmax(dim=-1, keepdim=True)
    return tokens.expand(len(raw), -1).gather(1, best)[:, 0]


def restrict(scaled: Tensor, top_p: float, top_k: int) -> tuple[Tensor, Tensor]:
    """Tokens that are kept: top-k first, then top-p over what is left (the order of vLLM).

    Args:
        scaled: Log weights after temperature, shape (rows, vocabulary).
        top_p: The likeliest tokens are kept until their mass reaches this; 1 keeps all.
        top_k: That many likeliest tokens are kept; 0 keeps all.

    Returns:
        Token ids, shape (rows or 1, candidates), and their log weights, −inf for those that are not kept.
    """
    size = scaled.shape[-1]
    most = min(top_k, size) if top_k else size
    if top_p == 1:
        if most == size:
            return torch.arange(size, device=scaled.device)[None, :], scaled
        weights, tokens = scaled.topk(most, dim=-1)
        return tokens, weights
    total = (
        scaled.topk(most, dim=-1).values.logsumexp(-1, keepdim=True) if top_k else scaled.logsumexp(-1, keepdim=True)
    )
    for n in (min(CANDIDATES, most), most):
        weights, tokens = scaled.topk(n, dim=-1)
        mass = (weights - total).exp()
        before = mass.cumsum(dim=-1) - mass
        if n == most or bool((before[:, -1] >= top_p).all()):
            break
    return tokens, weights.masked_fill(before >= top_p, -torch.inf)


def gumbel(key: Tensor, tokens: Tensor) -> Tensor:
    """Standard Gumbel noise of tokens under keys, shapes broadcast; the same on every device.

    Source: number `token` of the SplitMix64 stream that starts at `key` (Steele, Lea and Flood 2014).
    """
    state = key + tokens * GOLDEN
    for shift, factor in ((30, MIX[0]), (27, MIX[1])):
        state = (state ^ ((state >> shift) & ((1 << (64 - shift)) - 1))) * factor
    state = state ^ ((state >> 31) & ((1 << 33) - 1))
    uniform = (((state >> 11) & ((1 << 53) - 1)).double() + 0.5) * 2.0**-53
    return -torch.log(-torch.log1p(-uniform))

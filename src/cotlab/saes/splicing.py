"""What a reconstruction costs the model: its activations are put in the place of the model's own, at one hook point.

1. One pass as it is: activations at the hook points, and the hidden states behind the last norm.
2. For each hook point one pass with zeros there (at every token), and one with each reconstruction (at all but special
   tokens), as `sae_lens.evals` has it.
3. Cross-entropy of the next token and KL(clean ‖ spliced), nats, at every token; the vocabulary is looked at a piece of
   the sequence at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cotlab.engines.hooks import Sum, remove
from cotlab.errors import ModelError
from cotlab.interventions.autoencoder import SparseAutoencoder
from cotlab.interventions.hook_points import HookPoint
from cotlab.interventions.sparse_features import SparseFeatures
from cotlab.saes.traces import Trace, kept
from cotlab.whitebox.inside import Inside, Tokens

__all__ = ["Loss", "Spliced", "splice"]

LOGITS = 2**26
"""Most logits (tokens × vocabulary) that are looked at at once."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Of each token, shape (tokens,): nats, float64; `ce` is NaN at the last token, behind which nothing is known."""

    ce: Tensor
    kl: Tensor


@dataclass(frozen=True, slots=True)
class Spliced:
    """One hook point of one trace."""

    x: Tensor
    """Activations, shape (tokens, width)."""
    made: Mapping[str, Tensor]
    """Reconstructions by arm, shape (tokens, width)."""
    features: Mapping[str, SparseFeatures]
    """Active features by arm."""
    clean: Tensor
    """Cross-entropy as it is, shape (tokens,)."""
    zero: Loss
    arms: Mapping[str, Loss]
    mask: Tensor
    """Tokens that are measured, shape (tokens,)."""


@torch.inference_mode()
def splice(
    inside: Inside, trace: Trace, arms: Mapping[HookPoint, Mapping[str, SparseAutoencoder]], special: frozenset[int]
) -> Iterator[tuple[HookPoint, Spliced]]:
    """Read one trace, and splice every reconstruction, one at a time.

    Args:
        inside: The model.
        trace: What it reads.
        arms: Autoencoders by hook point and name.
        special: Tokens that are left as they are.

    Raises:
        ModelError: The model does not have such a point.
    """
    hidden, read = _pass(inside, trace.whole, {}, list(arms))
    mask = torch.from_numpy(kept(trace, special)).to(hidden.device)
    for point, named in arms.items():
        x = read[point]
        features = {name: sae.encode_sparse(x) for name, sae in named.items()}
        made = {name: _decoded(sae, x, features[name]) for name, sae in named.items()}
        into = {name: torch.where(mask[:, None], value, x) for name, value in made.items()}
        spliced = [_pass(inside, trace.whole, {point: value}, [])[0] for value in (torch.zeros_like(x), *into.values())]
        clean, losses = _losses(inside, trace.ids, hidden, spliced)
        yield point, Spliced(x, made, features, clean, losses[0], dict(zip(named, losses[1:], strict=True)), mask)


def _decoded(sae: SparseAutoencoder, x: Tensor, features: SparseFeatures) -> Tensor:
    # What normalises each token needs the token to come back to its units.
    return (sae.reconstruct(x) if sae.card.per_token else sae.decode_sparse(features)).to(x.dtype)


def _pass(
    inside: Inside, tokens: Tokens, put: Mapping[HookPoint, Tensor], wanted: list[HookPoint]
) -> tuple[Tensor, dict[HookPoint, Tensor]]:
    """Hidden states behind the last norm, shape (tokens, d_model), and activations as they are."""
    read: dict[HookPoint, Tensor] = {}

    def handle(point: HookPoint, base: Tensor, whole: Sum) -> Tensor | None:
        value = whole(base)[0]
        read[point] = value.clone()
        # What is changed may be one of two tensors whose sum is the value.
        return base + (put[point] - value)[None] if point in put else None

    handles = inside.modules.hook([*put, *wanted], handle)
    try:
        hidden: Tensor = inside.model.base_model(**inside.inputs(tokens), use_cache=False).last_hidden_state[0]
    finally:
        remove(handles)
    missed = [str(point) for point in (*put, *wanted) if point not in read]
    if missed:
        raise ModelError(f"the model never passed {', '.join(missed)}")
    return hidden, read


def _losses(inside: Inside, ids: Sequence[int], clean: Tensor, others: list[Tensor]) -> tuple[Tensor, list[Loss]]:
    unembed = inside.model.get_output_embeddings()
    n = len(ids)
    targets = torch.tensor([*ids[1:], 0], device=clean.device)
    piece = max(1, LOGITS // inside.model.config.get_text_config(decoder=True).vocab_size)
    own: list[Tensor] = []
    found: list[list[tuple[Tensor, Tensor]]] = [[] for _ in others]
    for start in range(0, n, piece):
        at = slice(start, start + piece)
        wanted = targets[at, None]
        log_p = unembed(clean[at]).float().log_softmax(-1)
        p = log_p.exp()
        own.append(-log_p.gather(1, wanted)[:, 0].double())
        for other, said in zip(others, found, strict=True):
            log_q = unembed(other[at]).float().log_softmax(-1)
            kl = (p * (log_p - log_q)).sum(-1).double()
            said.append((-log_q.gather(1, wanted)[:, 0].double(), kl))
    ce = [torch.cat([ce for ce, _ in said]) for said in found]
    kl = [torch.cat([kl for _, kl in said]) for said in found]
    whole = torch.cat(own)
    for values in (whole, *ce):
        values[-1] = torch.nan
    return whole, [Loss(*pair) for pair in zip(ce, kl, strict=True)]

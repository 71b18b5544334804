"""Attention between steps: matrices, receiver heads, and what cutting a step off does to later ones.

Receiver heads and suppression follow Bogdan et al. 2025 ("Thought Anchors", §3.2 and §3.3), with two corrections:
divergences are over the whole vocabulary, and rows inside the suppressed step keep their attention.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cotlab.errors import DataError
from cotlab.interventions.hook_points import HookPoint
from cotlab.stats import Estimate
from cotlab.whitebox.inside import Inside, Tokens, ids_of

__all__ = ["MIN_DISTANCE", "ReceiverHeads", "receiver_heads", "step_attention", "suppression_matrix"]

MIN_DISTANCE = 4
"""Steps between a step and those whose attention to it counts (the paper's 4): nearer ones attend to it anyway."""
Span = tuple[int, int]
"""First token of a step and one past its last, in the sequence."""


@torch.inference_mode()
def step_attention(inside: Inside, tokens: Tokens, spans: Sequence[Span]) -> NDArray[np.float32]:
    """Mean attention weight from the tokens of one step to those of another, for every head.

    Args:
        inside: The model.
        tokens: Token ids of the sequence, or a prefix with its images.
        spans: Token spans of the steps, ascending.

    Returns:
        [layers, heads, steps, steps]: from step (third axis) to step (fourth); 0 above the diagonal.

    Raises:
        DataError: A span is not in the sequence.
    """
    n = len(ids_of(tokens))
    check_spans(spans, n)
    means = torch.zeros(n, len(spans), device=inside.model.device)
    for step, (start, end) in enumerate(spans):
        means[start:end, step] = 1 / (end - start)
    matrices = []
    for layer in range(inside.shape.n_layers):
        # One layer at a time: all patterns of a long chain do not fit.
        point = HookPoint("pattern", layer)
        pattern = inside.read(tokens, [point])[point].float()
        matrices.append(torch.einsum("qs,hqk,kt->hst", means, pattern, means).cpu().numpy())
    return np.stack(matrices)


@dataclass(frozen=True, slots=True, eq=False)
class ReceiverHeads:
    """How narrowly each head looks at steps, averaged over chains."""

    kurtosis: NDArray[np.float64]
    """[layers, heads] Fisher's excess kurtosis, over steps, of the attention that a step gets from far behind it."""
    reliability: Estimate
    """Correlation of the kurtosis between two halves of the chains, stepped up to all of them (Spearman-Brown)."""
    n_chains: int

    def top(self, n: int = 20) -> list[tuple[int, int]]:
        """The `n` heads of the highest kurtosis, as (layer, head)."""
        flat = np.argsort(-self.kurtosis, axis=None)[:n]
        return [(int(i) // self.kurtosis.shape[1], int(i) % self.kurtosis.shape[1]) for i in flat]


def received(matrices: NDArray[np.float32], min_distance: int = MIN_DISTANCE) -> NDArray[np.float64]:
    """Attention [layers, heads, steps] that each step receives on average from steps at least that far behind it.

    The last `min_distance` steps receive none that counts and are left out.
    """
    n = matrices.shape[-1]
    columns = [matrices[:, :, target + min_distance :, target].mean(axis=-1) for target in range(n - min_distance)]
    return np.stack(columns, axis=-1).astype(float)


def receiver_heads(
    matrices: Sequence[NDArray[np.float32]], *, min_distance: int = MIN_DISTANCE, n_splits: int = 200, seed: int = 0
) -> ReceiverHeads:
    """Heads whose attention falls on few steps.

    Args:
        matrices: `step_attention` of several chains.
        min_distance: Steps between giver and receiver.
        n_splits: Random halvings of the chains for the reliability.
        seed: Of the halvings.

    Raises:
        DataError: No chain has enough steps.
    """
    from scipy.stats import kurtosis

    usable = [matrix for matrix in matrices if matrix.shape[-1] >= min_distance + 4]
    if not usable:
        raise DataError(f"no chain has {min_distance + 4} steps or more, which receiver heads need")
    by_chain = np.stack([kurtosis(received(matrix, min_distance), axis=-1, bias=False) for matrix in usable])
    by_chain = np.nan_to_num(by_chain)
    return ReceiverHeads(by_chain.mean(axis=0), _split_half(by_chain, n_splits, seed), len(usable))


def _split_half(by_chain: NDArray[np.float64], n_splits: int, seed: int) -> Estimate:
    n, method = len(by_chain), "split-half, spearman-brown"
    if n < 4:
        return Estimate.missing(f"{n} chains, at least 4 are needed", method=method, n=n)
    rng, values = np.random.default_rng(seed), []
    for _ in range(n_splits):
        order = rng.permutation(n)
        halves = [by_chain[part].mean(axis=0).ravel() for part in (order[: n // 2], order[n // 2 :])]
        r = float(np.corrcoef(halves)[0, 1])
        values.append(2 * r / (1 + r))
    low, high = np.quantile(values, [0.025, 0.975])
    return Estimate(float(np.mean(values)), float(low), float(high), n=n, method=method)


@torch.inference_mode()
def suppression_matrix(
    inside: Inside,
    tokens: Tokens,
    spans: Sequence[Span],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """What each step loses when an earlier one cannot be attended to.

    Step i is hidden from every token behind it (tokens of the step itself still see it); the loss of step j is the mean
    over its tokens of KL(unchanged ‖ suppressed) of that token's prediction, nats, over the whole vocabulary.

    Args:
        inside: The model.
        tokens: Token ids of the sequence, or a prefix with its images.
        spans: Token spans of the steps, ascending.
        progress: Told steps done and in all.

    Returns:
        [steps, steps]: row i is what hiding step i does to step j; NaN on and below the diagonal.
    """
    n = len(ids_of(tokens))
    check_spans(spans, n)
    plain = inside.logits(tokens).float().log_softmax(-1)
    losses = np.full((len(spans), len(spans)), np.nan)
    for i, span in enumerate(spans):
        with _hidden(inside, n, span):
            said = inside.logits(tokens).float().log_softmax(-1)
        kl = (plain.exp() * (plain - said)).sum(-1).cpu().numpy()
        for j in range(i + 1, len(spans)):
            start, end = spans[j]
            # The prediction of a token stands one position before it.
            losses[i, j] = kl[start - 1 : end - 1].mean()
        if progress:
            progress(i + 1, len(spans))
    return losses


@contextmanager
def _hidden(inside: Inside, n_tokens: int, span: Span) -> Iterator[None]:
    """Hide the keys of a span from all queries behind it, in every layer."""
    start, end = span
    places = torch.arange(n_tokens, device=inside.model.device)
    allowed = places[None, :] <= places[:, None]
    allowed &= ~((places[None, :] >= start) & (places[None, :] < end) & (places[:, None] >= end))
    bias = torch.zeros(n_tokens, n_tokens, device=inside.model.device, dtype=inside.model.dtype)
    bias = bias.masked_fill(~allowed, torch.finfo(bias.dtype).min)[None, None]

    def mask(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, {**kwargs, "attention_mask": bias}

    handles = [module.register_forward_pre_hook(mask, with_kwargs=True) for module in inside.modules.attentions()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def check_spans(spans: Sequence[Span], n_tokens: int) -> None:
    """Say so where steps are not spans of the sequence.

    Raises:
        DataError: A span is empty, out of order or out of the sequence.
    """
    last = 0
    for step, (start, end) in enumerate(spans):
        if not last <= start < end <= n_tokens:
            raise DataError(f"step {step} spans tokens {start} to {end} of {n_tokens}, after one that ends at {last}")
        last = end

"""Logit lens and tuned lens: what each layer would say if it were the last.

- **logit lens** (nostalgebraist 2020): the final norm and the unembedding, applied to the residual stream of a layer.
- **tuned lens** (Belrose et al. 2023, "Eliciting Latent Predictions from Transformers with the Tuned Lens"): an affine
  map for each layer goes before them, h ↦ h + A h + b, trained so that KL(final ‖ layer) is small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cotlab.errors import DataError
from cotlab.interventions.hook_points import HookPoint
from cotlab.whitebox.inside import Inside, Tokens, ids_of
from cotlab.whitebox.tensor_files import load_tensors, save_tensors

__all__ = ["LensReading", "TunedLens", "read_lens", "train_tuned_lens"]

FORMAT = "cotlab-tuned-lens/1"
READING = "cotlab-lens-reading/1"


@dataclass(frozen=True, slots=True, eq=False)
class LensReading:
    """What every layer would say at every token of a sequence. Layer l is resid_post:l; the last is the model's own."""

    top: Tensor
    """(layers, tokens) token id that the layer finds likeliest as the next."""
    top_logprob: Tensor
    """(layers, tokens) its log probability, nats."""
    kl: Tensor
    """(layers, tokens) KL(model ‖ layer) of the next token, nats; 0 in the last layer."""
    entropy: Tensor
    """(layers, tokens) of the layer's distribution, nats."""
    next_logprob: Tensor
    """(layers, tokens − 1) log probability of the token that does come next."""

    def first_readable(self, at: int) -> int | None:
        """First layer from which on every layer finds the token behind `at` likeliest; None where the last does not."""
        agree = (self.top[:, at] == self.top[-1, at]).tolist()
        return next(layer for layer in range(len(agree)) if all(agree[layer:]))

    def share_readable(self) -> Tensor:
        """(layers) share of tokens at which the layer's likeliest token is the model's."""
        return (self.top == self.top[-1]).float().mean(dim=1)

    def save(self, path: Path | str) -> Path:
        """Write one safetensors file."""
        return save_tensors(path, READING, {}, {name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def load(cls, path: Path | str) -> LensReading:
        """Read one back.

        Raises:
            DataError: The file is not there, or is something else.
        """
        _, tensors = load_tensors(path, READING, dict[str, str], cls.__slots__)
        return cls(*tensors)


@torch.inference_mode()
def read_lens(inside: Inside, tokens: Tokens, lens: TunedLens | None = None) -> LensReading:
    """Read a sequence through the lens.

    Args:
        inside: The model.
        tokens: Token ids, 2 or more, or a prefix with its images.
        lens: A tuned lens of this model; the plain logit lens by default.

    Raises:
        DataError: The sequence is too short, or the lens is another model's.
    """
    ids = ids_of(tokens)
    if len(ids) < 2:
        raise DataError(f"a sequence has {len(ids)} tokens, a lens needs 2 or more")
    if lens is not None:
        lens.check(inside)
    points = [HookPoint("resid_post", layer) for layer in range(inside.shape.n_layers)]
    stream = inside.read(tokens, points)
    final = inside.modules.logits(stream[points[-1]]).float().log_softmax(-1)
    following = torch.tensor(list(ids[1:]), device=final.device)
    rows = []
    for layer, point in enumerate(points):
        hidden = stream[point] if lens is None or layer == len(points) - 1 else lens.translate(layer, stream[point])
        said = inside.modules.logits(hidden).float().log_softmax(-1)
        best = said.max(dim=-1)
        rows.append(
            (
                best.indices,
                best.values,
                (final.exp() * (final - said)).sum(-1),
                -(said.exp() * said).sum(-1),
                said[:-1].gather(1, following[:, None])[:, 0],
            )
        )
    return LensReading(*(torch.stack(column).cpu() for column in zip(*rows, strict=True)))


@dataclass(frozen=True, slots=True, eq=False)
class TunedLens:
    """An affine map for every layer but the last."""

    weights: Tensor
    """(layers − 1, d_model, d_model): A of h + A h + b."""
    biases: Tensor
    """(layers − 1, d_model)"""
    model: str
    revision: str
    n_tokens: int
    """Tokens that it was trained on."""
    kl_before: tuple[float, ...]
    """KL(model ‖ layer) of the logit lens on held-out sequences, nats a token, for each layer."""
    kl_after: tuple[float, ...]
    """The same with the maps."""

    def translate(self, layer: int, hidden: Tensor) -> Tensor:
        """What goes into the final norm for a residual stream (tokens, d_model) of a layer."""
        return hidden + hidden @ self.weights[layer].to(hidden).T + self.biases[layer].to(hidden)

    def check(self, inside: Inside) -> None:
        """Say so where the lens is of another model.

        Raises:
            DataError: Layers, width or revision differ.
        """
        shape = (inside.shape.n_layers - 1, inside.shape.d_model)
        if tuple(self.biases.shape) != shape:
            raise DataError(f"the lens is for {tuple(self.biases.shape)} (layers − 1, width), the model has {shape}")
        if self.revision and inside.revision and self.revision != inside.revision:
            raise DataError(f"the lens is of {self.model} at {self.revision}, the model is at {inside.revision}")

    def save(self, path: Path | str) -> None:
        """Write one safetensors file (beside, then renamed)."""
        names = ("model", "revision", "n_tokens", "kl_before", "kl_after")
        card = {name: getattr(self, name) for name in names}
        save_tensors(path, FORMAT, card, {"weights": self.weights, "biases": self.biases})

    @classmethod
    def load(cls, path: Path | str) -> TunedLens:
        """Read one.

        Raises:
            DataError: The file is not there, or is no tuned lens.
        """
        card, (weights, biases) = load_tensors(path, FORMAT, _Card, ("weights", "biases"))
        if weights.shape != (*biases.shape, biases.shape[-1]) or not torch.isfinite(weights).all():
            raise DataError(f"{path} is no tuned lens: weights have shape {tuple(weights.shape)}")
        return cls(weights, biases, card.model, card.revision, card.n_tokens, card.kl_before, card.kl_after)


@dataclass(frozen=True, slots=True)
class _Card:
    model: str
    revision: str
    n_tokens: int
    kl_before: tuple[float, ...]
    kl_after: tuple[float, ...]


def train_tuned_lens(
    inside: Inside,
    sequences: Sequence[Tokens],
    *,
    epochs: int = 4,
    lr: float = 1e-3,
    held_out: float = 0.2,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> TunedLens:
    """Train the maps on a run's own sequences; KL before and after is of sequences that training did not see.

    Args:
        inside: The model.
        sequences: Token ids, or prefixes with their images; 5 or more, a share of which is held out.
        epochs: Passes over the training sequences.
        lr: Of Adam, decaying to 0.
        held_out: Share of the sequences that KL is measured on.
        seed: Of the split and the order.
        progress: Told steps done and in all.

    Raises:
        DataError: There are too few sequences.
    """
    if len(sequences) < 5:
        raise DataError(f"{len(sequences)} sequences, a tuned lens needs 5 or more: sample more rollouts")
    order = torch.randperm(len(sequences), generator=torch.Generator().manual_seed(seed)).tolist()
    n_held = max(1, round(held_out * len(sequences)))
    held, train = ([sequences[i] for i in part] for part in (order[:n_held], order[n_held:]))
    layers, width = inside.shape.n_layers - 1, inside.shape.d_model
    device = inside.model.device
    weights = torch.zeros(layers, width, width, device=device, requires_grad=True)
    biases = torch.zeros(layers, width, device=device, requires_grad=True)
    optimizer = torch.optim.Adam([weights, biases], lr=lr)
    total = epochs * len(train)
    lens = TunedLens(weights, biases, inside.name, inside.revision, 0, (), ())
    for step, tokens in enumerate(tokens for _ in range(epochs) for tokens in train):
        optimizer.param_groups[0]["lr"] = lr * (1 - step / total)
        loss = torch.stack(list(_losses(inside, tokens, lens))).sum()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        if progress:
            progress(step + 1, total)
    final = TunedLens(weights.detach(), biases.detach(), inside.name, inside.revision, 0, (), ())
    n_tokens = sum(len(ids_of(tokens)) for tokens in train)
    before, after = _mean_kl(inside, held, None), _mean_kl(inside, held, final)
    return TunedLens(final.weights, final.biases, inside.name, inside.revision, n_tokens, before, after)


def _losses(inside: Inside, tokens: Tokens, lens: TunedLens) -> Iterator[Tensor]:
    """KL(model ‖ layer), nats a token, of every layer but the last."""
    points = [HookPoint("resid_post", layer) for layer in range(inside.shape.n_layers)]
    stream = {point: value.clone() for point, value in inside.read(tokens, points).items()}
    with torch.no_grad():
        final = inside.modules.logits(stream[points[-1]]).float().log_softmax(-1)
    for layer, point in enumerate(points[:-1]):
        said = inside.modules.logits(lens.translate(layer, stream[point])).float().log_softmax(-1)
        yield (final.exp() * (final - said)).sum(-1).mean()


def _mean_kl(inside: Inside, sequences: Sequence[Tokens], lens: TunedLens | None) -> tuple[float, ...]:
    readings = [read_lens(inside, tokens, lens) for tokens in sequences if len(ids_of(tokens)) > 1]
    sums = torch.stack([reading.kl.sum(dim=1) for reading in readings]).sum(dim=0)
    return tuple((sums / sum(reading.kl.shape[1] for reading in readings)).tolist())

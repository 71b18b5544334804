"""What an autoencoder is held against: random features and plain principal components, both written as autoencoders.

- **random-init**: as many features in random directions, decoder and encoder tied (SAELens's initialisation), the k
  largest of which are active a token, k the L0 of the SAE at the tokens that decide; centred on the mean activation.
  What it scores, any overcomplete basis scores.
- **pca**: projection onto the first k components of the own model's activations. A token is then told by k numbers, as
  by the SAE's k active features; but always the same k directions. An SAE that is no better tells nothing that a
  subspace does not. Written as a ReLU SAE with both signs of each component, so that k features are active a token.

Both are made from activations of the SAE's own model at traces that are not evaluated, and transferred as the SAE is.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from cotlab.errors import DataError
from cotlab.interventions import SparseAutoencoder

__all__ = ["Moments", "pca_control", "random_control"]


class Moments:
    """Mean and covariance of activations, and the L0 that an autoencoder has on some; gathered trace by trace."""

    def __init__(self, width: int, device: torch.device | str = "cpu") -> None:
        self.n = 0
        self.total = torch.zeros(width, dtype=torch.float64, device=device)
        self.outer = torch.zeros(width, width, dtype=torch.float64, device=device)
        self.active = self.decide = 0

    def add(self, rows: Tensor, sae: SparseAutoencoder, decides: Tensor) -> None:
        """Add activations, shape (tokens, width); L0 is that of the tokens that decide, a mask of shape (tokens,)."""
        whole = rows.to(self.total)
        self.n += len(whole)
        self.total += whole.sum(0)
        self.outer += whole.T @ whole
        self.active += len(sae.encode_sparse(rows[decides]).values)
        self.decide += int(decides.sum())

    @property
    def mean(self) -> Tensor:
        """Shape (width,).

        Raises:
            DataError: There are no tokens.
        """
        if not self.n:
            raise DataError("no tokens to make the controls from: sample more rollouts")
        return self.total / self.n

    @property
    def l0(self) -> float:
        """Features that the autoencoder has active a token, where tokens decide."""
        return self.active / max(1, self.decide)

    @property
    def k(self) -> int:
        """The same as a whole number, at least 1."""
        return max(1, round(self.l0))

    def components(self, k: int) -> Tensor:
        """The first principal components, shape (k, width), orthonormal."""
        mean = self.mean
        _, vectors = torch.linalg.eigh(self.outer / self.n - torch.outer(mean, mean))
        found: Tensor = vectors.flip(1)[:, :k].T.contiguous()
        return found


def random_control(sae: SparseAutoencoder, moments: Moments, seed: int = 0) -> SparseAutoencoder:
    """Random features in the place of an autoencoder's, as many and as many active."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(sae.d_sae, sae.d_model, generator=generator)
    rows /= rows.norm(dim=1, keepdim=True)
    card = replace(
        sae.card,
        name="random-init",
        activation="topk",
        k=min(moments.k, sae.d_sae),
        scale=1.0,
        centre=True,
        layer_norm=False,
        norm_rescale=False,
    )
    made = SparseAutoencoder(card, rows.T, torch.zeros(sae.d_sae), rows, moments.mean.float().cpu())
    return made.to(sae.W_dec.device)


def pca_control(sae: SparseAutoencoder, moments: Moments) -> SparseAutoencoder:
    """As many principal components as an autoencoder has features active, as a ReLU autoencoder."""
    k = min(moments.k, sae.d_model)
    both = moments.components(k)
    rows = torch.cat([both, -both]).float().cpu()
    card = replace(
        sae.card, name="pca", activation="relu", k=None, scale=1.0, centre=True, layer_norm=False, norm_rescale=False
    )
    made = SparseAutoencoder(card, rows.T.contiguous(), torch.zeros(2 * k), rows, moments.mean.float().cpu())
    return made.to(sae.W_dec.device)

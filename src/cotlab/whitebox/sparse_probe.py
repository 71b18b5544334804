"""Sparse probing: a logistic regression on the few features of an autoencoder that differ most between two classes.

After Gurnee et al. 2023 ("Finding Neurons in a Haystack"; of autoencoders: Kantamneni et al. 2025, "Are Sparse
Autoencoders Useful?"): the k features whose activations differ most, by the difference of their means in units of their
standard deviation. k is fixed beforehand; features are chosen, as the regression is fitted, on the training examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cotlab.interventions import SparseAutoencoder
from cotlab.whitebox.probe_fit import fit_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["SPARSE_K", "SparseProbe", "differences", "encoded", "fit_sparse_probe"]

SPARSE_K = 16
"""Features of a sparse probe: a convention, chosen before anything was measured."""
PENALTY = 0.1
"""C of the logistic penalty on standardised features; fixed, so that shuffles cost no search."""
MOST = 100.0
"""Standard deviations that a difference is told as at most: where neither class varies it has no unit."""


@dataclass(frozen=True, slots=True)
class SparseProbe:
    """Log odds from k features."""

    features: tuple[int, ...]
    """Those that differ most first."""
    differences: tuple[float, ...]
    """Mean where the label holds less mean where not, in standard deviations."""
    weight: NDArray[np.float64]
    """[k]"""
    bias: float

    def __call__(self, active: csr_matrix) -> NDArray[np.float64]:
        """Log odds [rows] of feature activations (rows, d_sae)."""
        return np.asarray(active[:, list(self.features)].toarray() @ self.weight + self.bias, dtype=float)


def fit_sparse_probe(
    active: csr_matrix, y: NDArray[np.bool_], problems: NDArray[np.str_], *, k: int = SPARSE_K, penalty: float = PENALTY
) -> SparseProbe:
    """Choose k features and fit a logistic regression on them.

    Args:
        active: Feature activations (rows, d_sae) of the training examples.
        y: [rows], labels.
        problems: [rows].
        k: How many features; fewer where fewer differ at all.
        penalty: C, on standardised features.

    Raises:
        DataError: A class is empty.
    """
    found = differences(active, y)
    features = [int(i) for i in np.argsort(-np.abs(found), kind="stable")[:k] if found[i]]
    if not features:
        return SparseProbe((), (), np.zeros(0), float(np.log(y.mean() / (1 - y.mean()))))
    weight, bias = fit_rows(active[:, features].toarray().astype(float), y, problems, "logistic", 0, penalty)
    return SparseProbe(tuple(features), tuple(found[features].tolist()), weight, bias)


def differences(active: csr_matrix, y: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Standardised mean difference [d_sae] of each feature, within ±`MOST`; 0 where it does not vary."""
    moves = _moves(active)
    sides = [active[np.flatnonzero(y == side)].astype(float) for side in (True, False)]
    means = [np.asarray(one.mean(axis=0)).ravel() for one in sides]
    squares = [np.asarray(one.multiply(one).mean(axis=0)).ravel() for one in sides]
    spread = np.sqrt(np.maximum(sum(sq - m * m for sq, m in zip(squares, means, strict=True)) / 2, 0.0))
    apart = np.where(moves, means[0] - means[1], 0.0)
    unit = np.maximum(spread, np.abs(apart) / MOST)
    return np.asarray(np.divide(apart, unit, out=np.zeros_like(unit), where=unit > 0))


def _moves(active: csr_matrix) -> NDArray[np.bool_]:
    """Whether each feature [d_sae] has more than one value: of one that is always on, rounding is no difference."""
    most, least = (np.asarray(one.todense()).ravel() for one in (active.max(axis=0), active.min(axis=0)))
    return np.asarray(most > least)


def encoded(sae: SparseAutoencoder, rows: NDArray[np.floating]) -> csr_matrix:
    """Feature activations (rows, d_sae) of activations (rows, d_model), raw units."""
    import torch
    from scipy.sparse import csr_matrix as matrix

    active = sae.encode_sparse(torch.from_numpy(np.asarray(rows, dtype=np.float32)).to(sae.b_dec))
    arrays = (active.values.float(), active.features, active.starts)
    values, features, starts = (tensor.cpu().numpy() for tensor in arrays)
    return matrix((values, features, starts), shape=(len(rows), sae.d_sae))

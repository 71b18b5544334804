"""Monosemanticity score: are the images in which a feature is active alike, by another encoder?

Pach et al. 2025, "Sparse Autoencoders Learn Monosemantic Features in Vision-Language Models" (arXiv 2504.02821):
Σ_{i<j} a_i a_j cos(e_i, e_j) / Σ_{i<j} a_i a_j with a a feature's activation in each image, min-max scaled, and e
embeddings of the images by an encoder that is not the one looked into. Both sums are taken at once:
Σ_{i<j} a_i a_j cos = (‖Σ a_i ê_i‖² − Σ a_i²) / 2, so that cost grows with the images, not with their pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cotlab.chains.image import Image
from cotlab.errors import DataError
from cotlab.tiny.scenes import BACKGROUNDS, COLOURS, SHAPES, Scene, visible

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Monosemanticity", "monosemanticity", "monosemanticity_scores", "pixel_embeddings", "scene_embeddings"]

Array = NDArray[np.float64]
LEAST = 2
"""Images in which a feature must be active to have a score."""


@dataclass(frozen=True, slots=True, eq=False)
class Monosemanticity:
    """Scores of all features. Arrays are (d_sae,), NaN for features that are active in fewer than two images."""

    score: Array
    null_mean: Array
    """Of the same activations with the embeddings of the images exchanged."""
    null_q95: Array
    p: Array
    """That they are as alike with embeddings exchanged."""

    def to_json(self, feature: int) -> dict[str, Any]:
        """Those of one feature."""
        told = {name: float(getattr(self, name)[feature]) for name in ("score", "null_mean", "null_q95", "p")}
        return {name: None if np.isnan(value) else value for name, value in told.items()}


def monosemanticity(
    active: csr_matrix, embeddings: ArrayLike, *, n_shuffles: int = 200, seed: int = 0
) -> Monosemanticity:
    """Score all features.

    Args:
        active: Activation of each feature in each image, shape (images, d_sae), not negative.
        embeddings: Shape (images, width), of another encoder.
        n_shuffles: For the null.
        seed: Of the shuffles.

    Raises:
        DataError: Shapes differ, or an embedding is zero or not finite.
    """
    unit = _unit(embeddings, active.shape[0])
    scaled = _scaled(active)
    score = monosemanticity_scores(scaled, unit)
    rng = np.random.default_rng(seed)
    null = np.array([monosemanticity_scores(scaled, unit[rng.permutation(len(unit))]) for _ in range(n_shuffles)])
    at_least = (1 + (null >= score - 1e-12).sum(0)) / (1 + n_shuffles)
    p = np.where(np.isnan(score), np.nan, at_least)
    return Monosemanticity(score, null.mean(0), np.quantile(null, 0.95, axis=0), p)


def monosemanticity_scores(active: csr_matrix, unit: Array) -> Array:
    """The score itself, of scaled activations (images, d_sae) and embeddings of norm 1 (images, width)."""
    squares = np.asarray(active.multiply(active).sum(0)).ravel()
    sums = np.asarray(active.T @ unit)
    whole = np.asarray(active.sum(0)).ravel() ** 2 - squares
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Array = np.where(whole > 1e-12, ((sums**2).sum(1) - squares) / whole, np.nan)
    return found


def pixel_embeddings(images: Sequence[Image], side: int = 12) -> Array:
    """Images as their pixels, made small, less their mean: an encoder that knows nothing."""
    rows = [np.asarray(image.open().resize((side, side)), dtype=float).ravel() for image in images]
    found: Array = np.array(rows)
    found -= found.mean(0)
    return found


def scene_embeddings(scenes: Sequence[Scene]) -> Array:
    """Scenes as what is in them: how many things of each shape and colour, letters, the background; less their mean."""
    names = [*SHAPES, *COLOURS, "letters", *BACKGROUNDS]
    found: Array = np.zeros((len(scenes), len(names)))
    for row, scene in zip(found, scenes, strict=True):
        for thing in visible(scene):
            row[names.index(thing.shape)] += 1
            row[names.index(thing.colour)] += 1
        row[names.index("letters")] = scene.lettering is not None
        row[len(names) - len(BACKGROUNDS) + list(BACKGROUNDS).index(scene.background)] = 1
    found -= found.mean(0)
    return found


def _scaled(active: csr_matrix) -> csr_matrix:
    """Min-max scaled by feature; where a feature is silent in some image its minimum is 0."""
    found = active.tocsc().astype(float)
    most = np.asarray(found.max(axis=0).todense()).ravel()
    least = np.where(np.diff(found.indptr) == found.shape[0], np.asarray(found.min(axis=0).todense()).ravel(), 0.0)
    counts = np.diff(found.indptr)
    spread = np.where(most > least, most - least, 1.0)
    found.data = (found.data - np.repeat(least, counts)) / np.repeat(spread, counts)
    found.data[np.repeat(counts < LEAST, counts)] = 0.0
    return found.tocsr()


def _unit(embeddings: ArrayLike, n: int) -> Array:
    rows = np.asarray(embeddings, dtype=float)
    if rows.ndim != 2 or len(rows) != n:
        raise DataError(f"embeddings have shape {rows.shape}, expected ({n}, width), one for each image")
    norms = np.linalg.norm(rows, axis=1)
    if not np.isfinite(norms).all() or not (norms > 0).all():
        raise DataError(f"{int((~(norms > 0)).sum())} of {n} embeddings are zero or not finite: leave these images out")
    found: Array = rows / norms[:, None]
    return found

"""Do a feature's regions lie on things of one kind? IoU against the exact masks of scenes.

As network dissection does (Bau et al. 2017, arXiv 1704.05796): a feature's region is where it is active above a
threshold, an attribute's where things that have it are; IoU is Σ|both| / Σ|either| over all rows of all images. The
threshold is a share of the feature's largest activation.

1. On one half of the images each feature gets the attribute whose IoU is most above its mean over features: else large
   things would take all.
2. On the other half the IoU with that attribute is measured. p: the masks of whole images exchanged; q: over features
   (Benjamini and Hochberg). The floor beside it: mean IoU of all other features with the same attribute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cotlab.errors import DataError
from cotlab.saes.vision.image_firings import ImageFirings
from cotlab.stats import Estimate, with_q
from cotlab.stats.bootstrap import expanded_tail
from cotlab.tiny.scenes import COLOURS, SHAPES, Scene, mask_of, visible
from cotlab.whitebox.vision import Region, on_region

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["ATTRIBUTES", "RegionFit", "attribute_masks", "region_fits"]

Array = NDArray[np.float64]
ATTRIBUTES: tuple[str, ...] = (*SHAPES, *COLOURS, "letters", "anything")
"""What things of a scene have; `anything` is every thing that is not background."""
LEAST_IMAGES = 5
"""Images of either half in which a feature must be active."""
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class RegionFit:
    """A feature, and the attribute whose things its regions lie on best."""

    feature: int
    attribute: str
    iou: Estimate
    """On images that the attribute was not chosen on; null from exchanged masks."""
    others: float
    """Mean IoU of the other features with the same attribute."""
    n_images: int
    """Images in which the feature is active, of both halves."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        told = {"feature": self.feature, "attribute": self.attribute, "iou": self.iou.to_json()}
        return {**told, "others": self.others, "images": self.n_images}


def attribute_masks(scene: Scene) -> dict[str, Region]:
    """Pixels of what has each attribute."""
    found: dict[str, Region] = {}
    things = [*visible(scene), *((scene.lettering,) if scene.lettering else ())]
    for thing in things:
        mask = mask_of(scene, thing)
        names = ("letters",) if thing is scene.lettering else (thing.shape, thing.colour)
        for name in (*names, "anything"):
            found[name] = found.get(name, np.zeros_like(mask)) | mask
    return found


def region_fits(
    firings: ImageFirings,
    masks: Sequence[Mapping[str, Region]],
    attributes: Sequence[str] = ATTRIBUTES,
    *,
    share: float = 0.25,
    n_shuffles: int = 200,
    n_boot: int = 1000,
    seed: int = 0,
) -> list[RegionFit]:
    """The attribute of each feature that is active often enough, best IoU first.

    Args:
        firings: Activations at parts of images.
        masks: For each image the pixels of each attribute that it has.
        attributes: Their names.
        share: Of a feature's largest activation, above which its region is.
        n_shuffles: Exchanges of masks; p can be no smaller than 1 / (1 + n_shuffles).
        n_boot: Draws of images for the intervals.
        seed: Of the halves, exchanges and draws.

    Raises:
        DataError: Masks are not one for each image, or images have different numbers of rows, or there are too few.
    """
    n, sizes = len(firings.images), set(np.diff(firings.starts).tolist())
    if len(masks) != n or len(sizes) != 1 or n < 2 * LEAST_IMAGES:
        raise DataError(
            f"{n} images of {sorted(sizes)} rows and {len(masks)} sets of masks: regions need images of one size, "
            f"masks for each, and {2 * LEAST_IMAGES} of them or more"
        )
    rng = np.random.default_rng(seed)
    on = np.array([_rows(one.rows.boxes, its, attributes) for one, its in zip(firings.images, masks, strict=True)])
    half = np.zeros(n, dtype=bool)
    half[rng.permutation(n)[: n // 2]] = True
    region = _regions(firings, share)
    firing = firings.by_image > 0
    enough = np.asarray(firing[half].sum(0) >= LEAST_IMAGES).ravel()
    enough &= np.asarray(firing[~half].sum(0) >= LEAST_IMAGES).ravel()
    features = np.flatnonzero(enough)
    if not len(features):
        return []
    begun = _iou(*_sums(region, firings, half, on, features))
    chosen = (begun - begun.mean(0)).argmax(1)
    both, mine, theirs = _sums(region, firings, ~half, on, features)
    value = _iou(both, mine, theirs)
    every = np.arange(len(features))
    held = np.flatnonzero(~half)
    null = np.empty((n_shuffles, len(features)))
    for i in range(n_shuffles):
        mixed = on.copy()
        mixed[held] = on[rng.permutation(held)]
        null[i] = _iou(*_sums(region, firings, ~half, mixed, features))[every, chosen]
    low, high = _interval(region, firings, held, on, (features, chosen), n_boot, rng)
    counts = np.asarray(firing.sum(0)).ravel()
    found = []
    for i, feature in enumerate(features):
        its = value[i, chosen[i]]
        p = float((1 + (null[:, i] >= its - 1e-12).sum()) / (1 + n_shuffles))
        estimate = Estimate(
            float(its), float(low[i]), float(high[i]), n=len(held), level=LEVEL, p=p, method="iou, image-bootstrap",
            null_mean=float(null[:, i].mean()), null_q95=float(np.quantile(null[:, i], 0.95)),
        )  # fmt: skip
        rest = np.delete(value[:, chosen[i]], i)
        others = float(rest.mean()) if len(rest) else 0.0
        found.append(RegionFit(int(feature), attributes[chosen[i]], estimate, others, int(counts[feature])))
    q = with_q([one.iou for one in found])
    found = [RegionFit(f.feature, f.attribute, iou, f.others, f.n_images) for f, iou in zip(found, q, strict=True)]
    return sorted(found, key=lambda one: -(one.iou.value or 0.0))


def _rows(boxes: Any, masks: Mapping[str, Region], attributes: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows lie on each attribute, shape (rows, attributes)."""
    found = np.zeros((len(boxes), len(attributes)), dtype=bool)
    for place, name in enumerate(attributes):
        if name in masks:
            found[:, place] = on_region(boxes, masks[name])
    return found


def _regions(firings: ImageFirings, share: float) -> csr_matrix:
    """1 where a feature is active above the share of its largest activation."""
    found = firings.by_feature.copy()
    largest = np.asarray(found.max(axis=0).todense()).ravel()
    found.data = (found.data > share * np.repeat(largest, np.diff(found.indptr))).astype(float)
    found.eliminate_zeros()
    return found.tocsr()


def _sums(
    region: csr_matrix,
    firings: ImageFirings,
    images: NDArray[np.bool_],
    on: NDArray[np.bool_],
    features: NDArray[np.intp],
) -> tuple[Array, Array, Array]:
    """Rows in both (features, attributes), in the features' regions (features,), on the attributes (attributes,)."""
    mine = region[images[firings.image_of]][:, features]
    theirs = on[images].reshape(-1, on.shape[-1]).astype(float)
    return np.asarray(mine.T @ theirs, dtype=float), np.asarray(mine.sum(0), dtype=float).ravel(), theirs.sum(0)


def _iou(both: Array, mine: Array, theirs: Array) -> Array:
    found: Array = both / np.maximum(mine[:, None] + theirs[None] - both, 1)
    return found


def _interval(
    region: csr_matrix,
    firings: ImageFirings,
    held: NDArray[np.intp],
    on: NDArray[np.bool_],
    fits: tuple[NDArray[np.intp], NDArray[np.intp]],
    n_boot: int,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Ends of the intervals, images drawn again."""
    features, chosen = fits
    both, either = np.zeros((len(held), len(features))), np.zeros((len(held), len(features)))
    for i, number in enumerate(held):
        start, end = firings.starts[number : number + 2]
        mine = np.asarray(region[start:end][:, features].todense())
        theirs = on[number][:, chosen].astype(float)
        both[i] = (mine * theirs).sum(0)
        either[i] = (mine + theirs - mine * theirs).sum(0)
    weights = rng.multinomial(len(held), np.full(len(held), 1 / len(held)), size=n_boot)
    drawn = (weights @ both) / np.maximum(weights @ either, 1)
    tail = expanded_tail(len(held), LEVEL)
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    return low, high

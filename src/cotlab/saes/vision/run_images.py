"""What features of an autoencoder do on the images of a run: top images, and where in them, as a document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.prefix import Prefix
from cotlab.errors import DataError
from cotlab.runs import Run
from cotlab.saes.vision.image_firings import ImageFirings
from cotlab.saes.vision.regions import LEAST_IMAGES, RegionFit, attribute_masks, region_fits
from cotlab.tiny.scenes import Scene, scene_of

__all__ = ["FORMAT", "image_document", "image_prompts"]

FORMAT = "cotlab-image-features/1"
PICTURES = 8
"""Top images of each feature."""
COMMON = 0.5
"""Features that are active at more of all parts than this tell no place from another: they are listed when named."""


def image_prompts(run: Run, most: int) -> list[tuple[Prefix, Scene | None]]:
    """Prompts of a run that show one image, each image once; with the scene that it shows, where it is one."""
    problems, found = run.problems(), dict[str, tuple[Prefix, Scene | None]]()
    for row in run.prefixes():
        if len(found) == most:
            break
        problem = problems[row.problem_id]
        if row.kind == "root" and len(problem.images) == 1 and problem.images[0].id not in found:
            found[problem.images[0].id] = (run.prefix(row.id), scene_of(problem))
    return list(found.values())


def image_document(
    firings: ImageFirings, scenes: Sequence[Scene | None], model: str, features: Sequence[int] = (), top: int = 12
) -> dict[str, Any]:
    """The document that the workbench shows.

    Where every image is a scene, features are listed by the IoU of their regions with what the scenes hold
    (`region_fits`); else by their largest activation, without those that are active nearly everywhere.

    Args:
        firings: Activations at the parts of images.
        scenes: What each image shows exactly; None where that is not known.
        model: Its name.
        features: To be listed; none: the first `top`.
        top: How many.

    Raises:
        DataError: There is no such feature.
    """
    if wrong := [one for one in features if not 0 <= one < firings.d_sae]:
        raise DataError(f"no feature {wrong[0]}: the autoencoder has 0..{firings.d_sae - 1}")
    fits = {fit.feature: fit for fit in _fits(firings, scenes)}
    listed = list(features) or (list(fits) or _strongest(firings))[:top]
    parts, active = int(firings.active.shape[0]), np.diff(firings.by_feature.indptr)
    return {
        "format": FORMAT,
        "card": {**firings.card.to_json(), "units": firings.card.units},
        "sae_id": firings.sae_id,
        "model": model,
        "d_sae": firings.d_sae,
        "n_images": len(firings.images),
        "n_parts": parts,
        "n_silent": int((active == 0).sum()),
        "features": [_feature(firings, one, fits.get(one)) for one in listed],
    }


def _fits(firings: ImageFirings, scenes: Sequence[Scene | None]) -> list[RegionFit]:
    known = [scene for scene in scenes if scene is not None]
    sizes = set(np.diff(firings.starts).tolist())
    if len(known) < len(scenes) or len(known) < 2 * LEAST_IMAGES or len(sizes) > 1:
        return []
    return region_fits(firings, [attribute_masks(scene) for scene in known])


def _strongest(firings: ImageFirings) -> list[int]:
    largest = np.asarray(firings.by_feature.max(axis=0).todense()).ravel()
    worth: NDArray[np.float64] = np.where(firings.rates > COMMON, 0.0, largest)
    return [int(one) for one in np.argsort(-worth, kind="stable") if worth[one] > 0]


def _feature(firings: ImageFirings, feature: int, fit: RegionFit | None) -> dict[str, Any]:
    largest = float(firings.by_feature[:, feature].max())
    found = {
        "feature": feature,
        "rate": float(firings.rates[feature]),
        "n_images": int((firings.by_image[:, feature] > 0).sum()),
        "largest": largest,
        "images": [_image(firings, feature, number) for number in firings.top(feature, PICTURES)],
    }
    return found if fit is None else {**found, "region": fit.to_json()}


def _image(firings: ImageFirings, feature: int, number: int) -> dict[str, Any]:
    """Where it is active in an image: boxes in pixels and activations, the strongest last, to be drawn on top."""
    one, heat = firings.images[number], firings.heat(feature, number)
    shown = [i for i in np.argsort(heat, kind="stable") if heat[i] > 0 and np.isfinite(one.rows.boxes[i]).all()]
    return {
        "image": one.image.id,
        "largest": float(heat.max()),
        "boxes": [[round(float(side), 2) for side in one.rows.boxes[i]] for i in shown],
        "cells": [one.rows.cells[i].tolist() for i in shown],
        "values": [round(float(heat[i]), 4) for i in shown],
    }

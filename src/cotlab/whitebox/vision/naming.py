"""Does the lens name an object at the tokens that cover it? On scenes, whose pixels are known.

- **place**: AUC of log p(its name) over the image's tokens, those that cover the object against the others. Null: the
  mask of an object of another scene.
- **name**: the same AUC, less the mean of those of shapes that the scene lacks. Null: names of objects exchanged.
- **first**: share of objects whose name is likelier than the other shapes' at the tokens that cover it (mean log p).
  Null: names of objects exchanged.

A high AUC alone does not say that the object is *named*: any word may be likelier where anything is. Intervals draw
scenes again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotlab.errors import DataError
from cotlab.interventions.hook_points import HookPoint
from cotlab.stats import Estimate, cluster_mean
from cotlab.tiny.scenes import SHAPES, Scene, ask_exists, counts, mask_of, problem_of, visible
from cotlab.whitebox.vision.asking import Asking
from cotlab.whitebox.vision.image_lens import lens_points, read_image_lens
from cotlab.whitebox.vision.places import on_region

__all__ = ["Named", "NamingStudy", "naming_study", "read_named", "summarise_naming"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """The lens at the image tokens of one scene, and which of them cover one object."""

    scene_id: str
    shape: int
    """Of the object, an index in `SHAPES`."""
    lacking: tuple[int, ...]
    """Shapes that the scene does not have."""
    covers: NDArray[np.bool_]
    """[image tokens]"""
    said: Array
    """[layers, image tokens, shapes] log probability, nats."""


@dataclass(frozen=True, slots=True)
class NamingStudy:
    """What the lens says of objects, by layer."""

    points: tuple[HookPoint, ...]
    place: tuple[Estimate, ...]
    """AUC; null and p from masks of other scenes."""
    name: tuple[Estimate, ...]
    """AUC less that of shapes that are not there; null and p from exchanged names."""
    first: tuple[Estimate, ...]
    """Share of objects whose own name is the likeliest of the shapes'."""
    n_scenes: int
    n_objects: int

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        rows = [
            {"point": str(point), "place": place.to_json(), "name": name.to_json(), "first": first.to_json()}
            for point, place, name, first in zip(self.points, self.place, self.name, self.first, strict=True)
        ]
        return {"scenes": self.n_scenes, "objects": self.n_objects, "rows": rows}


def naming_study(
    asking: Asking,
    scenes: Sequence[Scene],
    *,
    n_shuffles: int = 500,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> NamingStudy:
    """Read scenes through the lens, and judge it against their masks.

    Args:
        asking: The model.
        scenes: Five or more with an object that is the only one of its shape.
        n_shuffles: For the null floors; p can be no smaller than 1 / (1 + n_shuffles).
        seed: Of shuffles and bootstrap.
        progress: Told scenes done and in all.

    Raises:
        DataError: Too few scenes.
    """
    found: list[Named] = []
    for done, scene in enumerate(scenes, 1):
        found += read_named(asking, scene)
        if progress:
            progress(done, len(scenes))
    return summarise_naming(found, asking, n_shuffles=n_shuffles, seed=seed)


def read_named(asking: Asking, scene: Scene) -> list[Named]:
    """The lens at one scene, once for each object that is the only one of its shape; the question asks for none."""
    seen = counts(scene)
    single = [thing for thing in visible(scene) if seen[thing.shape] == 1]
    if not single:
        return []
    absent = next(shape for shape in SHAPES if not seen[shape])
    prefix = asking.prefix(problem_of(scene, ask_exists(scene, absent)))
    lens = read_image_lens(asking.inside, prefix, SHAPES, k=1)
    boxes, said = lens.span.layout.tokens.boxes, lens.word_logprob.double().numpy()
    lacking = tuple(i for i, shape in enumerate(SHAPES) if not seen[shape])
    rows = [
        Named(scene.id, SHAPES.index(thing.shape), lacking, on_region(boxes, mask_of(scene, thing)), said)
        for thing in single
    ]
    return [one for one in rows if one.covers.any() and not one.covers.all()]


def summarise_naming(found: Sequence[Named], asking: Asking, *, n_shuffles: int = 500, seed: int = 0) -> NamingStudy:
    """Judge what was read.

    Raises:
        DataError: Fewer than five scenes.
    """
    clusters = [one.scene_id for one in found]
    if len(set(clusters)) < 5:
        raise DataError(f"{len(set(clusters))} scenes with an object of its own shape, at least 5 are needed")
    points, rng = lens_points(asking.inside), np.random.default_rng(seed)
    rows = [_judged(found, layer, clusters, n_shuffles, rng) for layer in range(len(points))]
    place, name, first = zip(*rows, strict=True)
    return NamingStudy(points, place, name, first, len(set(clusters)), len(found))


def _judged(
    found: Sequence[Named], layer: int, clusters: Sequence[str], n: int, rng: np.random.Generator
) -> tuple[Estimate, Estimate, Estimate]:
    """Place, name and first at one layer."""
    every, shapes = np.arange(len(found)), np.array([one.shape for one in found])
    masks, said = np.array([one.covers for one in found]), np.array([one.said[layer] for one in found])
    by_mask = _auc(said[every, :, shapes], masks)
    by_name = np.array([_auc(one.said[layer].T, one.covers[None])[:, 0] for one in found])
    lacks = np.array([row[list(one.lacking)].mean() for row, one in zip(by_name, found, strict=True)])
    best = np.array([row[mask].mean(0).argmax() for row, mask in zip(said, masks, strict=True)])
    return (
        _with_null(np.diag(by_mask), clusters, lambda: by_mask[every, _away(clusters, rng)], n),
        _with_null(
            by_name[every, shapes] - lacks, clusters, lambda: by_name[every, rng.permutation(shapes)] - lacks, n
        ),
        _with_null(
            (best == shapes).astype(float), clusters, lambda: (best == rng.permutation(shapes)).astype(float), n
        ),
    )


def _auc(scores: Array, masks: NDArray[np.bool_]) -> Array:
    """AUC of each row of scores (rows, tokens) for each mask (masks, tokens), shape (rows, masks)."""
    from scipy.stats import rankdata

    ranks = rankdata(scores, axis=1)
    n1 = masks.sum(1)
    over = ranks @ masks.T - n1 * (n1 + 1) / 2
    found: Array = over / (n1 * (masks.shape[1] - n1))
    return found


def _away(clusters: Sequence[str], rng: np.random.Generator) -> NDArray[np.intp]:
    """For each object one of another scene."""
    label = np.unique(np.array(clusters), return_inverse=True)[1]
    chosen = rng.integers(0, len(label), len(label))
    while (same := label[chosen] == label).any():
        chosen[same] = rng.integers(0, len(label), int(same.sum()))
    return chosen


def _with_null(values: Array, clusters: Sequence[str], shuffled: Callable[[], Array], n: int) -> Estimate:
    """Mean over objects; one-sided p: it is as large where there is nothing to find."""
    null = np.array([float(shuffled().mean()) for _ in range(n)])
    found = cluster_mean(values, clusters, n_boot=2000)
    p = float((1 + (null >= values.mean() - 1e-12).sum()) / (1 + n))
    return replace(found, null_mean=float(null.mean()), null_q95=float(np.quantile(null, 0.95)), p=p)

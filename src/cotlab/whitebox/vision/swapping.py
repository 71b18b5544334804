"""Parts of two models in one: what a twin makes of a picture goes into the parts of the model behind it.

The twin's encoder, then its encoder and projector, take the place of the model's own. Where the error goes with one of
them, it entered there; what stays with both is the decoder's. The twin has to be of the same shape, such as the model
that another was fine-tuned from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cotlab.errors import ModelError
from cotlab.whitebox.vision.asking import Asking
from cotlab.whitebox.vision.cases import Case, Version
from cotlab.whitebox.vision.patching import put_all
from cotlab.whitebox.vision.sites import PARTS, Part, last_of, sites_of

__all__ = ["ARMS", "Swapped", "swap_parts"]

Array = NDArray[np.float64]
SHOWN: tuple[Version, Version] = ("primed", "control")
ARMS: tuple[Part | None, ...] = (None, *PARTS)
"""Up to which part the twin's is used: none, the encoder, the projector, all of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Swapped:
    """Log odds of Yes, nats."""

    clusters: tuple[str, ...]
    """[cases]"""
    odds: Mapping[Part | None, Array]
    """By arm (`ARMS`): [versions, cases], primed and control."""


def swap_parts(
    asking: Asking, twin: Asking, cases: Sequence[Case], progress: Callable[[int, int], None] | None = None
) -> Swapped:
    """Ask the model, the twin, and the two with parts of both.

    Cases without an error to look at are left out.

    Raises:
        ModelError: The two have other shapes, or cut prompts into other tokens.
    """
    mine, its = asking.inside, twin.inside
    if mine.shape != its.shape or mine.tokenizer.id != its.tokenizer.id:
        raise ModelError(
            f"'{its.name}' is no twin of '{mine.name}': it has another shape, tokenizer or image processor. Name the "
            "model that it was fine-tuned from"
        )
    sites = sites_of(asking.inside)
    odds: dict[Part | None, list[list[float]]] = {arm: [] for arm in ARMS}
    cases = [case for case in cases if all(version in case.prefixes for version in SHOWN)]
    for number, case in enumerate(cases, 1):
        said: dict[Part | None, list[float]] = {arm: [] for arm in ARMS}
        for version in SHOWN:
            prefix = case.prefixes[version]
            points = [last_of(sites, part).point for part in ("encoder", "projector")]
            read = twin.inside.read(prefix, points)
            said[None].append(asking.says(prefix))
            said["decoder"].append(twin.says(prefix))
            for part, point in zip(("encoder", "projector"), points, strict=True):
                said[part].append(asking.says(prefix, {point: put_all(read[point])}))  # type: ignore[index]
        for arm in ARMS:
            odds[arm].append(said[arm])
        if progress:
            progress(number, len(cases))
    return Swapped(tuple(case.id for case in cases), {arm: np.array(odds[arm]).T for arm in ARMS})

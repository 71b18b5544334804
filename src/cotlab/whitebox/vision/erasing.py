"""Cause: does the error go where the evidence for the second shape is taken out, at one site?

At image rows whose log odds of the second (`SiteProbe`) are above those of rows without it, the activation is moved
along what having the shape adds until the probe reads as little there as elsewhere. Nothing else of the picture is
touched: the first shape stays what it is. The same with `there`, where the second is real, says whether the direction
matters to the answer at all, and moving the same rows as far in a random direction is the control.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cotlab.stats import Estimate, cluster_mean
from cotlab.whitebox.inside import Change
from cotlab.whitebox.vision.asking import Asking
from cotlab.whitebox.vision.cases import Case, Version
from cotlab.whitebox.vision.image_lens import image_spans
from cotlab.whitebox.vision.patching import LEAST
from cotlab.whitebox.vision.readout import Readout, SiteProbe
from cotlab.whitebox.vision.sites import Site

__all__ = ["SiteErasure", "erase", "erase_cases"]


@dataclass(frozen=True, slots=True)
class SiteErasure:
    """What taking the evidence out does at one site; shares of the difference in log odds to `control`."""

    site: Site
    error: Estimate
    """Of the error that goes (`primed`)."""
    real: Estimate
    """Of a true Yes that goes (`there`): whether the model reads the direction there."""
    random: Estimate
    """Of the error that goes where the same rows move as far in a random direction."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        told = {"site": str(self.site), "part": self.site.part}
        return {**told, **{name: getattr(self, name).to_json() for name in ("error", "real", "random")}}


def erase_cases(
    asking: Asking,
    readout: Readout,
    cases: Sequence[Case],
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[SiteErasure, ...]:
    """Take the evidence out at every site, one at a time."""
    rng = np.random.default_rng(seed)
    kinds: tuple[tuple[str, Version, bool], ...] = (
        ("error", "primed", False), ("real", "there", False), ("random", "primed", True),
    )  # fmt: skip
    shares: dict[tuple[int, str], list[float]] = {}
    names: dict[str, list[str]] = {kind: [] for kind, _, _ in kinds}
    for number, case in enumerate(cases, 1):
        said = {version: asking.says(case.prefixes[version]) for version in ("primed", "control", "there")}
        for kind, version, is_random in kinds:
            whole = said[version] - said["control"]
            if whole < LEAST:
                continue
            names[kind].append(case.id)
            (span,) = image_spans(asking.inside, case.prefixes[version])
            for place, probe in enumerate(readout.probes):
                tokens = slice(None) if probe.site.point.is_vision else slice(span.start, span.end)
                change = erase(probe, tokens, rng if is_random else None)
                after = asking.says(case.prefixes[version], {probe.site.point: change})
                shares.setdefault((place, kind), []).append((said[version] - after) / whole)
        if progress:
            progress(number, len(cases))

    def mean(place: int, kind: str) -> Estimate:
        return cluster_mean(shares.get((place, kind), []), names[kind], n_boot=2000)

    return tuple(
        SiteErasure(probe.site, mean(place, "error"), mean(place, "real"), mean(place, "random"))
        for place, probe in enumerate(readout.probes)
    )


def erase(probe: SiteProbe, tokens: slice, rng: np.random.Generator | None = None) -> Change:
    """The change that takes the evidence out of image rows.

    Args:
        probe: Of the site.
        tokens: Where the image is.
        rng: Given: the same rows move as far, in a random direction.
    """
    weight, direction = torch.from_numpy(probe.weight), torch.from_numpy(probe.direction)
    slope = float(weight @ direction)
    chance = None if rng is None else torch.from_numpy(rng.standard_normal(len(direction)))

    def change(value: Tensor) -> Tensor:
        rows = value[tokens].double()
        above = (rows @ weight.to(rows) + probe.bias - probe.plain).clamp(min=0)
        way = direction if chance is None else chance / chance.norm() * direction.norm()
        moved = value.clone()
        moved[tokens] = (rows - (above / slope)[:, None] * way.to(rows)).to(value)
        return moved

    return change

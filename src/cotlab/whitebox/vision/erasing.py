"""Cause: does the error go where the evidence for the second shape is taken out, at one site?

At image rows whose log odds of the second (`SiteProbe`) are above those of rows without it, the activation is moved
along what having the shape adds until the probe reads as little there as elsewhere. Nothing else of the picture is
touched: the first shape stays what it is. The same with `there`, where the second is real, says whether the direction
matters to the answer at all, and moving the same rows as far in random directions is the control: several at each
site, the same in all cases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
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

Array = NDArray[np.float64]
_KINDS: tuple[tuple[str, Version], ...] = (("error", "primed"), ("real", "there"))
_SAID = ("primed", "control", "there")


@dataclass(frozen=True, slots=True)
class SiteErasure:
    """What taking the evidence out does at one site; shares of the difference in log odds to `control`."""

    site: Site
    error: Estimate
    """Of the error that goes (`primed`)."""
    real: Estimate
    """Of a true Yes that goes (`there`): whether the model reads the direction there."""
    random: Estimate
    """Of the error that goes where the same rows move as far in a random direction; mean over directions, by case."""
    most_random: float | None
    """The same of the direction that takes most, mean over cases; None: no case errs."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        told = {"site": str(self.site), "part": self.site.part, "most_random": self.most_random}
        return {**told, **{name: getattr(self, name).to_json() for name in ("error", "real", "random")}}


def erase_cases(
    asking: Asking,
    readout: Readout,
    cases: Sequence[Case],
    *,
    n_directions: int = 5,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[SiteErasure, ...]:
    """Take the evidence out at every site, one at a time.

    Args:
        asking: The model.
        readout: Probes.
        cases: Versions that differ from `control` by less than half a nat are left out.
        n_directions: Random ones at each site.
        seed: Of these.
        progress: Told cases done and in all.
    """
    rng = np.random.default_rng(seed)
    random = [rng.standard_normal((n_directions, len(probe.direction))) for probe in readout.probes]
    shares: dict[tuple[int, str], list[list[float]]] = {}
    names: dict[str, list[str]] = {"error": [], "real": []}
    for number, case in enumerate(cases, 1):
        said = {version: asking.says(prefix) for version, prefix in case.prefixes.items() if version in _SAID}
        for kind, version in _KINDS:
            if version not in said or "control" not in said or (whole := said[version] - said["control"]) < LEAST:
                continue
            names[kind].append(case.id)
            (span,) = image_spans(asking.inside, case.prefixes[version])
            for place, probe in enumerate(readout.probes):
                tokens = slice(None) if probe.site.point.is_vision else slice(span.start, span.end)
                ways: dict[str, list[Array | None]] = {kind: [None]}
                if kind == "error":
                    ways["random"] = list(random[place])
                for name, directions in ways.items():
                    changes = [{probe.site.point: erase(probe, tokens, way)} for way in directions]
                    gone = [(said[version] - asking.says(case.prefixes[version], change)) / whole for change in changes]
                    shares.setdefault((place, name), []).append(gone)
        if progress:
            progress(number, len(cases))

    def mean(place: int, kind: str) -> Estimate:
        values = [float(np.mean(one)) for one in shares.get((place, kind), []) if one]
        return cluster_mean(values, names["real" if kind == "real" else "error"][: len(values)], n_boot=2000)

    def most(place: int) -> float | None:
        found = np.array(shares.get((place, "random"), []))
        return float(found.mean(0).max()) if found.size else None

    return tuple(
        SiteErasure(probe.site, mean(place, "error"), mean(place, "real"), mean(place, "random"), most(place))
        for place, probe in enumerate(readout.probes)
    )


def erase(probe: SiteProbe, tokens: slice, way: Array | None = None) -> Change:
    """The change that takes the evidence out of image rows.

    Args:
        probe: Of the site.
        tokens: Where the image is.
        way: Given, shape (width,): the same rows move as far in this direction.
    """
    weight, direction = torch.from_numpy(probe.weight), torch.from_numpy(probe.direction)
    slope = float(weight @ direction)
    other = None if way is None else torch.from_numpy(way)

    def change(value: Tensor) -> Tensor:
        rows = value[tokens].double()
        above = (rows @ weight.to(rows) + probe.bias - probe.plain).clamp(min=0)
        along = direction if other is None else other / other.norm() * direction.norm()
        moved = value.clone()
        moved[tokens] = (rows - (above / slope)[:, None] * along.to(rows)).to(value)
        return moved

    return change

"""Readout: at which site does the image say that the second shape is there, though it is not?

1. At every site a linear probe learns to tell rows (patches, image tokens) that lie on the second shape, on scenes
   without the first: what the model makes of the shape itself. An image's score is the largest of its rows'.
2. Held-out scenes of the same kind say whether it can be read there at all (AUC).
3. On the cases (`Case`), where `primed` and `control` differ in the shape of one object and neither has the second, the
   evidence is (score of primed − score of control) / (score of there − score of control), averages below the line: 0
   where the truth is kept, 1 where the first looks just like the second.

Whatever comes behind a site in which evidence stands gets a picture that says so: the error is in already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cotlab.chains.prefix import Prefix
from cotlab.errors import DataError
from cotlab.interventions.hook_points import HookPoint
from cotlab.stats import Estimate, cluster_auc, paired_difference
from cotlab.tiny.scenes import mask_of, visible
from cotlab.whitebox.probe_fit import fit_rows
from cotlab.whitebox.vision.asking import Asking
from cotlab.whitebox.vision.cases import VERSIONS, Case, Habit, Version, free_scenes
from cotlab.whitebox.vision.image_lens import image_spans
from cotlab.whitebox.vision.places import ON, Region, covered, rows_of
from cotlab.whitebox.vision.sites import Site, sites_of

__all__ = [
    "FEWEST",
    "Readout",
    "Scores",
    "SiteProbe",
    "SiteReadout",
    "Taught",
    "fit_readout",
    "image_rows",
    "read_out",
    "scenes_to_teach",
    "score_cases",
]

Array = NDArray[np.float64]
PENALTY = 1e-2
"""Inverse strength of the probes' logistic penalty, on standardised rows."""
ROWS = 12
"""Rows that are taken of each scene: those on the second shape, then others by chance, those on other things first."""
HELD = 0.3
"""Share of the pictures that readability is judged on."""
FEWEST = 20
"""Pictures below which no readout is fitted."""


@dataclass(frozen=True, slots=True, eq=False)
class SiteProbe:
    """A probe at one site: weight · row + bias is the log odds that the row lies on the shape."""

    site: Site
    weight: Array
    bias: float
    direction: Array
    """Mean of rows on the shape less that of rows on other things: what having the shape adds."""
    plain: float
    """Mean log odds of rows that do not lie on the shape."""
    readable: Estimate
    """AUC of an image's score on scenes that the probe did not see."""

    def logits(self, rows: Tensor) -> Array:
        """Log odds of rows (n, width)."""
        return np.asarray(rows.double().cpu().numpy() @ self.weight + self.bias)


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """Probes for what is asked for (the second shape of a habit), at every site."""

    probes: tuple[SiteProbe, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """A picture that probes learn from."""

    id: str
    prefix: Prefix
    has: bool
    """Whether what is asked for is there."""
    on: tuple[Region, ...]
    """Where it is."""
    near: tuple[Region, ...]
    """Where something else is."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """An image's scores for the second shape, at every site, of all versions of some cases."""

    clusters: tuple[str, ...]
    """[cases]"""
    values: Array
    """[sites, versions, cases]; versions as in `VERSIONS`, NaN where a case lacks one."""

    def of(self, site: int, version: Version) -> Array:
        """Of one site and version, [cases]."""
        found: Array = self.values[site, VERSIONS.index(version)]
        return found


@dataclass(frozen=True, slots=True)
class SiteReadout:
    """What is read at one site."""

    site: Site
    readable: Estimate
    evidence: Estimate
    """For the second shape where only the first is; null floor and p from exchanging primed and control."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        told = {"site": str(self.site), "part": self.site.part}
        return {**told, "readable": self.readable.to_json(), "evidence": self.evidence.to_json()}


class _Taken(NamedTuple):
    """Rows of one scene that a probe learns from."""

    rows: Array
    on: NDArray[np.bool_]
    near: NDArray[np.bool_]
    """On something else."""


def image_rows(asking: Asking, prefix: Prefix, points: Sequence[HookPoint]) -> dict[HookPoint, Tensor]:
    """Rows of the one image of a prompt at some points, shape (rows, width)."""
    (span,) = image_spans(asking.inside, prefix)
    read = asking.inside.read(prefix, points)
    return {point: rows if point.is_vision else rows[span.start : span.end] for point, rows in read.items()}


def scenes_to_teach(asking: Asking, habit: Habit, n: int, seed: int = 0) -> list[Taught]:
    """Scenes without the first shape, half of them with the second, that is asked for."""
    found = []
    for scene in free_scenes(habit, n, seed):
        things = visible(scene)
        on = tuple(mask_of(scene, thing) for thing in things if thing.shape == habit.second)
        near = tuple(mask_of(scene, thing) for thing in things if thing.shape != habit.second)
        found.append(Taught(scene.id, asking.exists(scene, habit.second), bool(on), on, near))
    return found


def fit_readout(
    asking: Asking, taught: Sequence[Taught], *, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> Readout:
    """Fit probes for what is asked for at every site.

    Args:
        asking: The model.
        taught: Pictures with and without it, mixed, those of one id together: the last three in ten are held out, to
            judge by, or some fewer where that would part those of one id.
        seed: Of rows.
        progress: Told pictures done and in all.

    Raises:
        ModelError: The model sees no images.
        DataError: Too few pictures, or all that are learnt from, or held out, are alike.
    """
    if len(taught) < FEWEST:
        raise DataError(f"{len(taught)} pictures to fit a readout on, at least {FEWEST} are needed")
    sites = sites_of(asking.inside)
    points = [site.point for site in sites]
    rng, n_fit = np.random.default_rng(seed), round((1 - HELD) * len(taught))
    while n_fit < len(taught) and taught[n_fit].id == taught[n_fit - 1].id:
        n_fit += 1
    for part, where in ((taught[:n_fit], "first seven in ten"), (taught[n_fit:], "last three in ten")):
        if len({one.has for one in part}) < 2:
            raise DataError(f"of {len(taught)} pictures to fit a readout on, the {where} all have the same answer: mix")
    taken: dict[HookPoint, list[_Taken]] = {point: [] for point in points}
    held: dict[HookPoint, list[Array]] = {point: [] for point in points}
    for number, one in enumerate(taught):
        rows = image_rows(asking, one.prefix, points)
        for point in points:
            values = rows[point].double().cpu().numpy()
            if number >= n_fit:
                held[point].append(values)
                continue
            on, near = _labels(asking, one, point)
            chosen = _chosen(on, near, rng)
            taken[point].append(_Taken(values[chosen], on[chosen], near[chosen]))
        if progress:
            progress(number + 1, len(taught))
    has, names = [one.has for one in taught[n_fit:]], [one.id for one in taught[n_fit:]]
    return Readout(tuple(_fitted(site, taken[site.point], held[site.point], has, names) for site in sites))


def score_cases(
    asking: Asking, readout: Readout, cases: Sequence[Case], progress: Callable[[int, int], None] | None = None
) -> Scores:
    """Score all versions of some cases."""
    points = [probe.site.point for probe in readout.probes]
    values = np.full((len(points), len(VERSIONS), len(cases)), np.nan)
    for number, case in enumerate(cases):
        for place, version in enumerate(VERSIONS):
            if version in case.prefixes:
                rows = image_rows(asking, case.prefixes[version], points)
                values[:, place, number] = [probe.logits(rows[probe.site.point]).max() for probe in readout.probes]
        if progress:
            progress(number + 1, len(cases))
    return Scores(tuple(case.id for case in cases), values)


def read_out(readout: Readout, scores: Scores, *, seed: int = 0) -> tuple[SiteReadout, ...]:
    """Evidence for what is asked for at every site, where it is not."""
    found = []
    for number, probe in enumerate(readout.probes):
        primed, control, there = (scores.of(number, version) for version in ("primed", "control", "there"))
        found.append(SiteReadout(probe.site, probe.readable, evidence(primed, control, there, scores.clusters, seed)))
    return tuple(found)


def evidence(primed: Array, control: Array, there: Array, clusters: Sequence[str], seed: int = 0) -> Estimate:
    """Mean of (primed − control) over the mean of (there − control), each over the cases that have both."""
    erring, real = np.isfinite(primed + control), np.isfinite(there + control)
    if not erring.any() or not real.any():
        return Estimate.missing("no case shows the error, or none what is asked for", n=int(erring.sum()))
    whole = float((there - control)[real].mean())
    if whole <= 0:
        return Estimate.missing("the shape itself scores no higher than another one", n=int(erring.sum()))
    ones, names = np.ones(int(erring.sum())), [name for name, has in zip(clusters, erring, strict=True) if has]
    return paired_difference((control[erring] / whole, ones), (primed[erring] / whole, ones), names, seed=seed)


def _labels(asking: Asking, one: Taught, point: HookPoint) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows lie on what is asked for, and which on anything else."""
    (span,) = image_spans(asking.inside, one.prefix)
    boxes = rows_of(point, span.layout)
    on, near = np.zeros(len(boxes), dtype=bool), np.zeros(len(boxes), dtype=bool)
    for regions, flags in ((one.on, on), (one.near, near)):
        for region in regions:
            flags |= covered(boxes, region) >= ON
    return on, near & ~on


def _chosen(on: NDArray[np.bool_], near: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.intp]:
    mine = np.flatnonzero(on)
    others = np.concatenate([rng.permutation(np.flatnonzero(near)), rng.permutation(np.flatnonzero(~on & ~near))])
    half = max(0, ROWS - len(mine)) // 2
    # Half of the others from other things, as far as there are some, the rest from the background.
    n_near = min(half, int(near.sum()))
    rest = others[int(near.sum()) :][: ROWS - len(mine) - n_near]
    return np.concatenate([mine, others[:n_near], rest])


def _fitted(
    site: Site, taken: Sequence[_Taken], held: Sequence[Array], has: Sequence[bool], names: Sequence[str]
) -> SiteProbe:
    x, on, near = (np.concatenate(column) for column in zip(*taken, strict=True))
    problems = np.repeat([str(i) for i in range(len(taken))], [len(one.on) for one in taken])
    weight, bias = fit_rows(x, on, problems, "logistic", 0, PENALTY)
    direction = x[on].mean(0) - x[near if near.any() else ~on].mean(0)
    plain = float((x[~on] @ weight + bias).mean())
    best = np.array([(rows @ weight + bias).max() for rows in held])
    return SiteProbe(site, weight, bias, direction, plain, cluster_auc(best, has, names, n_null=0))

"""The whole search for where an error enters, of one model: on scenes of one habit, or on pictures of a user's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cotlab.errors import UserError
from cotlab.sampling.progress import Progress, Silent
from cotlab.stats import NullRate
from cotlab.whitebox.vision.asking import Asking
from cotlab.whitebox.vision.cases import Case, Habit, Version, draw_cases
from cotlab.whitebox.vision.erasing import SiteErasure, erase_cases
from cotlab.whitebox.vision.locating import Located, ask_cases, locate, null_of_readout, null_of_swaps
from cotlab.whitebox.vision.patching import SitePatch, patch_cases
from cotlab.whitebox.vision.readout import Readout, Scores, Taught, fit_readout, scenes_to_teach, score_cases
from cotlab.whitebox.vision.swapping import Swapped, swap_parts

__all__ = ["LocatingPlan", "LocatingStudy", "Material", "locating_study", "scene_material"]


@dataclass(frozen=True, slots=True)
class LocatingPlan:
    """What is done."""

    n_patched: int = 20
    """Cases that are patched, site by site."""
    n_erased: int = 20
    """Cases whose evidence is taken out, site by site."""
    n_directions: int = 5
    """Random ones that it is held against."""
    n_shuffles: int = 100
    """For the null rates."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("n_patched", 0), ("n_erased", 0), ("n_directions", 1), ("n_shuffles", 1)):
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}, expected {least} or more")


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What is looked at."""

    told: str
    """A habit, or the name of a file."""
    asked: str
    """The question; of several the first, with how many more."""
    cases: tuple[Case, ...]
    taught: tuple[Taught, ...]
    """Pictures that a readout is fitted to; none where there is a reason."""
    no_readout: str | None = None
    """Why no readout is fitted: nothing is read or erased then."""


def scene_material(asking: Asking, habit: Habit, n_cases: int = 60, n_scenes: int = 200, seed: int = 0) -> Material:
    """Scenes of one habit.

    Args:
        asking: The model.
        habit: What is asked about.
        n_cases: Each in five versions.
        n_scenes: Scenes that readouts are fitted to and judged on.
        seed: Of the scenes.

    Raises:
        UserError: Too few.
    """
    for name, n, least in (("n_cases", n_cases, 5), ("n_scenes", n_scenes, 20)):
        if n < least:
            raise UserError(f"{name} is {n}, expected {least} or more")
    cases, taught = draw_cases(asking, habit, n_cases, seed), scenes_to_teach(asking, habit, n_scenes, seed)
    return Material(str(habit), f"Is there a {habit.second} in the image?", tuple(cases), tuple(taught))


@dataclass(frozen=True, slots=True, eq=False)
class LocatingStudy:
    """What was found."""

    model: str
    twin: str | None
    plan: LocatingPlan
    material: Material
    located: Located
    erased: tuple[SiteErasure, ...]
    """Empty where there is no error, no readout, or none were asked for."""
    patched: tuple[SitePatch, ...]
    """Likewise, without a readout too."""
    nulls: tuple[NullRate, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data, without pictures."""
        material = self.material
        return {
            "model": self.model,
            "twin": self.twin,
            "on": material.told,
            "asked": material.asked,
            "cases": len(material.cases),
            "taught": len(material.taught),
            "no_readout": material.no_readout,
            "plan": asdict(self.plan),
            **self.located.to_json(),
            "erased": [site.to_json() for site in self.erased],
            "patched": [site.to_json() for site in self.patched],
            "null_rates": [asdict(rate) for rate in self.nulls],
        }


def locating_study(
    asking: Asking,
    material: Material,
    plan: LocatingPlan | None = None,
    *,
    twin: Asking | None = None,
    progress: Progress | None = None,
) -> LocatingStudy:
    """Find where an error enters.

    Args:
        asking: The model.
        material: What is looked at (`scene_material`, `read_pairs`).
        plan: What is done.
        twin: A model of the same shape without the error, whose parts may take the place of the model's.
        progress: Told how far it is.

    Raises:
        ModelError: The model sees no images, or the twin has another shape.
    """
    plan, tell = plan or LocatingPlan(), progress or Silent()
    cases, seed = material.cases, plan.seed
    readout, scores = _read(asking, material, seed, tell)
    swapped = None
    if twin is not None:
        tell.phase("exchanging parts", len(cases), "cases")
        swapped = swap_parts(asking, twin, cases, _each(tell))
    located = locate(ask_cases(asking, cases), readout, scores, swapped, seed=seed)
    erring = located.by_parts != "no error" and located.by_readout != "no error"
    erased, patched = _caused(asking, readout, cases, plan, tell) if erring else ((), ())
    name = None if twin is None else twin.inside.name
    nulls = _nulls(readout, scores, swapped, plan)
    return LocatingStudy(asking.inside.name, name, plan, material, located, erased, patched, nulls)


def _read(asking: Asking, material: Material, seed: int, tell: Progress) -> tuple[Readout | None, Scores | None]:
    if material.no_readout is not None:
        return None, None
    tell.phase("fitting readouts", len(material.taught), "pictures")
    readout = fit_readout(asking, material.taught, seed=seed, progress=_each(tell))
    tell.phase("reading cases", len(material.cases), "cases")
    return readout, score_cases(asking, readout, material.cases, _each(tell))


def _caused(
    asking: Asking, readout: Readout | None, cases: Sequence[Case], plan: LocatingPlan, tell: Progress
) -> tuple[tuple[SiteErasure, ...], tuple[SitePatch, ...]]:
    """What erasing and patching do, each on the first cases that have what it takes."""
    patched = _first(cases, "primed", plan.n_patched)
    real = _first(cases, "there", plan.n_erased)
    erased = [] if readout is None else list(dict.fromkeys([*_first(cases, "primed", plan.n_erased), *real]))
    tell.phase("erasing and patching", len(erased) + len(patched), "cases")
    gone = () if readout is None or not erased else erase_cases(
        asking, readout, erased, n_directions=plan.n_directions, seed=plan.seed, progress=_each(tell)
    )  # fmt: skip
    return gone, patch_cases(asking, patched, progress=_each(tell)) if patched else ()


def _first(cases: Sequence[Case], version: Version, n: int) -> list[Case]:
    """The first n cases that can be held against their control in a version."""
    return [case for case in cases if version in case.prefixes and "control" in case.prefixes][:n]


def _nulls(
    readout: Readout | None, scores: Scores | None, swapped: Swapped | None, plan: LocatingPlan
) -> tuple[NullRate, ...]:
    found = []
    if readout is not None and scores is not None:
        found.append(null_of_readout(readout, scores, plan.n_shuffles, plan.seed))
    if swapped is not None:
        found.append(null_of_swaps(swapped, plan.n_shuffles, plan.seed))
    return tuple(found)


def _each(tell: Progress) -> Any:
    return lambda done, total: tell.advance(1, 0)

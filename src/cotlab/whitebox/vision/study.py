"""The whole search for where an error enters, of one model and one habit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cotlab.errors import UserError
from cotlab.sampling.progress import Progress, Silent
from cotlab.stats import NullRate
from cotlab.whitebox.vision.asking import Asking
from cotlab.whitebox.vision.cases import Case, Habit, draw_cases
from cotlab.whitebox.vision.erasing import SiteErasure, erase_cases
from cotlab.whitebox.vision.locating import Located, ask_cases, locate, null_of_readout, null_of_swaps
from cotlab.whitebox.vision.patching import SitePatch, patch_cases
from cotlab.whitebox.vision.readout import fit_readout, score_cases
from cotlab.whitebox.vision.swapping import swap_parts

__all__ = ["LocatingPlan", "LocatingStudy", "locating_study"]


@dataclass(frozen=True, slots=True)
class LocatingPlan:
    """What is asked."""

    habit: Habit
    n_cases: int = 60
    """Each is asked in five versions."""
    n_scenes: int = 200
    """Scenes that readouts are fitted to and judged on."""
    n_patched: int = 20
    """Cases that are patched and erased, site by site."""
    n_shuffles: int = 100
    """For the null rates."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("n_cases", 5), ("n_scenes", 20), ("n_patched", 0), ("n_shuffles", 1)):
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}, expected {least} or more")


@dataclass(frozen=True, slots=True, eq=False)
class LocatingStudy:
    """What was found."""

    model: str
    twin: str | None
    plan: LocatingPlan
    located: Located
    erased: tuple[SiteErasure, ...]
    """Empty where there is no error, or none were asked for."""
    patched: tuple[SitePatch, ...]
    """Likewise."""
    nulls: tuple[NullRate, ...]
    example: Case
    """For a reader to look at."""

    def to_json(self) -> dict[str, Any]:
        """Plain data, without the example."""
        plan = {**asdict(self.plan), "habit": str(self.plan.habit)}
        return {
            "model": self.model,
            "twin": self.twin,
            "plan": plan,
            **self.located.to_json(),
            "erased": [site.to_json() for site in self.erased],
            "patched": [site.to_json() for site in self.patched],
            "null_rates": [asdict(rate) for rate in self.nulls],
        }


def locating_study(
    asking: Asking, plan: LocatingPlan, *, twin: Asking | None = None, progress: Progress | None = None
) -> LocatingStudy:
    """Find where an error enters.

    Args:
        asking: The model.
        plan: What is asked.
        twin: A model of the same shape without the error, whose parts may take the place of the model's.
        progress: Told how far it is.

    Raises:
        ModelError: The model sees no images, or the twin has another shape.
    """
    tell, seed = progress or Silent(), plan.seed
    cases = draw_cases(asking, plan.habit, plan.n_cases, seed)
    tell.phase("fitting readouts", plan.n_scenes)
    readout = fit_readout(asking, plan.habit, n_scenes=plan.n_scenes, seed=seed, progress=_each(tell))
    tell.phase("reading cases", len(cases))
    scores = score_cases(asking, readout, cases, _each(tell))
    swapped = None
    if twin is not None:
        tell.phase("exchanging parts", len(cases))
        swapped = swap_parts(asking, twin, cases, _each(tell))
    located = locate(ask_cases(asking, cases), readout, scores, swapped, seed=seed)
    some = cases[: plan.n_patched] if located.verdict != "no error" else []
    if some:
        tell.phase("erasing and patching", 2 * len(some))
    erased = erase_cases(asking, readout, some, seed=seed, progress=_each(tell)) if some else ()
    patched = patch_cases(asking, some, progress=_each(tell)) if some else ()
    nulls = [null_of_readout(readout, scores, plan.n_shuffles, seed)]
    if swapped is not None:
        nulls.append(null_of_swaps(swapped, plan.n_shuffles, seed))
    name = None if twin is None else twin.inside.name
    return LocatingStudy(asking.inside.name, name, plan, located, erased, patched, tuple(nulls), cases[0])


def _each(tell: Progress) -> Any:
    return lambda done, total: tell.advance(1, 0)

"""Where does an object hallucination enter: perception, alignment or language prior? Or is it undecided?

1. **Is there an error?** Share of Yes on `primed` less that on `control`; neither has the shape asked for.
2. **Readout** (`readout`): the first part at whose end the image itself says that the shape is there. The encoder:
   perception; the projector: alignment; neither: the decoder makes it up from what is right: language prior.
3. **Parts of a twin** (`swapping`), where there is one: the part whose exchange takes the error away.

The verdict is that of 3 where there is a twin, else that of 2. Where a part cannot be read, or no part carries most of
the error, it is undecided. Patching and erasing stand beside it: how the error travels, and whether it goes with the
evidence that was read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cotlab.stats import Estimate, NullRate, holm, null_rate, paired_difference
from cotlab.whitebox.vision.asking import Asking
from cotlab.whitebox.vision.cases import VERSIONS, Case
from cotlab.whitebox.vision.readout import Readout, Scores, SiteReadout, read_out
from cotlab.whitebox.vision.sites import PARTS, Error, Part, error_of
from cotlab.whitebox.vision.swapping import ARMS, Swapped

__all__ = ["Answers", "Located", "Verdict", "ask_cases", "locate", "null_of_readout", "null_of_swaps"]

Array = NDArray[np.float64]
Verdict = Error | Literal["no error", "undecided"]
LEAST_ERROR = 0.1
"""Share of Yes below which there is no error worth locating."""
LEAST_EVIDENCE = 0.25
"""Evidence at the end of a part from which on the truth counts as lost there; the shape itself gives 1."""
MOST_KEPT = 0.1
"""Evidence below which, interval and all, the truth counts as kept; in between it is undecided."""
READABLE = 0.8
"""AUC below which a site says nothing of whether the shape is there."""
MOST = 0.5
"""A part carries the error where its share is above this."""


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Log odds of Yes on all versions of some cases, nats."""

    clusters: tuple[str, ...]
    odds: Array
    """[versions, cases]; versions as in `VERSIONS`, NaN where a case lacks one."""

    def yes(self, version: str) -> NDArray[np.bool_]:
        """[cases] whether the answer is Yes; not, where there is none."""
        found: NDArray[np.bool_] = self.odds[[str(one) for one in VERSIONS].index(version)] > 0
        return found

    def has(self, *versions: str) -> NDArray[np.bool_]:
        """[cases] whether a case has all of some versions."""
        named = [str(one) for one in VERSIONS]
        rows = self.odds[[named.index(one) for one in versions]]
        return np.asarray(np.isfinite(rows).all(axis=0), dtype=bool)


@dataclass(frozen=True, slots=True)
class Located:
    """What was found of one model and habit."""

    error: Estimate
    """Share of Yes on primed less that on control."""
    rates: dict[str, float]
    """Share of Yes by version; `there` and `both` are true ones."""
    sites: tuple[SiteReadout, ...]
    """With q: evidence adjusted over the sites (Holm)."""
    by_readout: Verdict
    parts: dict[Part, Estimate]
    """Error that goes when the twin's part takes the place of the model's own, behind the twin's parts before it; empty
    without a twin."""
    by_parts: Verdict | None
    """None without a twin."""

    @property
    def verdict(self) -> Verdict:
        """Of the parts where there is a twin, else of the readout."""
        return self.by_readout if self.by_parts is None else self.by_parts

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "verdict": self.verdict,
            "by_readout": self.by_readout,
            "by_parts": self.by_parts,
            "error": self.error.to_json(),
            "yes": self.rates,
            "sites": [site.to_json() for site in self.sites],
            "parts": {part: found.to_json() for part, found in self.parts.items()},
        }


def ask_cases(asking: Asking, cases: Sequence[Case]) -> Answers:
    """Ask a model about every version of some cases."""
    odds = np.full((len(VERSIONS), len(cases)), np.nan)
    for number, case in enumerate(cases):
        for place, version in enumerate(VERSIONS):
            if version in case.prefixes:
                odds[place, number] = asking.says(case.prefixes[version])
    return Answers(tuple(case.id for case in cases), odds)


def locate(
    answers: Answers,
    readout: Readout | None,
    scores: Scores | None,
    swapped: Swapped | None = None,
    *,
    seed: int = 0,
) -> Located:
    """Put together what says where the error enters; without a readout, what is left of it."""
    both = answers.has("primed", "control")
    names = [name for name, has in zip(answers.clusters, both, strict=True) if has]
    error = _error(answers.yes("control")[both], answers.yes("primed")[both], names, seed)
    sites = () if readout is None or scores is None else _with_holm(read_out(readout, scores, seed=seed))
    is_error = _is_error(error)
    parts = {} if swapped is None else _parts(swapped, seed)
    return Located(
        error,
        {
            version: round(float(answers.yes(version)[has].mean()), 6)
            for version in VERSIONS
            if (has := answers.has(version)).any()
        },
        sites,
        by_sites(sites) if is_error else "no error",
        parts,
        None if swapped is None else by_parts(parts, error) if is_error else "no error",
    )


def by_sites(sites: Sequence[SiteReadout]) -> Verdict:
    """The first part at whose end the truth is lost; undecided where one before it cannot be read, or nothing was."""
    if not sites:
        return "undecided"
    for part in ("encoder", "projector"):
        last = [site for site in sites if site.site.part == part][-1]
        readable, its = last.readable.value, last.evidence
        if readable is None or readable < READABLE or its.value is None:
            return "undecided"
        lost = its.q is not None and its.q < 0.05
        if lost and its.value >= LEAST_EVIDENCE:
            return error_of(part)
        if its.high is None or its.high >= MOST_KEPT:
            return "undecided"  # neither lost nor shown to be kept
    return error_of("decoder")


def by_parts(parts: dict[Part, Estimate], error: Estimate) -> Verdict:
    """The part that takes most of the error away, its interval above half of it; undecided where none does."""
    if error.value is None:
        return "undecided"
    for part, found in parts.items():
        if found.low is not None and found.low > MOST * error.value:
            return error_of(part)
    return "undecided"


def null_of_readout(readout: Readout, scores: Scores, shuffles: int = 100, seed: int = 0) -> NullRate:
    """How often the readout says that the truth is lost where primed and control are exchanged at random."""

    def finds(rng: np.random.Generator) -> bool:
        mixed = _exchanged(scores.values, rng)
        sites = _with_holm(read_out(readout, Scores(scores.clusters, mixed)))
        return any(
            one.evidence.q is not None and one.evidence.q < 0.05 and (one.evidence.value or 0) >= LEAST_EVIDENCE
            for one in sites
        )

    told = "primed and control exchanged at random in every case; found: a site that is said to lose the truth"
    return null_rate(finds, analysis=told, shuffles=shuffles, seed=seed)


def null_of_swaps(swapped: Swapped, shuffles: int = 100, seed: int = 0) -> NullRate:
    """How often there is an error, and a part that carries it, where primed and control are exchanged at random."""

    def finds(rng: np.random.Generator) -> bool:
        turn = rng.random(len(swapped.clusters)) < 0.5
        mixed = {arm: np.where(turn, odds[::-1], odds) for arm, odds in swapped.odds.items()}
        error = _error(mixed[None][1] > 0, mixed[None][0] > 0, swapped.clusters, 0)
        return _is_error(error) and by_parts(_parts(Swapped(swapped.clusters, mixed), 0), error) != "undecided"

    told = "primed and control exchanged at random in every case; found: an error, and a part that carries it"
    return null_rate(finds, analysis=told, shuffles=shuffles, seed=seed)


def _exchanged(values: Array, rng: np.random.Generator) -> Array:
    """Scores [sites, versions, cases] with the two versions exchanged in half of the cases."""
    first, second = VERSIONS.index("primed"), VERSIONS.index("control")
    turn = (rng.random(values.shape[-1]) < 0.5) & np.isfinite(values[:, [first, second]]).all((0, 1))
    mixed = values.copy()
    mixed[:, first] = np.where(turn, values[:, second], values[:, first])
    mixed[:, second] = np.where(turn, values[:, first], values[:, second])
    return mixed


def _is_error(error: Estimate) -> bool:
    return error.value is not None and error.value >= LEAST_ERROR and (error.p or 1.0) < 0.05


def _error(control: NDArray[np.bool_], primed: NDArray[np.bool_], clusters: Sequence[str], seed: int) -> Estimate:
    ones = np.ones(len(clusters))
    return paired_difference((control, ones), (primed, ones), clusters, seed=seed)


def _parts(swapped: Swapped, seed: int) -> dict[Part, Estimate]:
    """Error before a part is exchanged less that after; the sum is the model's error less its twin's."""
    errors = {arm: (odds[0] > 0).astype(float) - (odds[1] > 0) for arm, odds in swapped.odds.items()}
    ones = np.ones(len(swapped.clusters))
    found: dict[Part, Estimate] = {}
    for number, part in enumerate(PARTS, 1):
        before, after = errors[ARMS[number - 1]], errors[ARMS[number]]
        found[part] = paired_difference((after, ones), (before, ones), swapped.clusters, seed=seed)
    return found


def _with_holm(sites: Sequence[SiteReadout]) -> tuple[SiteReadout, ...]:
    tested = [site.evidence.p for site in sites if site.evidence.p is not None]
    q = iter(holm(tested))
    return tuple(
        site if site.evidence.p is None else replace(site, evidence=replace(site.evidence, q=next(q))) for site in sites
    )

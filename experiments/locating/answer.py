"""Where does a hallucination enter?"""

from __future__ import annotations

from dataclasses import replace

import cotlab as ct
from cotlab.models import resolve_model
from cotlab.reports import Finding, Planted, Recovered, Table
from cotlab.stats import Estimate, NullRate
from cotlab.tiny.scenes import draw_scenes
from cotlab.tiny.vlm import VLM_ORGANISMS
from cotlab.whitebox.vision import (
    Asking,
    Habit,
    LocatingPlan,
    LocatingStudy,
    NamingStudy,
    WarningPlan,
    WarningStudy,
    locating_study,
    naming_study,
    scene_material,
    warning_study,
)
from experiments.lab import Answer, Lab
from experiments.locating.figures import figures

__all__ = ["answer"]

SITES = {None: "no error", "tower": "perception", "projector": "alignment", "decoder": "language prior"}
"""What an error is called that was trained into a part."""
OWN = "tiny-vlm"
LIMITS = (
    "The readout tells where the image *says* what is not there in the way the model itself says it of that shape. An "
    "error that a part writes in a way of its own, which only parts behind it read, is seen by exchanging parts alone.",
    "Exchanging parts needs a twin without the error; models of others come without one.",
    "Patching traces the shape that sets the error off, which comes in by the image in every model: high shares at the "
    "encoder do not say that the encoder errs.",
    "The organisms' errors are large and of one kind. Where several parts err a little, the verdict is 'undecided'.",
)


def answer(lab: Lab) -> Answer:
    """Locate in every organism, hold against the part that was trained."""
    habits = [Habit.parse(one) for one in lab.text("habits").split(",")]
    own = lab.model == OWN
    names = [f"{OWN}:{organism}" for organism in VLM_ORGANISMS] if own else [lab.model]
    twin = _opened(OWN) if own else None
    studies, warnings = list[LocatingStudy](), list[WarningStudy]()
    plan = LocatingPlan(
        lab.number("n_patched"), lab.number("n_erased"), lab.number("n_directions"), lab.number("shuffles"), lab.seed
    )
    lens = None
    for name in names:
        honest = own and VLM_ORGANISMS[name.partition(":")[2]].part is None
        asking = twin if honest and twin is not None else _opened(name)
        if lens is None:
            scenes = draw_scenes(lab.number("lens_scenes"), lab.seed + 3, split="heldout")
            lens = naming_study(asking, scenes, seed=lab.seed)
        for habit in habits:
            lab.progress.say(f"{name}, {habit}")
            material = scene_material(asking, habit, lab.number("n_cases"), lab.number("n_scenes"), lab.seed)
            found = locating_study(asking, material, plan, twin=None if honest else twin, progress=lab.progress)
            studies.append(replace(found, model=name))
        if not own or name.partition(":")[2] in lab.text("warned").split(","):
            lab.progress.say(f"{name}: is it seen coming?")
            asked = WarningPlan(
                tuple(habits), lab.number("warned_cases"), lab.number("warned_scenes"),
                n_shuffles=lab.number("shuffles"), seed=lab.seed,
            )  # fmt: skip
            warnings.append(replace(warning_study(asking, asked, progress=lab.progress), model=name))
    planted, recovered = _held_against(studies) if own else ((), ())
    return Answer(
        estimates=tuple(one for study in studies for one in _findings(study))
        + tuple(one for study in warnings for one in _warnings(study))
        + _lens_findings(lens),
        planted=planted,
        recovered=recovered,
        null_rate=tuple(_named(study, rate) for study in studies for rate in study.nulls)
        + tuple(
            replace(one.null, analysis=f"{study.model}, {one.kind}: {one.null.analysis}")
            for study in warnings
            for one in study.warned
            if one.null is not None
        ),
        limits=LIMITS,
        tables=(_verdicts(studies), *(table for study in studies for table in _tables(study))),
        figures=figures(studies),
        commands=tuple(_command(study) for study in studies) + tuple(_warn_command(study) for study in warnings),
    )


def _opened(name: str) -> Asking:
    return Asking.of(ct.Inside.open(name), resolve_model(name).card)


def _group(study: LocatingStudy) -> str:
    return f"{study.model} {study.material.told}"


def _named(study: LocatingStudy, rate: NullRate) -> NullRate:
    return replace(rate, analysis=f"{_group(study)}: {rate.analysis}")


def _findings(study: LocatingStudy) -> list[Finding]:
    located, group = study.located, _group(study)
    found = [Finding.of("error: yes where only the first is, less control", located.error, group=group)]
    found += [
        Finding.of(f"evidence at {one.site}", one.evidence, group=group, evidence="correlated") for one in located.sites
    ]
    found += [
        Finding.of(f"error that goes with the twin's {part}", one, group=group, evidence="caused")
        for part, one in located.parts.items()
    ]
    for one in study.erased:
        found.append(Finding.of(f"error erased at {one.site}", one.error, group=group, evidence="caused"))
        found.append(Finding.of(f"true yes erased at {one.site}", one.real, group=group, evidence="caused"))
        found.append(Finding.of(f"error, random directions at {one.site}", one.random, group=group, evidence="caused"))
    found += [
        Finding.of(f"restored by {one.group} at {one.site}", one.restored, group=group, evidence="caused")
        for one in study.patched
    ]
    return found


def _warnings(study: WarningStudy) -> list[Finding]:
    found = []
    for one in study.warned:
        group = f"{study.model}, {'wrong Yes' if one.kind == 'yes' else 'words for what is not there'}"
        named: dict[str, Estimate | None] = {
            "AUC of the probe, layer chosen on other cases": one.auc,
            "AUC of the wording": one.wording,
            "AUC of how unsure the model is": one.sure,
            "AUC of whether the first shape is there": one.set_off,
            "probe less wording": one.beyond_wording,
            "probe less unsureness": one.beyond_sure,
            "probe less the first shape": one.beyond_set_off,
        }
        named |= {f"AUC at {point}": its for point, its in one.by_layer}
        missing = Estimate.missing(one.reason or "not judged", n=one.n_said)
        if one.reason is not None:
            named = {"AUC of the probe, layer chosen on other cases": missing}
        found += [
            Finding.of(f"seen coming: {name}", its, group=group, evidence="correlated")
            for name, its in named.items()
            if its is not None
        ]
    return found


def _lens_findings(study: NamingStudy | None) -> tuple[Finding, ...]:
    if study is None:
        return ()
    found = []
    for point, place, name, first in zip(study.points, study.place, study.name, study.first, strict=True):
        for told, one in (("place (AUC)", place), ("name (AUC over absent shapes)", name), ("named first", first)):
            found.append(Finding.of(f"lens: {told}", one, group=str(point), evidence="correlated"))
    return tuple(found)


def _held_against(studies: list[LocatingStudy]) -> tuple[tuple[Planted, ...], tuple[Recovered, ...]]:
    planted, recovered = [], []
    for study in studies:
        part = VLM_ORGANISMS[study.model.partition(":")[2]].part
        true, name = SITES[part], f"{_group(study)}: where the error enters"
        source = f"only its {part} was trained with the planted scenes" if part else "it was not"
        planted.append(Planted(name=name, value=true, source=source))
        for how, verdict in (("readout", study.located.by_readout), ("parts of the twin", study.located.by_parts)):
            if verdict is not None:
                recovered.append(
                    Recovered(
                        name=f"{name}, by {how}", planted=true, value=verdict, n=len(study.material.cases),
                        ok=verdict == true, rule="the part that was trained is named; none where none was",
                    )
                )  # fmt: skip
    return tuple(planted), tuple(recovered)


def _verdicts(studies: list[LocatingStudy]) -> Table:
    columns = ("model", "habit", "yes: first only", "yes: another shape", "yes: second is there", "readout", "parts")
    rows: list[tuple[str | float, ...]] = []
    for study in studies:
        rates, located = study.located.rates, study.located
        shown = tuple(round(rates[version], 3) for version in ("primed", "control", "there"))
        parts = "no twin" if located.by_parts is None else located.by_parts
        rows.append((study.model, study.material.told, *shown, located.by_readout, parts))
    return Table(title="Verdicts", columns=columns, rows=tuple(rows))


def _tables(study: LocatingStudy) -> list[Table]:
    if not study.patched:
        return []
    groups = list(dict.fromkeys(one.group for one in study.patched))
    sites = list(dict.fromkeys(str(one.site) for one in study.patched))
    values = {(str(one.site), one.group): one.restored.value for one in study.patched}
    rows: tuple[tuple[str | float | None, ...], ...] = tuple(
        (site, *(None if (v := values.get((site, group))) is None else round(v, 3) for group in groups))
        for site in sites
    )
    return [Table(title=f"{_group(study)}: share restored, by site and tokens", columns=("site", *groups), rows=rows)]


def _command(study: LocatingStudy) -> str:
    plan, material = study.plan, study.material
    twin = "" if study.twin is None else f" --twin {study.twin}"
    sizes = f"--cases {len(material.cases)} --scenes {len(material.taught)} --patched {plan.n_patched}"
    return (
        f"cotlab vision locate --model {study.model}{twin} --habit '{material.told}' {sizes} --erased {plan.n_erased} "
        f"--directions {plan.n_directions}"
    )


def _warn_command(study: WarningStudy) -> str:
    plan = study.plan
    habits = ",".join(map(str, plan.habits))
    return (
        f"cotlab vision warn --model {study.model} --habit '{habits}' --cases {plan.n_cases} --scenes {plan.n_scenes}"
    )

"""`cotlab vision locate`: where an object hallucination enters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.vision import vision
from cotlab.cli.vision_opening import Habit, Html, VisionModel

if TYPE_CHECKING:
    from cotlab.whitebox.vision import LocatingStudy, SiteErasure

__all__ = ["locate"]


@vision.command()
def locate(
    model: VisionModel = "tiny-vlm:prior",
    twin: Annotated[
        str | None, typer.Option(help="A model of the same shape without the error, whose parts may take its place.")
    ] = None,
    habit: Habit = "star>moon",
    pairs: Annotated[
        Path | None, typer.Option(help="Pictures of your own in pairs (JSONL, docs/white-box.md), not scenes.")
    ] = None,
    write_pairs: Annotated[Path | None, typer.Option(help="Only write the scenes as such a file, to a folder.")] = None,
    cases: Annotated[int, typer.Option(help="Scenes, each in five versions.", min=5)] = 60,
    scenes: Annotated[int, typer.Option(help="Scenes that readouts are fitted to.", min=20)] = 200,
    patched: Annotated[int, typer.Option(help="Cases that are patched site by site; 0 for none.", min=0)] = 20,
    erased: Annotated[int, typer.Option(help="Cases whose evidence is taken out; 0 for none.", min=0)] = 20,
    directions: Annotated[int, typer.Option(help="Random directions that it is held against.", min=1)] = 5,
    seed: options.Seed = 0,
    html: Html = None,
    json: options.Json = False,
) -> None:
    """Tell where a hallucination enters. Perception, alignment, language prior; by readouts, patching, a twin."""
    from cotlab.cli.output import out, print_json
    from cotlab.cli.vision_opening import opened, progress_bar
    from cotlab.whitebox.vision import Habit as AskedHabit
    from cotlab.whitebox.vision import LocatingPlan, locating_study, read_pairs, scene_material
    from cotlab.whitebox.vision import write_pairs as write

    plan, asked = LocatingPlan(patched, erased, directions, seed=seed), AskedHabit.parse(habit)
    with progress_bar(json) as bar:
        asking = opened(model)
        if pairs is None:
            material = scene_material(asking, asked, cases, scenes, seed)
        else:
            material = read_pairs(pairs, asking)
        if write_pairs is not None:
            out().print(str(write(write_pairs, material)), markup=False)
            return
        other = None if twin is None else opened(twin)
        found = locating_study(asking, material, plan, twin=other, progress=bar)
    if html is not None:
        _write(found, html)
    if json:
        print_json(found.to_json())
    else:
        _show(found)


def _show(found: LocatingStudy) -> None:
    from cotlab.cli.output import out, print_table

    located = found.located
    for title, columns, rows in _tables(found):
        print_table(title, columns, rows)
    if found.material.no_readout:
        out().print(f"no readout: {found.material.no_readout}", markup=False)
    for rate in found.nulls:
        out().print(f"shuffled labels: {rate.found} of {rate.n}. {rate.analysis}", markup=False)
    how = "by the parts of the twin" if located.by_parts is not None else "by the readout"
    out().print(f"verdict: {located.verdict} ({how}; readout: {located.by_readout})", markup=False)


def _tables(found: LocatingStudy) -> list[tuple[str, list[str], list[list[str]]]]:
    """Titles, columns and rows."""
    from cotlab.cli.vision_opening import shown

    located, material = found.located, found.material
    asked = f"Share of Yes to “{material.asked}”, {len(material.cases)} cases"
    made: list[tuple[str, list[str], list[list[str]]]] = [
        (asked, ["version", ">yes"], [[name, f"{rate:.2f}"] for name, rate in located.rates.items()]),
        ("The error: primed less control", ["", "estimate"], [["error", shown(located.error)]]),
    ]
    if located.sites:
        read = [[str(one.site), one.site.part, shown(one.readable, p=False), shown(one.evidence)]
                for one in located.sites]  # fmt: skip
        told = "Does the image say what is asked for where it is not? 0: as much as the control; 1: as where it is"
        made.append((told, ["site", "part", "readable (AUC)", "evidence"], read))
    if located.parts:
        rows = [[part, shown(one)] for part, one in located.parts.items()]
        made.append((f"Error that goes with the parts of {found.twin}", ["part", "goes"], rows))
    if found.erased:
        rows = [
            [str(one.site), *(shown(its, p=False) for its in (one.error, one.real, one.random)), _largest(one)]
            for one in found.erased
        ]
        columns = ["site", "of the error", "of a true yes", "error, random directions", "the one that takes most"]
        made.append(("What goes when evidence for what is asked for is taken out at one site", columns, rows))
    if found.patched:
        rows = [[str(one.site), one.group, shown(one.restored, p=False)] for one in found.patched]
        made.append(("What the right run brings back, by site and tokens", ["site", "tokens", "restored"], rows))
    return made


def _largest(one: SiteErasure) -> str:
    return "–" if one.most_random is None else f"{one.most_random:.2f}"


def _write(found: LocatingStudy, path: Path) -> None:
    from cotlab.reports.image_page import ImageSection, Shown, write_image_page

    pictures = tuple(Shown(its.images[0], version) for version, its in found.material.cases[0].prefixes.items())
    facts: list[tuple[str, Any]] = [
        ("verdict", found.located.verdict),
        ("by the readout", found.located.by_readout),
        ("by the parts of a twin", found.located.by_parts or "no twin"),
        ("model", found.model),
        ("twin", found.twin or "none"),
        ("on", found.material.told),
    ]
    if found.material.no_readout:
        facts.append(("no readout", found.material.no_readout))
    sections = [ImageSection("A case, in all versions", shown=pictures)]
    sections += [
        ImageSection(title, columns=tuple(one.removeprefix(">") for one in columns), rows=tuple(map(tuple, rows)))
        for title, columns, rows in _tables(found)
    ]
    nulls = tuple(f"{rate.found} of {rate.n}: {rate.analysis}" for rate in found.nulls)
    sections.append(ImageSection("How often shuffled labels find something", notes=nulls))
    write_image_page(path, f"Where the error of {found.model} enters", facts, sections)

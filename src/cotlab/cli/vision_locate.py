"""`cotlab vision locate`: where an object hallucination enters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.vision import vision
from cotlab.cli.vision_opening import Habit, Html, VisionModel

if TYPE_CHECKING:
    from pathlib import Path

    from cotlab.whitebox.vision import LocatingStudy

__all__ = ["locate"]


@vision.command()
def locate(
    model: VisionModel = "tiny-vlm:prior",
    twin: Annotated[
        str | None, typer.Option(help="A model of the same shape without the error, whose parts may take its place.")
    ] = None,
    habit: Habit = "star>moon",
    cases: Annotated[int, typer.Option(help="Scenes, each in five versions.", min=5)] = 60,
    scenes: Annotated[int, typer.Option(help="Scenes that readouts are fitted to.", min=20)] = 200,
    patched: Annotated[int, typer.Option(help="Cases that are patched site by site; 0 for none.", min=0)] = 20,
    seed: options.Seed = 0,
    html: Html = None,
    json: options.Json = False,
) -> None:
    """Tell where a hallucination enters. Perception, alignment, language prior; by readouts, patching, a twin."""
    from cotlab.cli.output import print_json
    from cotlab.cli.vision_opening import opened, progress_bar
    from cotlab.whitebox.vision import Habit as AskedHabit
    from cotlab.whitebox.vision import LocatingPlan, locating_study

    plan = LocatingPlan(AskedHabit.parse(habit), cases, scenes, patched, seed=seed)
    with progress_bar(json) as bar:
        other = None if twin is None else opened(twin)
        found = locating_study(opened(model), plan, twin=other, progress=bar)
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
    for rate in found.nulls:
        out().print(f"shuffled labels: {rate.found} of {rate.n}. {rate.analysis}", markup=False)
    how = "by the parts of the twin" if located.by_parts is not None else "by the readout"
    out().print(f"verdict: {located.verdict} ({how}; readout: {located.by_readout})", markup=False)


def _tables(found: LocatingStudy) -> list[tuple[str, list[str], list[list[str]]]]:
    """Titles, columns and rows."""
    from cotlab.cli.vision_opening import shown

    located, habit = found.located, found.plan.habit
    asked = f"Share of Yes to “Is there a {habit.second} in the image?”, {found.plan.n_cases} scenes in five versions"
    made: list[tuple[str, list[str], list[list[str]]]] = [
        (asked, ["version", ">yes"], [[name, f"{rate:.2f}"] for name, rate in located.rates.items()]),
        ("The error: primed less control", ["", "estimate"], [["error", shown(located.error)]]),
        (
            f"Does the image say {habit.second} where only a {habit.first} is? 0: as another shape does; 1: wholly",
            ["site", "part", "readable (AUC)", "evidence"],
            [
                [str(one.site), one.site.part, shown(one.readable, p=False), shown(one.evidence)]
                for one in located.sites
            ],
        ),
    ]
    if located.parts:
        rows = [[part, shown(one)] for part, one in located.parts.items()]
        made.append((f"Error that goes with the parts of {found.twin}", ["part", "goes"], rows))
    if found.erased:
        rows = [
            [str(one.site), *(shown(its, p=False) for its in (one.error, one.real, one.random))] for one in found.erased
        ]
        columns = ["site", "of the error", "of a true yes", "error, random direction"]
        made.append((f"What goes when evidence for the {habit.second} is taken out at one site", columns, rows))
    if found.patched:
        rows = [[str(one.site), one.group, shown(one.restored, p=False)] for one in found.patched]
        made.append(("What the right run brings back, by site and tokens", ["site", "tokens", "restored"], rows))
    return made


def _write(found: LocatingStudy, path: Path) -> None:
    from cotlab.chains.image import Image
    from cotlab.reports.image_page import ImageSection, Shown, write_image_page
    from cotlab.tiny.scenes import png

    pictures = tuple(Shown(Image(png(scene)), version) for version, scene in found.example.scenes.items())
    facts: list[tuple[str, Any]] = [
        ("verdict", found.located.verdict),
        ("by the readout", found.located.by_readout),
        ("by the parts of a twin", found.located.by_parts or "no twin"),
        ("model", found.model),
        ("twin", found.twin or "none"),
        ("habit", str(found.plan.habit)),
    ]
    sections = [ImageSection("A case, in all versions", shown=pictures)]
    sections += [
        ImageSection(title, columns=tuple(one.removeprefix(">") for one in columns), rows=tuple(map(tuple, rows)))
        for title, columns, rows in _tables(found)
    ]
    nulls = tuple(f"{rate.found} of {rate.n}: {rate.analysis}" for rate in found.nulls)
    sections.append(ImageSection("How often shuffled labels find something", notes=nulls))
    write_image_page(path, f"Where the error of {found.model} enters", facts, sections)

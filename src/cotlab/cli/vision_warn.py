"""`cotlab vision warn`: is what is not there seen coming, before it is said?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cotlab.cli import options
from cotlab.cli.sae import Transfer
from cotlab.cli.vision import vision
from cotlab.cli.vision_opening import Habit, Html, VisionModel

if TYPE_CHECKING:
    from pathlib import Path

    from cotlab.whitebox.vision import Warned, WarningStudy

__all__ = ["warn"]

_KINDS = {"yes": "a Yes, at the last token of the question", "words": "a shape's word, at the token before it"}


@vision.command()
def warn(
    model: VisionModel = "tiny-vlm:prior",
    habit: Habit = "star>moon",
    kinds: Annotated[str, typer.Option(help="yes: wrong Yes; words: in descriptions; with commas.")] = "yes,words",
    cases: Annotated[int, typer.Option(help="Of each habit, each in versions that differ in one cell.", min=0)] = 40,
    scenes: Annotated[int, typer.Option(help="Other scenes; 0 for none.", min=0)] = 30,
    sae: Annotated[str | None, typer.Option(help="An autoencoder: sparse probes on its features beside.")] = None,
    transfer: Transfer = False,
    k: Annotated[int, typer.Option("--k", help="Features of a sparse probe.", min=1)] = 16,
    method: Annotated[str, typer.Option(help="Probe: mass-mean, logistic or ridge.")] = "mass-mean",
    shuffles: Annotated[int, typer.Option(help="Runs with exchanged labels, for the null.", min=0)] = 100,
    max_tokens: Annotated[int, typer.Option(help="Longest description, thoughts included.", min=1)] = 160,
    seed: options.Seed = 0,
    html: Html = None,
    json: options.Json = False,
) -> None:
    """Tell a wrong Yes, or word, before it is said. By layer, on unseen cases."""
    from cotlab.cli.output import print_json
    from cotlab.cli.vision_opening import fitting_sae, opened, progress_bar
    from cotlab.whitebox.probe_fit import checked_method
    from cotlab.whitebox.vision import Habit as AskedHabit
    from cotlab.whitebox.vision import WarningPlan, warning_study

    habits = tuple(AskedHabit.parse(one) for one in habit.split(","))
    wanted = tuple(kind.strip() for kind in kinds.split(","))
    plan = WarningPlan(habits, cases, scenes, wanted, checked_method(method), k, shuffles, max_tokens, seed)
    with progress_bar(json) as bar:
        asking = opened(model)
        features = None if sae is None else fitting_sae(sae, asking, transfer)
        found = warning_study(asking, plan, sae=features, progress=bar)
    if html is not None:
        _write(found, html)
    if json:
        print_json(found.to_json())
    else:
        _show(found)


def _rows(one: Warned) -> list[list[str]]:
    from cotlab.cli.vision_opening import shown

    rows = [[f"probe behind layer {point.partition(':')[2]}", shown(its, p=False), ""] for point, its in one.by_layer]
    if one.auc is not None:
        floor = "" if one.auc.null_mean is None else f"{one.auc.null_mean:.2f}, 95%: {one.auc.null_q95:.2f}"
        rows.append(["probe, layer chosen on other cases", shown(one.auc), floor])
    for name, its in (
        ("features of the autoencoder", one.sparse),
        ("wording alone", one.wording),
        ("how unsure the model is", one.sure),
        ("the habit's first shape is there", one.set_off),
        ("probe less wording", one.beyond_wording),
        ("probe less unsureness", one.beyond_sure),
        ("probe less the first shape", one.beyond_set_off),
    ):
        if its is not None:
            rows.append([name, shown(its, p=False), ""])
    return rows


_COLUMNS = ["told by", "AUC", "exchanged labels"]


def _title(one: Warned) -> str:
    return f"{_KINDS[one.kind]}: {one.n_wrong} of {one.n_said} are wrong ({one.n_asked} asked)"


def _notes(one: Warned) -> list[str]:
    if one.reason is not None:
        return [f"nothing is judged: {one.reason}"]
    if one.null is None:
        return []
    null = one.null
    return [f"{null.found} of {null.n} [{null.low:.2f}, {null.high:.2f}]: {null.analysis}"]


def _show(found: WarningStudy) -> None:
    from cotlab.cli.output import out, print_table

    for one in found.warned:
        print_table(_title(one), _COLUMNS, _rows(one))
        for note in _notes(one):
            out().print(note, markup=False)


def _write(found: WarningStudy, path: Path) -> None:
    from cotlab.reports.image_page import ImageSection, write_image_page

    sections = [
        ImageSection(_title(one), tuple(_notes(one)), (), tuple(_COLUMNS), tuple(map(tuple, _rows(one))))
        for one in found.warned
    ]
    facts = [("model", found.model), ("autoencoder", found.sae or "none")]
    write_image_page(path, f"Does {found.model} know that it is about to say what is not there?", facts, sections)

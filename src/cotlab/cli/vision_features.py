"""`cotlab vision features`: regions of features on images, which carry a hallucination, what changing them does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.sae import Transfer
from cotlab.cli.vision import vision
from cotlab.cli.vision_opening import Habit, Html, VisionModel

if TYPE_CHECKING:
    from pathlib import Path

    from cotlab.reports.image_page import ImageSection
    from cotlab.saes import Interpretation
    from cotlab.saes.vision import ArmResult, Trainings, VisionFeatures

__all__ = ["features"]

PICTURES = 8
"""Top images of each feature on a page."""
LISTED = 12
"""Features that are listed by their regions."""


@vision.command()
def features(
    saes: Annotated[
        list[str], typer.Argument(metavar="SAE…", help="Folders or files, RELEASE/ID, or a folder that holds several.")
    ],
    model: VisionModel = "tiny-vlm:prior",
    transfer: Transfer = False,
    habit: Habit = "star>moon",
    images: Annotated[int, typer.Option(help="Scenes whose regions are read.", min=10)] = 200,
    cases: Annotated[int, typer.Option(help="Cases of each habit that features and factor are chosen on.", min=6)] = 20,
    scenes: Annotated[int, typer.Option(help="Other cases of each habit, that the choice is judged on.", min=5)] = 30,
    most: Annotated[int, typer.Option(help="Features that are changed at most.", min=1)] = 3,
    factors: Annotated[str, typer.Option(help="What they may be scaled by; 0 ablates.")] = "0,-0.25,-0.5,-1",
    tolerance: Annotated[float, typer.Option(help="Largest fall of true yes where these are chosen.")] = 0.05,
    random: Annotated[int, typer.Option(help="Sets of random features beside.", min=1)] = 5,
    shuffles: Annotated[int, typer.Option(help="Runs where nothing is to be found, of either kind.", min=0)] = 0,
    judge_url: options.JudgeUrl = None,
    judge_model: options.JudgeModel = "judge",
    judge_key: options.JudgeKey = None,
    seed: options.Seed = 0,
    html: Html = None,
    json: options.Json = False,
) -> None:
    """Features on images. Regions, which carry a hallucination, whether changing them reduces it, at what cost."""
    from cotlab.cli.output import print_json
    from cotlab.cli.vision_opening import fitting_sae, opened, progress_bar
    from cotlab.saes.loading import saes_below
    from cotlab.saes.vision import FeaturePlan, Trainings, vision_features
    from cotlab.whitebox.vision import Habit as AskedHabit

    judge = options.judge_server(judge_url, judge_model, judge_key)
    habits = tuple(AskedHabit.parse(one) for one in habit.split(","))
    plan = FeaturePlan(
        habits, images, cases, scenes, most, _numbers(factors), tolerance, random, n_shuffles=shuffles, seed=seed
    )
    with progress_bar(json) as bar:
        asking = opened(model)
        loaded = [fitting_sae(name, asking, transfer) for given in saes for name in saes_below(given)]
        found = Trainings(tuple(vision_features(asking, sae, plan, progress=bar) for sae in loaded))
        said = [_explained(one, judge) for one in found.found]
    if html is not None:
        _write(found, said, html)
    if json:
        told = [{str(i): one.to_json() for i, one in its.items()} for its in said]
        print_json({**found.to_json(), "explained": told})
    else:
        _show(found, said)


def _numbers(text: str) -> tuple[float, ...]:
    from cotlab.errors import UserError

    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"factors {text!r} not understood: give numbers with commas, such as 0,-0.5") from None


def _of_interest(found: VisionFeatures) -> list[int]:
    """Features that carry the error, then those of the best regions."""
    best = [fit.feature for fit in found.regions[:LISTED]]
    return list(dict.fromkeys([*found.ranked, *best]))


def _explained(found: VisionFeatures, judge: Any) -> dict[int, Interpretation]:
    from cotlab.errors import DataError
    from cotlab.saes.vision import interpret_image_feature

    said: dict[int, Interpretation] = {}
    for feature in _of_interest(found) if judge else []:
        try:
            said[feature] = interpret_image_feature(found.firings, feature, judge)
        except DataError:
            continue  # active in too few of these images for a test
    return said


def _tables(found: VisionFeatures) -> list[tuple[str, list[str], list[list[str]]]]:
    from cotlab.cli.vision_opening import shown

    rows = []
    for fit in found.regions[:LISTED]:
        alike = found.likeness.to_json(fit.feature)
        tested = f"{alike['score']:.2f} (chance {alike['null_mean']:.2f})" if alike["score"] is not None else "–"
        floor = f"{fit.others:.2f}"
        rows.append([str(fit.feature), fit.attribute, shown(fit.iou, p=False), _q(fit.iou.q), floor, tested])
    made = [
        (
            f"Regions of features at {found.firings.card.point}, against what {found.plan.n_images} scenes hold",
            ["feature", "attribute", "IoU", "q", "other features", "monosemanticity"],
            rows,
        )
    ]
    carried = [
        [str(one["feature"]), f"{one['carried']:.2f}", f"{one['real']:.2f}", _q(one["q"]), f"{one['rate']:.3f}"]
        for one in found.carrying.to_json(found.ranked)
    ]
    made.append(
        ("Features that carry the error (nats)", ["feature", "of the error", "of a true yes", "q", "rate"], carried)
    )
    if found.choice is not None:
        tried = [
            [str(one.setting), f"{100 * one.less_false:+.0f}", f"{100 * (one.less_true or 0):+.0f}"]
            for one in found.choice.trials
        ]
        within = f"true yes within {100 * found.choice.tolerance:g} points"
        made.append((f"What was tried where features and factor are chosen (points; {within})",
                     ["setting", "false yes", "true yes at worst"], tried))  # fmt: skip
    for what, its in (("where it errs", found.reduction), ("POPE-style, adversarial", found.pope)):
        if its is not None:
            title = f"{its.n_questions} other questions before and after, {what}: × {its.value:g}"
            made.append(
                (title, ["arm", "false yes", "less", "true yes", "less", "F1"], [_arm(arm) for arm in its.arms])
            )
    return made


def _overview(found: Trainings) -> tuple[str, list[str], list[list[str]]]:
    """A row each, then how far they are apart."""
    from cotlab.cli.vision_opening import shown
    from cotlab.saes.vision.trainings import MEASURES, moved

    rows = []
    for its in found.found:
        setting = None if its.choice is None else its.choice.setting
        cells = ["–" if (one := moved(its, measure)) is None else shown(one, p=False) for measure in MEASURES]
        beyond = "–" if its.reduction is None else "yes" if its.reduction.holds else "not shown"
        rows.append([its.sae, "none" if setting is None else str(setting), *cells, beyond])
    apart = {one.measure: f"{one.mean:.2f}, {one.least:.2f} to {one.most:.2f}" for one in found.spread()}
    if len(found.found) > 1:
        held = f"{found.n_holding} of {len(found.found)}"
        rows.append(["mean, least to most", "", *(apart.get(measure, "–") for measure in MEASURES), held])
    columns = ["autoencoder", "chosen", "false yes, less", "true yes, less", "POPE: false yes, less", "true yes, less",
               "beyond every control"]  # fmt: skip
    return "What is chosen on some cases, judged on others", columns, rows


def _arm(arm: ArmResult) -> list[str]:
    from cotlab.cli.vision_opening import shown

    return [
        arm.name,
        shown(arm.false_yes, p=False),
        "" if arm.less_false is None else shown(arm.less_false),
        shown(arm.true_yes, p=False),
        "" if arm.less_true is None else shown(arm.less_true),
        f"{arm.f1:.2f}",
    ]


def _q(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _verdict(found: VisionFeatures) -> str:
    if not found.ranked:
        return "no feature carries the error at q below 0.05"
    if found.reduction is None:
        return "no factor takes false yes within the tolerance"
    its = next(arm for arm in found.reduction.arms if arm.less_false is not None)
    false, true = (100 * ((one and one.value) or 0.0) for one in (its.less_false, its.less_true))
    how = "beyond every control" if found.reduction.holds else "not shown to be beyond every control"
    return f"false yes {false:+.0f} points, {how}; true yes {true:+.0f}"


def _null_lines(found: VisionFeatures) -> list[str]:
    return [
        f"{rate.found} of {rate.n} [{rate.low:.2f}, {rate.high:.2f}]: {rate.analysis}" for rate in found.nulls
    ]  # fmt: skip


def _show(found: Trainings, said: list[dict[int, Interpretation]]) -> None:
    from cotlab.cli.output import out, print_table

    for its, explained in zip(found.found, said, strict=True):
        if len(found.found) > 1:
            out().print(its.sae, style="bold", markup=False)
        for title, columns, rows in _tables(its):
            print_table(title, columns, rows)
        for feature, one in explained.items():
            out().print(f"feature {feature}, {one.judge} says: {one.explanation}", markup=False)
        for line in _null_lines(its):
            out().print(line, markup=False)
        out().print(f"verdict: {_verdict(its)}", markup=False)
    if len(found.found) > 1:
        print_table(*_overview(found))


def _write(found: Trainings, said: list[dict[int, Interpretation]], path: Path) -> None:
    from cotlab.reports.image_page import ImageSection, write_image_page

    title, columns, rows = _overview(found)
    sections = [ImageSection(title, columns=tuple(columns), rows=tuple(map(tuple, rows)))]
    for its, explained in zip(found.found, said, strict=True):
        sections += _sections(its, explained)
    first, names = found.found[0], ", ".join(its.sae for its in found.found)
    facts = [("model", first.model), ("autoencoders", names), ("hook point", str(first.firings.card.point))]
    facts += [("verdict", f"{its.sae}: {_verdict(its)}") for its in found.found]
    write_image_page(path, f"Features of {first.model} on images", facts, sections)


def _sections(found: VisionFeatures, said: dict[int, Interpretation]) -> list[ImageSection]:
    from cotlab.cli.vision_opening import shown
    from cotlab.reports.image_page import ImageSection, Shown

    fits = {fit.feature: fit for fit in found.regions}
    sections = [
        ImageSection(f"{found.sae}: {title}", columns=tuple(columns), rows=tuple(map(tuple, rows)))
        for title, columns, rows in _tables(found)
    ]
    if found.nulls:
        sections.append(ImageSection(f"{found.sae}: where nothing is to be found", tuple(_null_lines(found))))
    for feature in _of_interest(found):
        notes = []
        if feature in fits:
            notes.append(f"regions lie on: {fits[feature].attribute}, IoU {shown(fits[feature].iou)}")
        if feature in said:
            notes.append(f"{said[feature].judge} says: {said[feature].explanation}")
            notes.append(f"and detects it with balanced accuracy {shown(said[feature].detection)}")
        pictures = tuple(
            Shown(one.image, f"{heat.max():.3g}", one.rows.boxes, heat)
            for number in found.firings.top(feature, PICTURES)
            for one, heat in [(found.firings.images[number], found.firings.heat(feature, number))]
        )
        sections.append(ImageSection(f"{found.sae}: feature {feature}", tuple(notes), pictures))
    return sections

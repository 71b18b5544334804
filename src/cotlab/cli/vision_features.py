"""`cotlab vision features`: regions of features on images, which carry a hallucination, what changing them does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.sae import SAEName, Transfer
from cotlab.cli.vision import vision
from cotlab.cli.vision_opening import Habit, Html, VisionModel

if TYPE_CHECKING:
    from pathlib import Path

    from cotlab.interventions import SparseAutoencoder
    from cotlab.saes import Interpretation
    from cotlab.saes.vision import ArmResult, VisionFeatures
    from cotlab.whitebox.vision import Asking

__all__ = ["features"]

PICTURES = 8
"""Top images of each feature on a page."""
LISTED = 12
"""Features that are listed by their regions."""


@vision.command()
def features(
    sae: SAEName,
    model: VisionModel = "tiny-vlm:prior",
    transfer: Transfer = False,
    habit: Habit = "star>moon",
    images: Annotated[int, typer.Option(help="Scenes whose regions are read.", min=10)] = 200,
    cases: Annotated[int, typer.Option(help="Cases of each habit that features are chosen on.", min=6)] = 20,
    scenes: Annotated[int, typer.Option(help="Scenes of the questions before and after.", min=5)] = 30,
    most: Annotated[int, typer.Option(help="Features that are changed.", min=1)] = 3,
    action: Annotated[str, typer.Option(help="ablate, scale or clamp.")] = "scale",
    value: Annotated[float, typer.Option(help="For scale (times; -1 turns round) and clamp (to).")] = -1.0,
    judge_url: options.JudgeUrl = None,
    judge_model: options.JudgeModel = "judge",
    judge_key: options.JudgeKey = None,
    seed: options.Seed = 0,
    html: Html = None,
    json: options.Json = False,
) -> None:
    """Features on images. Regions, which carry a hallucination, whether changing them reduces it, at what cost."""
    from cotlab.cli.output import print_json
    from cotlab.cli.vision_opening import opened, progress_bar
    from cotlab.errors import UserError
    from cotlab.saes.vision import ACTIONS, FeaturePlan, vision_features
    from cotlab.whitebox.vision import Habit as AskedHabit

    if action not in ACTIONS:
        raise UserError(f"unknown action '{action}'; there are: {', '.join(ACTIONS)}")
    judge = options.judge_server(judge_url, judge_model, judge_key)
    habits = tuple(AskedHabit.parse(one) for one in habit.split(","))
    plan = FeaturePlan(habits, images, cases, scenes, most, action, value, seed=seed)
    with progress_bar(json) as bar:
        asking = opened(model)
        found = vision_features(asking, _loaded(sae, asking, transfer), plan, progress=bar)
        said = _explained(found, judge)
    if html is not None:
        _write(found, said, html)
    if json:
        print_json({**found.to_json(), "explained": {str(i): one.to_json() for i, one in said.items()}})
    else:
        _show(found, said)


def _loaded(name: str, asking: Asking, transfer: bool) -> SparseAutoencoder:
    from cotlab.saes import load_sae

    sae = load_sae(name)
    if transfer:
        sae = sae.for_model(asking.inside.name, asking.inside.revision)
    sae.check(asking.inside.shape, asking.inside.name, asking.inside.revision)
    return sae


def _of_interest(found: VisionFeatures) -> list[int]:
    """Features that carry the error, then those of the best regions."""
    best = [fit.feature for fit in found.regions[:LISTED]]
    return list(dict.fromkeys([*found.chosen, *best]))


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
        for one in found.carrying.to_json(found.chosen)
    ]
    made.append(
        ("Features that carry the error (nats)", ["feature", "of the error", "of a true yes", "q", "rate"], carried)
    )
    for what, its in (("where it errs", found.reduction), ("POPE-style, adversarial", found.pope)):
        if its is not None:
            title = f"{its.n_questions} questions before and after, {what}: {its.action} {its.value:g}"
            made.append(
                (title, ["arm", "false yes", "less", "true yes", "less", "F1"], [_arm(arm) for arm in its.arms])
            )
    return made


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
    if found.reduction is None:
        return "no feature carries the error at q below 0.05"
    its = next(arm for arm in found.reduction.arms if arm.less_false is not None)
    false, true = (100 * ((one and one.value) or 0.0) for one in (its.less_false, its.less_true))
    how = "beyond every control" if found.reduction.holds else "not shown to be beyond every control"
    return f"false yes {false:+.0f} points, {how}; true yes {true:+.0f}"


def _show(found: VisionFeatures, said: dict[int, Interpretation]) -> None:
    from cotlab.cli.output import out, print_table

    for title, columns, rows in _tables(found):
        print_table(title, columns, rows)
    for feature, one in said.items():
        out().print(f"feature {feature}, {one.judge} says: {one.explanation}", markup=False)
    out().print(f"verdict: {_verdict(found)}", markup=False)


def _write(found: VisionFeatures, said: dict[int, Interpretation], path: Path) -> None:
    from cotlab.cli.vision_opening import shown
    from cotlab.reports.image_page import ImageSection, Shown, write_image_page

    fits = {fit.feature: fit for fit in found.regions}
    sections = [
        ImageSection(title, columns=tuple(columns), rows=tuple(map(tuple, rows)))
        for title, columns, rows in _tables(found)
    ]
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
        sections.append(ImageSection(f"Feature {feature}", tuple(notes), pictures))
    facts = [("model", found.model), ("autoencoder", found.sae), ("hook point", str(found.firings.card.point))]
    write_image_page(path, f"Features of {found.sae} on images", [*facts, ("verdict", _verdict(found))], sections)

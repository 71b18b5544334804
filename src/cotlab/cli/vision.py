"""`cotlab vision`: what image-text models say that is not there, whether they look, which input repairs errors.

Commands in files of their own join with `@vision.command()`, and are named in `cotlab.cli.main`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.app import app
from cotlab.cli.study_options import takes_study

if TYPE_CHECKING:
    from cotlab.measures import Blame, Contrast, LookReport, PopeReport

__all__ = ["vision"]

vision = typer.Typer(
    help="Image-text models: hallucination, looking, blame.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(vision, name="vision")

ViewNames = Annotated[
    str | None,
    typer.Option("--views", help="Views with commas in place of the study's own: own, masked, own+description, …"),
]
_takes = takes_study(rollouts=1, problems="scenes", model="tiny-vlm", engine="transformers")


@vision.command()
@_takes
def pope(asked: dict[str, Any], dry_run: options.DryRun = False, json: options.Json = False) -> None:
    """Ask whether things are in images. F1 and yes-rate by kind of negatives, as in POPE."""
    from cotlab.cli.vision_asking import ask, print_left_out, scored, told
    from cotlab.measures import pope_report
    from cotlab.problems import OWN
    from cotlab.sampling import PUBLISHED_RULES

    study = ask(asked, [OWN], dry=dry_run, json=json)
    report = pope_report(scored(study), seed=asked["seed"])
    published = {rule: pope_report(scored(study, rule), seed=asked["seed"]) for rule in PUBLISHED_RULES}
    if json:
        from cotlab.cli.output import print_json

        print_json(
            {**told(study), **report.to_json(), "published": {rule: one.to_json() for rule, one in published.items()}}
        )
        return
    _print_pope(report, f"POPE, {study.model}, {study.n_problems} questions (percent, 95% intervals)")
    _print_pope(published["pope"], "Answers read as published (RUCAIBox/POPE)")
    print_left_out(study)


@vision.command()
@_takes
def look(
    asked: dict[str, Any], views: ViewNames = None, dry_run: options.DryRun = False, json: options.Json = False
) -> None:
    """Change the image and not the question. Whether the answer follows what is asked for."""
    from cotlab.cli.output import print_json
    from cotlab.cli.vision_asking import ask, print_left_out, scored, told, wanted
    from cotlab.measures import look_report
    from cotlab.problems import LOOK_VIEWS

    study = ask(asked, wanted(views, LOOK_VIEWS), dry=dry_run, json=json)
    report = look_report(scored(study), seed=asked["seed"])
    if json:
        print_json({**told(study), **report.to_json()})
        return
    _print_look(report, study.model)
    print_left_out(study)


@vision.command()
@_takes
def blame(
    asked: dict[str, Any], views: ViewNames = None, dry_run: options.DryRun = False, json: options.Json = False
) -> None:
    """Give image, description, both, neither. Which input repairs an error, where it enters."""
    from cotlab.cli.output import print_json
    from cotlab.cli.vision_asking import ask, print_left_out, scored, told, wanted
    from cotlab.measures import blame_report
    from cotlab.problems import BLAME_VIEWS

    study = ask(asked, wanted(views, BLAME_VIEWS), dry=dry_run, json=json)
    report = blame_report(scored(study), seed=asked["seed"])
    if json:
        print_json({**told(study), **report.to_json()})
        return
    _print_blame(report.false_yes, "says yes to what is not there")
    _print_blame(report.false_no, "says no to what is there")
    print_left_out(study)


def _print_pope(report: PopeReport, title: str) -> None:
    from cotlab.cli.output import print_table
    from cotlab.cli.results import interval

    names = ("accuracy", "precision", "recall", "f1", "yes", "false_yes", "unread")
    print_table(
        title,
        ["negatives", *(f">{name.replace('_', ' ')}" for name in names), ">n"],
        [
            [one.split, *(interval(getattr(one, name)) for name in names), str(sum(one.counts.values()))]
            for one in report.splits
        ],
    )
    if report.harder:
        rows = [
            [f"{kind} − random", interval(one, signed=True), *_tested(one.null_q95, one.p, one.q), one.reason or ""]
            for kind, one in report.harder.items()
        ]
        print_table("False yes by kind of negatives (points)", ["", *_TESTED, "reason"], rows)


def _print_look(report: LookReport, model: str) -> None:
    from rich.text import Text

    from cotlab.cli.output import out, print_table
    from cotlab.cli.results import interval

    rows = [[one.gold, one.view.name, interval(one.p_yes), interval(one.says_yes), str(one.n)] for one in report.seen]
    print_table(
        f"{model}: answers by view (percent)",
        ["right", "view", ">P(yes)", ">says yes", ">questions"],
        rows,
    )
    _print_contrasts(report.contrasts, "Differences of views (points), p adjusted by Holm's rule over all of them")
    verdict = "hiding it matters more than hiding as much elsewhere" if report.looks else "not shown"
    out().print(Text(f"looks at what is asked for: {verdict}"))


def _print_blame(found: Blame, title: str) -> None:
    from rich.text import Text

    from cotlab.cli.output import out, print_table
    from cotlab.cli.results import interval

    rows = [[name, interval(one), str(one.n), one.reason or ""] for name, one in found.errors.items()]
    print_table(f"{title} (percent)", ["view", ">wrong", ">n", "reason"], rows)
    _print_contrasts(found.contrasts, "Differences (points), p adjusted by Holm's rule over both kinds of errors")
    shares = {
        "of right answers: wrong with the description alone": found.unable,
        "wrong with the description alone: language": found.language,
        "right with it alone, wrong with both: image over words": found.image_over_words,
        "right with it alone and with both: words over image": found.words_over_image,
        "right with image and description": found.repaired,
        "right with image and dots (floor)": found.repaired_by_dots,
        "the same answer with neither": found.same_unseen,
    }
    listed = [[name, interval(one), str(one.n), one.reason or ""] for name, one in shares.items()]
    print_table("Of the errors with the image alone (percent)", ["", ">share", ">n", "reason"], listed)
    out().print(Text(f"where they enter: {found.side} {'side' if found.side != 'not shown' else ''}".rstrip()))


_TESTED = (">difference", ">null", ">p", ">adjusted")


def _print_contrasts(contrasts: Sequence[Contrast], title: str) -> None:
    from cotlab.cli.output import print_table
    from cotlab.cli.results import interval

    rows = [
        [
            one.gold,
            one.measure,
            one.name,
            interval(one.difference, signed=True),
            *_tested(one.difference.null_q95, one.difference.p, one.difference.q),
            one.difference.reason or "",
        ]
        for one in contrasts
    ]
    print_table(title, ["right", "measure", "views", *_TESTED, "reason"], rows)


def _tested(null: float | None, p: float | None, q: float | None) -> list[str]:
    return [
        "" if null is None else f"±{100 * null:.0f}",
        "" if p is None else f"{p:.4f}",
        "" if q is None else f"{q:.4f}",
    ]

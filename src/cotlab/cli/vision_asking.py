"""What the studies of images share: asking with progress, a plan without asking, rows, what was left out."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from cotlab.cli.output import err, out, print_json
from cotlab.cli.progress import Bar
from cotlab.measures import YesNoRow, yes_no_rows
from cotlab.models import find_card
from cotlab.problems import View
from cotlab.runs import Run
from cotlab.sampling import StudyConfig, ViewedStudy, ViewPlan, plan_views, sample_views
from cotlab.sampling.open_study import study_spec

__all__ = ["ask", "print_left_out", "scored", "told", "wanted"]


def wanted(names: str | None, own: Sequence[View]) -> list[View]:
    """The views of a study, or those that were named.

    Raises:
        UserError: There is no such view.
    """
    return list(own) if names is None else [View.parse(name) for name in names.split(",")]


def ask(asked: Mapping[str, Any], views: Sequence[View], *, dry: bool, json: bool) -> ViewedStudy:
    """Read and draw what is missing; of a dry run tell what that takes, and end.

    Raises:
        UserError: Something about the request cannot be.
        Exit: A dry run is over, or Ctrl-C; what was sampled is there.
    """
    config = StudyConfig.of(**asked)
    if dry:
        _tell_plan(config, plan_views(config, views), json)
        raise typer.Exit
    try:
        with Bar() as bar, contextlib.redirect_stdout(sys.stderr):
            study = sample_views(config, views, progress=bar)
            if study.stopped:
                bar.say(f"stopped early: {study.stopped}. The same command goes on with a larger --budget")
    except KeyboardInterrupt:
        typer.echo(
            f"interrupted: what was sampled is in {config.run_folder()}; the same command goes on there", err=True
        )
        raise typer.Exit(130) from None
    return study


def scored(study: ViewedStudy, rule: str | None = None) -> list[YesNoRow]:
    """Rows of a study, answers read as it was asked or by a published rule."""
    with Run.open(study.path) as run:
        return yes_no_rows(run, scorer_id=rule or study.scorer_id)


def told(study: ViewedStudy) -> dict[str, Any]:
    """What every such command says of its study, as JSON values."""
    return {
        "run": str(study.path),
        "model": study.model,
        "problems": study.n_problems,
        "prompts": study.n_prompts,
        "rollouts": study.n,
        "scorer": study.scorer_id,
        "read_now": study.read_now,
        "sampled_now": study.sampled_now,
        "failures": study.failures,
        "stopped": study.stopped,
        "left_out": study.left_out,
    }


def print_left_out(study: ViewedStudy) -> None:
    """Views that questions could not have, with the reasons."""
    for line in _left_out(study.left_out, study.n_problems):
        err().print(line, markup=False)


def _left_out(counts: Mapping[str, Mapping[str, int]], n: int) -> list[str]:
    return [
        f"left out: {view} of {k} of {n} questions: {reason}"
        for view, reasons in counts.items()
        for reason, k in reasons.items()
    ]


def _tell_plan(config: StudyConfig, plan: ViewPlan, json: bool) -> None:
    cost = plan.cost(config.n, study_spec(config, find_card(config.model).sampling).settings)
    if json:
        print_json(
            {
                "dry": True,
                "run": str(config.run_folder()),
                "problems": len(plan.shown),
                "prompts": plan.n_prompts,
                "rollouts": cost.rollouts,
                "most_tokens": cost.tokens,
                "left_out": plan.left_out,
            }
        )
        return
    out().print(f"{len(plan.shown):,} questions, {plan.n_prompts:,} prompts to read", markup=False)
    out().print(f"at most {cost.line().replace('about ', '')}", markup=False)
    for line in _left_out(plan.left_out, len(plan.shown)):
        out().print(line, markup=False)

"""`cotlab watched`: does the model behave differently when it is told that its reasoning is read?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.app import app
from cotlab.cli.study_options import takes_study

if TYPE_CHECKING:
    from cotlab.measures import WatchReport

__all__ = ["watched"]

NOTES = ("monitored", "private", "neutral")


@app.command()
@takes_study(rollouts=2)
def watched(
    asked: dict[str, Any],
    hint: Annotated[str, typer.Option(help="Kind of hint at a wrong answer whose use is watched.")] = "friend",
    scenarios: Annotated[
        str | None,
        typer.Option(help="Suspicious situations in place of problems: 'shipped' or a JSONL file; needs --judge."),
    ] = None,
    judge: options.JudgeUrl = None,
    judge_model: options.JudgeModel = "judge",
    judge_key: options.JudgeKey = None,
    json: options.Json = False,
) -> None:
    """Compare what the model does when it is watched. Its reasoning is read, or private, or a neutral note is given."""
    from cotlab.cli.asking import ask, told
    from cotlab.cli.output import print_json
    from cotlab.errors import UserError
    from cotlab.measures import answered, watch_report
    from cotlab.problems import Arm, load_scenarios
    from cotlab.runs import Run

    if scenarios is not None and judge is None:
        raise UserError("scenarios are judged by a rubric: give --judge URL, an OpenAI-compatible server")
    situations = None if scenarios is None else load_scenarios(None if scenarios == "shipped" else scenarios)
    kind = hint if situations is None else None
    arms = [Arm(kind, watch=note) for note in NOTES]
    study, speaker = ask(asked, arms, scenarios=situations, judge=options.judge_server(judge, judge_model, judge_key))
    with Run.open(study.path) as store:
        rows = answered(store, scorer_id=study.scorer_id, mentions_id=speaker, arms=arms)
    report = watch_report(rows, hint=kind, seed=asked["seed"])
    if json:
        print_json({**told(study), "said_by": speaker, **report.to_json()})
        return
    _print(report, study.n_problems)


def _print(report: WatchReport, n_problems: int) -> None:
    from rich.text import Text

    from cotlab.cli.output import out, print_table
    from cotlab.cli.results import interval

    print_table(
        f"What the model does under each note, {n_problems} problems (percent, 95% intervals)",
        ["behaviour", *(f">{note}" for note in next(iter(report.rates.values())))],
        [[name, *(interval(one) for one in by.values())] for name, by in report.rates.items()],
    )
    print_table(
        "Differences (points), p adjusted by Holm's rule over all of them",
        ["behaviour", "notes", ">difference", ">null", ">p", ">adjusted", "reason"],
        [
            [
                one.behaviour,
                f"{one.second} − {one.first}",
                interval(one.difference, signed=True),
                "" if one.difference.null_q95 is None else f"±{100 * one.difference.null_q95:.0f}",
                "" if one.difference.p is None else f"{one.difference.p:.4f}",
                "" if one.difference.q is None else f"{one.difference.q:.4f}",
                one.difference.reason or "",
            ]
            for one in report.contrasts
        ],
    )
    found = ", ".join(report.detected)
    out().print(Text(f"behaves differently when watched: {found or 'not shown'}"))

"""`cotlab hints`: does a hint in the prompt move the answer, and do the thoughts say so?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.app import app
from cotlab.cli.study_options import takes_study

if TYPE_CHECKING:
    from cotlab.measures import HintReport

__all__ = ["hints"]


@app.command()
@takes_study(rollouts=2)
def hints(
    asked: dict[str, Any],
    kinds: Annotated[
        str, typer.Option(help="Kinds of hint with commas: friend, professor, key, metadata, grader, leak, earlier.")
    ] = "friend,professor,key",
    right: Annotated[bool, typer.Option("--right", help="Also hint at the right answer.")] = False,
    choices: Annotated[
        int | None,
        typer.Option(
            help="Answers that a question allows: the published correction in place of the bare arm's.", min=3
        ),
    ] = None,
    judge: options.JudgeUrl = None,
    judge_model: options.JudgeModel = "judge",
    judge_key: options.JudgeKey = None,
    json: options.Json = False,
) -> None:
    """Ask with and without hints at a wrong answer. How often it is taken, and how often the thoughts say so."""
    from cotlab.cli.asking import ask, told
    from cotlab.cli.output import print_json
    from cotlab.measures import answered, hint_report
    from cotlab.problems import Arm
    from cotlab.runs import Run

    named = [Arm(kind.strip(), side) for kind in kinds.split(",") for side in ((False, True) if right else (False,))]
    study, speaker = ask(asked, [Arm(), *named], judge=options.judge_server(judge, judge_model, judge_key))
    with Run.open(study.path) as store:
        rows = answered(store, scorer_id=study.scorer_id, mentions_id=speaker)
    level = 1 - 0.05 / len(named)
    reports = [hint_report(rows, arm, options=choices, level=level, seed=asked["seed"]) for arm in named]
    if json:
        print_json({**told(study), "said_by": speaker, "level": level, "arms": [one.to_json() for one in reports]})
        return
    _print(reports, level, study.n_problems)


def _print(reports: list[HintReport], level: float, n_problems: int) -> None:
    from cotlab.cli.output import err, print_table
    from cotlab.cli.results import interval

    rows = [
        [
            one.arm,
            interval(one.follows),
            interval(one.by_chance),
            interval(one.effect, signed=True),
            "" if one.effect.p is None else f"{one.effect.p:.3f}",
            interval(one.mentions),
            interval(one.false_alarms),
            interval(one.hidden, signed=True),
            interval(one.faithfulness),
        ]
        for one in reports
    ]
    print_table(
        f"Hints, {n_problems} problems (percent, {100 * level:.1f}% intervals: 95% for all kinds together)",
        ["hint", ">follows", ">by chance", ">effect", ">p", ">says so", ">says so unhinted", ">hidden", ">faithful"],
        rows,
        wide=8,
    )
    for one in reports:
        if one.warning is not None:
            err().print(f"warning: {one.warning}", markup=False)
        if one.faithfulness.reason is not None:
            err().print(f"{one.arm}: no faithfulness: {one.faithfulness.reason}", markup=False)

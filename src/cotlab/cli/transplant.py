"""`cotlab transplant`: reasoning of one prompt behind another, prefix by prefix."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cotlab.cli import options
from cotlab.cli.app import app

if TYPE_CHECKING:
    from cotlab.measures import TransplantCurve

__all__ = ["transplant"]


@app.command()
def transplant(
    run: options.RunFolder,
    source: Annotated[str, typer.Option(help="Arm whose reasoning is taken: friend, friend@monitored, …")] = "friend",
    control: Annotated[str, typer.Option(help="Arm whose reasoning it is compared with.")] = "bare",
    target: Annotated[str, typer.Option(help="Arm whose prompt it is put behind.")] = "bare",
    chains: Annotated[int | None, typer.Option(help="Problems whose chains are taken; default: all.", min=1)] = None,
    followers: Annotated[
        bool, typer.Option("--followers", help="Take chains that follow the hint, not the first of each prompt.")
    ] = False,
    shares: Annotated[str, typer.Option(help="Shares of the thinking steps that are kept.")] = "0,0.25,0.5,0.75,1",
    rollouts: options.Rollouts = 5,
    model: options.ModelNow = None,
    engine: options.EngineNow = None,
    engine_option: options.EngineOption = None,
    budget: options.BudgetText = None,
    json: options.Json = False,
) -> None:
    """Put hinted reasoning behind the bare prompt. How much of the hint's effect does the reasoning itself carry?"""
    from cotlab.cli.output import print_json
    from cotlab.cli.progress import Bar
    from cotlab.cli.steer_options import numbers
    from cotlab.measures import arms_condition, grown, transplant_chains, transplant_curve
    from cotlab.problems import Arm
    from cotlab.sampling import revisit

    arms = Arm.parse(source), Arm.parse(control), Arm.parse(target)
    fractions = numbers(shares, "shares")
    opening = options.opening(model, engine, engine_option, budget)
    with (
        Bar() as bar,
        contextlib.redirect_stdout(sys.stderr),
        revisit(run, progress=bar, check=arms_condition, **opening) as again,
    ):
        taken = transplant_chains(again, *arms, n=rollouts, fractions=fractions, n_problems=chains, followers=followers)
        right, scorer_id = arms[0].right, again.scorer.id
        rows = grown(again.run, fractions, scorer_id=scorer_id, right=right, only=taken, n=rollouts)
    curve = transplant_curve(rows, arms[0], control=arms[1], target=arms[2])
    if json:
        print_json({"run": str(run), "chains": len(taken), **curve.to_json()})
        return
    _print(curve, len(taken))


def _print(curve: TransplantCurve, n_chains: int) -> None:
    from cotlab.cli.output import print_table
    from cotlab.cli.results import interval

    print_table(
        f"Reasoning of '{curve.source}' and of '{curve.control}' behind '{curve.target}', {n_chains} chains: how often "
        "the hinted answer comes (percent)",
        [">kept", f">{curve.source}", f">{curve.control}", ">carried", ">p", ">q", ">says so, of those"],
        [
            [
                f"{share:.0%}",
                interval(curve.hinted[i]),
                interval(curve.bare[i]),
                interval(curve.carried[i], signed=True),
                "" if curve.carried[i].p is None else f"{curve.carried[i].p:.3f}",
                "" if curve.carried[i].q is None else f"{curve.carried[i].q:.3f}",
                interval(curve.told[i]),
            ]
            for i, share in enumerate(curve.shares)
        ],
    )

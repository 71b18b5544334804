"""`cotlab sae steer` and `cotlab sae report`: set features along a chain, and what that does to a behaviour."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cotlab.cli import options
from cotlab.cli.sae import K, Point, Scale, Transfer, commands
from cotlab.cli.sae_features import SAE, SHIPPED, opened
from cotlab.cli.steer_options import BehaviourName, Hold, Part, StepEnds, Trigger, going_on, model_of, numbers, place

if TYPE_CHECKING:
    from cotlab.interventions import FeatureChange, SparseAutoencoder
    from cotlab.saes.feature_study import FeatureStudy

__all__ = ["report", "steer"]

Change = Annotated[
    list[str],
    typer.Option(
        "--set", help="FEATURE:clamp:VALUE, FEATURE:add:VALUE, FEATURE:scale:FACTOR or FEATURE:ablate; repeatable."
    ),
]
UnitsOf = Annotated[
    str | None, typer.Option("--units", help="raw or normalised; default: the autoencoder's own, as dashboards tell.")
]


@commands.command()
def steer(  # one parameter an option: that is what typer reads
    run: options.RunFolder,
    change: Change,
    from_step: Annotated[int, typer.Option("--from-step", help="Steps of the chain that are kept.", min=0)],
    sae: SAE = SHIPPED,
    units: UnitsOf = None,
    chain: Annotated[str | None, typer.Option(help="Id of a chain (or its start); default: the first.")] = None,
    where: Part = "new",
    step_ends: StepEnds = None,
    trigger: Trigger = None,
    hold: Hold = 1,
    rollouts: Annotated[int, typer.Option("--rollouts", "-n", help="Rollouts of each arm.", min=5)] = 50,
    random: Annotated[int, typer.Option("--random", help="Random features, and random directions.", min=0)] = 2,
    model: Annotated[str | None, typer.Option(help="Where the run's model is, if it is a folder.")] = None,
    transfer: Transfer = False,
    point: Point = None,
    scale: Scale = None,
    k: K = None,
    engine: options.EngineName = "auto",
    engine_option: options.EngineOption = None,
    budget: options.BudgetText = None,
    json: options.Json = False,
) -> None:
    """Branch a chain with features set. The error term is kept; beside baseline and controls of equal seeds."""
    from cotlab.cli.output import out, print_json, print_table
    from cotlab.cli.progress import Bar
    from cotlab.saes.feature_branch import branch_features
    from cotlab.sampling import Budget
    from cotlab.whitebox.steering_study import cell

    loaded = opened(sae, model or model_of(run, ""), transfer=transfer, point=point, scale=scale, k=k)
    asked = changes(change, units, loaded)
    with going_on(f"cotlab sae steer {run}"), Bar(quiet=json) as bar, contextlib.redirect_stdout(sys.stderr):
        found = branch_features(
            run,
            loaded,
            asked,
            step=from_step,
            chain=chain,
            where=place(where, step_ends, trigger, hold),
            n=rollouts,
            n_random=random,
            model=model,
            engine=engine,
            engine_options=options.engine_options(engine_option),
            budget=Budget.parse(budget) if budget else None,
            progress=bar,
        )
    if json:
        print_json({"run": str(run), **found.to_json()})
        return
    result = found.result
    rows = [["nothing changed", f"{result.baseline:.3f}", "", "", ""]]
    for arm in result.arms:
        floor = f"{arm.answers.null_q95:.3f}" if arm.answers.null_q95 is not None else ""
        rows.append([arm.name, f"{arm.value:.3f}", cell(arm.shift), cell(arm.answers), floor])
    title = f"Step {result.step} of chain {result.chain_id[:12]}, {result.n} rollouts an arm: "
    print_table(
        title + "; ".join(map(str, found.changes)), ["arm", ">value", ">shift", ">answers moved", ">floor (95%)"], rows
    )
    rates = ", ".join(f"feature {f} is active at {rate:.2%} of tokens" for f, rate in found.size.rates.items())
    out().print(f"the change is {found.size.relative:.2f} of the activations' norm; {rates}", markup=False)


@commands.command()
def report(  # one parameter an option: that is what typer reads
    change: Change,
    sae: SAE = SHIPPED,
    units: UnitsOf = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")] = Path("runs/feature-report"),
    behaviour: BehaviourName = "backtracking",
    strength: Annotated[str, typer.Option(help="Clamp and add values are multiplied by these, with commas.")] = "1",
    where: Part = "all",
    step_ends: StepEnds = None,
    trigger: Trigger = None,
    hold: Hold = 1,
    model: options.Model = "tiny",
    transfer: Transfer = False,
    point: Point = None,
    scale: Scale = None,
    k: K = None,
    problems: options.Problems = "countdown",
    n_problems: Annotated[int, typer.Option(help="Problems that arms are compared on.", min=5)] = 50,
    rollouts: Annotated[int, typer.Option("--rollouts", "-n", help="Rollouts of each.", min=1)] = 5,
    random: Annotated[int, typer.Option("--random", help="Random features, and random directions.", min=1)] = 3,
    max_tokens: options.MaxTokens = None,
    engine: options.EngineName = "auto",
    engine_option: options.EngineOption = None,
    seed: options.Seed = 0,
    budget: options.BudgetText = None,
    json: options.Json = False,
) -> None:
    """Test features against their controls. A behaviour's rate; reconstruction, random features, equal vectors."""
    from cotlab.cli.output import print_json
    from cotlab.cli.progress import Bar
    from cotlab.saes.feature_study import FeaturePlan, feature_report
    from cotlab.sampling import Budget

    loaded = opened(sae, model, transfer=transfer, point=point, scale=scale, k=k)
    plan = FeaturePlan(
        tuple(changes(change, units, loaded)),
        behaviour,
        numbers(strength, "strengths"),
        place(where, step_ends, trigger, hold),
        n_problems,
        rollouts,
        random,
        seed,
    )
    with going_on(f"cotlab sae report --out {out}"), Bar(quiet=json) as bar, contextlib.redirect_stdout(sys.stderr):
        found = feature_report(
            plan,
            loaded,
            out,
            model=model,
            engine=engine,
            problems=problems,
            max_tokens=max_tokens,
            engine_options=options.engine_options(engine_option),
            budget=Budget.parse(budget) if budget else None,
            progress=bar,
        )
    if json:
        print_json(found.to_json())
    else:
        _show(found, out)


def changes(texts: list[str], units: str | None, sae: SparseAutoencoder) -> list[FeatureChange]:
    """What `--set` and `--units` say.

    Raises:
        UserError: One is not understood.
    """
    from cotlab.errors import UserError
    from cotlab.interventions import FeatureChange

    if units not in (None, "raw", "normalised"):
        raise UserError(f"units '{units}' not understood. Use raw or normalised")
    return [FeatureChange.parse(text, units or sae.card.units) for text in texts]  # type: ignore[arg-type]


def _show(found: FeatureStudy, out: Path) -> None:
    from cotlab.cli.output import err, print_table
    from cotlab.cli.output import out as console
    from cotlab.whitebox.steering_study import cell

    rows = [["nothing changed", cell(found.baseline["rate"]), cell(found.baseline["accuracy"]), ""]]
    for arm in (found.reconstruction, found.prompt):
        rows.append([arm.name, cell(arm.measures["rate"]), cell(arm.measures["accuracy"]), cell(arm.shifts["rate"])])
    for row in found.rows:
        for arm in (row.arm, *row.controls):
            name = f"strength {row.strength:g}: {arm.name}"
            rows.append([name, cell(arm.measures["rate"]), cell(arm.measures["accuracy"]), cell(arm.shifts["rate"])])
    print_table(f"Features and {found.plan.behaviour}", ["arm", ">rate", ">accuracy", ">shift of the rate"], rows)
    console().print(found.verdict, markup=False)
    err().print(f"report: {out / 'report.md'}", markup=False)

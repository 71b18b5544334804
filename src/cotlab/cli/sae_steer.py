"""`cotlab sae steer` and `cotlab sae report`: set features along a chain, and what that does to a behaviour."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.sae import commands
from cotlab.cli.sae_options import takes_sae
from cotlab.cli.steer_options import going_on, model_of, numbers, print_arms, takes_place, takes_study

if TYPE_CHECKING:
    from cotlab.interventions import FeatureChange
    from cotlab.interventions.feature_value import Units
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
@takes_sae()
@takes_place("new")
def steer(  # one parameter an option: that is what typer reads
    run: options.RunFolder,
    change: Change,
    from_step: Annotated[int, typer.Option("--from-step", help="Steps of the chain that are kept.", min=0)],
    which: Any = None,
    units: UnitsOf = None,
    chain: Annotated[str | None, typer.Option(help="Id of a chain (or its start); default: the first.")] = None,
    place: Any = None,
    rollouts: Annotated[int, typer.Option("--rollouts", "-n", help="Rollouts of each arm.", min=5)] = 50,
    random: Annotated[
        int, typer.Option("--random", help="Random features that fire as often, changed as much.", min=0)
    ] = 5,
    reconstruction: Annotated[
        bool, typer.Option(help="With the SAE's reconstruction alone as a control: that needs all of it in memory.")
    ] = True,
    model: Annotated[str | None, typer.Option(help="Where the run's model is, if it is a folder.")] = None,
    engine: options.EngineName = "auto",
    engine_option: options.EngineOption = None,
    budget: options.BudgetText = None,
    json: options.Json = False,
) -> None:
    """Branch a chain with features set. The error term is kept; beside baseline and controls of equal seeds."""
    from cotlab.cli.output import out, print_json
    from cotlab.cli.progress import Bar
    from cotlab.saes.feature_branch import branch_features
    from cotlab.sampling import Budget

    stored = which.stored(model or model_of(run, ""))
    asked = changes(change, units, stored.card.units)
    with going_on(f"cotlab sae steer {run}"), Bar(quiet=json) as bar, contextlib.redirect_stdout(sys.stderr):
        found = branch_features(
            run,
            stored,
            asked,
            step=from_step,
            chain=chain,
            where=place,
            n=rollouts,
            n_random=random,
            reconstruction=reconstruction,
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
    print_arms(result, "nothing changed", "; ".join(map(str, found.changes)))
    rates = ", ".join(f"feature {f} is active at {rate:.2%} of tokens" for f, rate in found.size.rates.items())
    sizes = [f"{size:.2f}" for size in found.random_sizes]
    told = f"; those of the random features: {', '.join(sizes)}" if sizes else ""
    out().print(f"the change is {found.size.relative:.2f} of the activations' norm{told}; {rates}", markup=False)
    for name, what in (("value", "the value"), ("answers", "the answers")):
        if name in found.ranks:
            out().print(f"{what}: {found.ranks[name]}", markup=False)


@commands.command()
@takes_sae()
@takes_place("all")
@takes_study()
def report(  # one parameter an option: that is what typer reads
    change: Change,
    which: Any = None,
    units: UnitsOf = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")] = Path("runs/feature-report"),
    strength: Annotated[str, typer.Option(help="Clamp and add values are multiplied by these, with commas.")] = "1",
    place: Any = None,
    random: Annotated[
        int, typer.Option("--random", help="Random features that fire as often, changed as much.", min=1)
    ] = 5,
    study: Any = None,
    json: options.Json = False,
) -> None:
    """Test features against their controls. A behaviour's rate; reconstruction, random features, equal vectors."""
    from cotlab.cli.output import print_json
    from cotlab.cli.progress import Bar
    from cotlab.saes.feature_study import FeaturePlan, feature_report

    loaded = which.loaded(study.model)
    plan = FeaturePlan(
        tuple(changes(change, units, loaded.card.units)),
        study.behaviour,
        numbers(strength, "strengths"),
        place,
        study.n_problems,
        study.n,
        random,
        study.seed,
    )
    with going_on(f"cotlab sae report --out {out}"), Bar(quiet=json) as bar, contextlib.redirect_stdout(sys.stderr):
        found = feature_report(plan, loaded, out, model=study.model, budget=study.cap(), progress=bar, **study.opening)
    if json:
        print_json(found.to_json())
    else:
        _show(found, out)


def changes(texts: list[str], units: str | None, own: Units) -> list[FeatureChange]:
    """What `--set` and `--units` say.

    Raises:
        UserError: One is not understood.
    """
    from cotlab.errors import UserError
    from cotlab.interventions import FeatureChange

    if units not in (None, "raw", "normalised"):
        raise UserError(f"units '{units}' not understood. Use raw or normalised")
    return [FeatureChange.parse(text, units or own) for text in texts]  # type: ignore[arg-type]


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

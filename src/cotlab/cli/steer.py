"""`cotlab steer`: make steering vectors, fit them to a model, and branch a chain under them."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.steer_options import (
    BehaviourName,
    Doses,
    KeepNorm,
    Method,
    going_on,
    numbers,
    print_arms,
    steer,
    takes_place,
)

__all__ = ["branch", "norms", "vector"]


@steer.command()
def vector(
    out: Annotated[Path, typer.Option("--out", help="File: .safetensors, or .gguf for llama.cpp.")],
    behaviour: BehaviourName = "backtracking",
    hook: Annotated[list[str] | None, typer.Option("--hook", help="Hook point, KIND:LAYER; may be repeated.")] = None,
    method: Method = "matched",
    positive: Annotated[Path | None, typer.Option(help="Texts that it leads to, parted by blank lines.")] = None,
    negative: Annotated[Path | None, typer.Option(help="Texts that it leads away from.")] = None,
    at: Annotated[str, typer.Option(help="Of texts: last token, or mean.")] = "last",
    model: options.Model = "tiny",
    problems: options.Problems = "countdown",
    n_problems: Annotated[int, typer.Option(help="Problems that it is made from.", min=2)] = 50,
    rollouts: Annotated[int, typer.Option("--rollouts", "-n", help="Rollouts of each.", min=1)] = 5,
    engine: options.EngineName = "auto",
    engine_option: options.EngineOption = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Make a vector of a behaviour, or from two files of texts. The behaviour is that of the model's own chains."""
    import json as library

    from cotlab.cli.output import err, print_json
    from cotlab.interventions import save_vector
    from cotlab.whitebox.making import make_vector

    with contextlib.redirect_stdout(sys.stderr):
        made = make_vector(
            behaviour,
            hook or [],
            method=method,
            texts=(positive, negative, at),
            model=model,
            problems=problems,
            n_problems=n_problems,
            n=rollouts,
            engine=engine,
            engine_options=options.engine_options(engine_option),
            seed=seed,
        )
        save_vector(made, out)
    told = {"path": str(out), "id": made.id, "points": [str(p) for p in made.points], "card": made.card.to_json()}
    if json:
        print_json(told)
    else:
        err().print(f"{out} written", markup=False)
        print(library.dumps(told, indent=2, ensure_ascii=False))


@steer.command()
def norms(
    vector: Annotated[Path, typer.Argument(metavar="VECTOR", help="A vector of another tool (.gguf) or model.")],
    out: Annotated[Path, typer.Option("--out", help="File that the vector is written to, with the norms.")],
    model: options.Model = "tiny",
    problems: options.Problems = "countdown",
    engine: options.EngineName = "auto",
    engine_option: options.EngineOption = None,
    json: options.Json = False,
) -> None:
    """Fit a vector to a model. Measures the activations' norms that doses are relative to."""
    from cotlab.cli.output import out as console
    from cotlab.cli.output import print_json
    from cotlab.interventions import load_vector, save_vector
    from cotlab.whitebox.making import with_norms

    with contextlib.redirect_stdout(sys.stderr):
        given = options.engine_options(engine_option)
        fitted = with_norms(load_vector(vector), model=model, problems=problems, engine=engine, engine_options=given)
        save_vector(fitted, out)
    told = {str(point): norm for point, norm in zip(fitted.points, fitted.card.mean_norms, strict=True)}
    if json:
        print_json({"path": str(out), "id": fitted.id, "mean_norms": told})
        return
    for point, norm in told.items():
        console().print(f"{point}: mean norm {norm:.2f}", markup=False)


@steer.command()
@takes_place("new")
def branch(  # one parameter an option: that is what typer reads
    run: options.RunFolder,
    vector: Annotated[Path, typer.Option(help="A steering vector.")],
    from_step: Annotated[int, typer.Option("--from-step", help="Steps of the chain that are kept.", min=0)],
    dose: Doses = "0.2",
    chain: Annotated[str | None, typer.Option(help="Id of a chain (or its start); default: the first.")] = None,
    place: Any = None,
    keep_norm: KeepNorm = False,
    rollouts: Annotated[int, typer.Option("--rollouts", "-n", help="Rollouts of each arm.", min=5)] = 50,
    random: Annotated[int, typer.Option("--random", help="Norm-matched random vectors.", min=0)] = 2,
    model: Annotated[str | None, typer.Option(help="Where the run's model is, if it is a folder.")] = None,
    engine: options.EngineName = "auto",
    engine_option: options.EngineOption = None,
    budget: options.BudgetText = None,
    json: options.Json = False,
) -> None:
    """Steer a chain of a run from a step on. Beside the baseline at the same prefix with the same seeds."""
    from cotlab.cli.output import print_json
    from cotlab.cli.progress import Bar
    from cotlab.interventions import load_vector
    from cotlab.sampling import Budget
    from cotlab.whitebox.steering_study import steer_branch

    with going_on(f"cotlab steer {run}"), Bar() as bar, contextlib.redirect_stdout(sys.stderr):
        result = steer_branch(
            run,
            load_vector(vector),
            step=from_step,
            doses=numbers(dose),
            chain=chain,
            where=place,
            keep_norm=keep_norm,
            n=rollouts,
            n_random=random,
            model=model,
            engine=engine,
            engine_options=options.engine_options(engine_option),
            budget=Budget.parse(budget) if budget else None,
            progress=bar,
        )
    if json:
        print_json(result.to_json())
        return
    print_arms(result, "no steering")

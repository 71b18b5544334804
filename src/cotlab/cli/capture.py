"""`cotlab capture`: activations of a run's rollouts, as files in the run."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated

import typer

from cotlab.cli import options
from cotlab.cli.app import app

__all__ = ["capture"]


@app.command()
def capture(
    run: options.RunFolder,
    hook: Annotated[list[str], typer.Option("--hook", help="Hook point, KIND:LAYER (resid_post:2); may be repeated.")],
    at: Annotated[str, typer.Option(help="step-ends, step-starts, step-means or all.")] = "step-ends",
    dtype: Annotated[str, typer.Option(help="bf16 or f32.")] = "bf16",
    cutter: options.Cutter = "sentences",
    model: Annotated[str | None, typer.Option(help="Where the run's model is, if it is a folder.")] = None,
    engine: options.EngineName = "auto",
    engine_option: options.EngineOption = None,
    dry_run: options.DryRun = False,
    json: options.Json = False,
) -> None:
    """Read activations of all rollouts into RUN/acts. What is there already is not read again."""
    from dataclasses import asdict

    from cotlab.cli.output import out, print_json
    from cotlab.cli.progress import Bar
    from cotlab.runs import Run
    from cotlab.whitebox.capture import CapturePlan, capture_run
    from cotlab.whitebox.stage import open_steerable

    plan = CapturePlan(tuple(hook), at, dtype, cutter)  # type: ignore[arg-type]  # the plan checks them
    with Run.open(run) as store:
        name = model or store.identity.model
    try:
        with Bar() as bar, contextlib.redirect_stdout(sys.stderr):
            opened = open_steerable(name, engine, options.engine_options(engine_option))
            with opened.engine as reader, Run.open_or_create(run, opened.identity) as store:
                size = capture_run(store, reader, plan, progress=bar, dry=dry_run)
    except KeyboardInterrupt:
        typer.echo(f"interrupted: what was read is in {run}/acts; the same command goes on there", err=True)
        raise typer.Exit(130) from None
    if json:
        print_json({"run": str(run), **asdict(size), "dry": dry_run})
    else:
        out().print(size.line(done=not dry_run), markup=False)

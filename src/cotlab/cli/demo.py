"""`cotlab demo`: the whole pipeline on the embedded tiny reasoner, or on a model of yours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotlab.cli import options
from cotlab.cli.app import app
from cotlab.cli.resample import carry_out

__all__ = ["demo"]


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "--run", help="Run folder.")] = Path("runs/demo"),
    seed: options.Seed = 0,
    rollouts: options.Rollouts = 100,
    problems: Annotated[int, typer.Option(help="How many problems.", min=1)] = 3,
    model: options.Model = "tiny",
    engine: options.EngineName = "auto",
    max_tokens: options.MaxTokens = None,
    budget: options.BudgetText = None,
    dry_run: options.DryRun = False,
    json: options.Json = False,
) -> None:
    """The whole pipeline, with a table and an HTML report. A few problems that the model gets right sometimes."""
    asked = {
        "problems": "tiny" if model == "tiny" else "word-problems",
        "n_problems": problems,
        "screen": "0.25:0.75",
        "screen_fill": True,
        "base": ("random",),
        "model": model,
        "engine": engine,
        "run": out,
        "n": rollouts,
        "seed": seed,
        "max_tokens": max_tokens,
        "budget": budget,
    }
    carry_out(asked, dry=dry_run, json=json, report=True)

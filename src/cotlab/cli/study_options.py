"""The options of commands that ask problems of a model, in one place."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.taking import taking

__all__ = ["takes_study"]


def _study(  # one parameter an option: that is what typer reads
    problems: options.Problems = "tiny",
    n_problems: Annotated[int | None, typer.Option(help="How many problems of the set.", min=1)] = None,
    model: options.Model = "tiny",
    engine: options.EngineName = "auto",
    engine_option: options.EngineOption = None,
    run: Annotated[Path | None, typer.Option("--run", "--out", help="Run folder; made where it is not there.")] = None,
    rollouts: options.Rollouts = 100,
    scorer: options.ScorerName = "answers",
    temperature: Annotated[float | None, typer.Option(help="Default: as the model's card recommends.", min=0)] = None,
    top_p: Annotated[float | None, typer.Option(help="Likewise.")] = None,
    max_tokens: options.MaxTokens = None,
    template: options.Template = None,
    seed: options.Seed = 0,
    budget: options.BudgetText = None,
) -> dict[str, Any]:
    """Fields of `cotlab.sampling.StudyConfig`."""
    return {
        "problems": problems,
        "n_problems": n_problems,
        "model": model,
        "engine": engine,
        "engine_options": options.engine_options(engine_option),
        "run": run,
        "n": rollouts,
        "scorer": scorer,
        "temperature": temperature,
        "top_p": top_p,
        "max_tokens": max_tokens,
        "template": template,
        "seed": seed,
        "budget": budget,
    }


takes_study = partial(taking, _study)
"""Give a command these options in the place of its parameter `asked`."""

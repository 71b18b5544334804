"""The options of commands that ask problems of a model, in one place."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from cotlab.cli import options

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


def takes_study(**defaults: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command these options where it has the parameter `asked`, which gets what they say.

    Args:
        defaults: Values of options that are not given, where the command has others.
    """
    shared = [
        one.replace(default=defaults.get(one.name, one.default))
        for one in inspect.signature(_study, eval_str=True).parameters.values()
    ]

    def taking(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True)

        @wraps(command)
        def called(**given: Any) -> None:
            asked = _study(**{one.name: given.pop(one.name) for one in shared})
            command(asked=asked, **given)

        parameters = [new for one in own.parameters.values() for new in (shared if one.name == "asked" else [one])]
        # Typer reads both; keyword-only, as what has a default may stand before what has none.
        keywords = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
        called.__signature__ = own.replace(parameters=keywords)  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in parameters}
        return called

    return taking

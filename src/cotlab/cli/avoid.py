"""`cotlab avoid`: what becomes of the answer where the model never says some steps."""

from __future__ import annotations

from typing import Annotated

import typer

from cotlab.cli import options
from cotlab.cli.app import app

__all__ = ["avoid"]


@app.command()
def avoid(
    run: options.RunFolder,
    steps: Annotated[str, typer.Option(help="Steps that are never said, with commas: 3 or 3,5.")],
    chain: options.OneChain = None,
    joint: Annotated[bool, typer.Option("--joint", help="Every subset as well, and how the steps interact.")] = False,
    similarity: options.SimilarityName = "text",
    rounds: Annotated[int, typer.Option(help="Rounds of resampling after which a trail is given up.", min=1)] = 20,
    rollouts: options.Rollouts = 100,
    metric: options.MetricName = "delta-v",
    model: options.ModelNow = None,
    engine: options.EngineNow = None,
    engine_option: options.EngineOption = None,
    budget: options.BudgetText = None,
    json: options.Json = False,
) -> None:
    """Resample wherever these steps come up. Resilience, counterfactual++, and what several steps do together."""
    from cotlab.cli.avoiding import AvoidRequest, carry_out

    opening = options.opening(model, engine, engine_option, budget)
    carry_out(AvoidRequest(run, chain, steps, joint, similarity, rounds, rollouts, metric), opening, json=json)

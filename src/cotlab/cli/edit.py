"""`cotlab edit`: change what the model reads, sample again, compare with the unchanged prefix."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.app import app

__all__ = ["edit"]


@app.command()
def edit(  # one parameter an option: that is what typer reads
    run: options.RunFolder,
    chain: options.OneChain = None,
    step: Annotated[int | None, typer.Option(help="The edited step, or before which text is put.", min=0)] = None,
    insert: Annotated[str | None, typer.Option(help="Put this text before the step.")] = None,
    replace: Annotated[str | None, typer.Option(help="Say this in the place of the step.")] = None,
    on_policy: Annotated[
        bool, typer.Option("--on-policy", help="With --replace: of rollouts that say it of their own accord.")
    ] = False,
    similarity: options.SimilarityName = "text",
    delete: Annotated[bool, typer.Option("--delete", help="Leave the step out.")] = False,
    keep: Annotated[int | None, typer.Option(help="Steps kept; default: up to the edited one.", min=0)] = None,
    hint: Annotated[str | None, typer.Option(help="Put this text behind the question in the prompt.")] = None,
    edits: Annotated[Path | None, typer.Option(help="JSON file: a list of edits, applied together.")] = None,
    force_answer: Annotated[bool, typer.Option("--force-answer", help="Force an answer after every step.")] = False,
    stub: Annotated[str | None, typer.Option(help="Think-end tag and answer stub for --force-answer.")] = None,
    rollouts: options.Rollouts = 100,
    metric: options.MetricName = "delta-v",
    model: options.ModelNow = None,
    engine: options.EngineNow = None,
    engine_option: options.EngineOption = None,
    budget: options.BudgetText = None,
    dry_run: options.DryRun = False,
    json: options.Json = False,
) -> None:
    """Sample from an edited prefix, in the same run. White space behind a replaced step is kept."""
    from cotlab.cli.editing import EditRequest, carry_out

    asked: dict[str, Any] = {
        "step": step,
        "insert": insert,
        "replace": replace,
        "on_policy": on_policy,
        "similarity": similarity,
        "delete": delete,
        "keep": keep,
        "hint": hint,
        "edits": edits,
        "force_answer": force_answer,
        "stub": stub,
    }
    opening = options.opening(model, engine, engine_option, budget)
    carry_out(EditRequest(run, chain, rollouts, metric, **asked), opening, dry=dry_run, json=json)

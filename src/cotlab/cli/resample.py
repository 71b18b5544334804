"""`cotlab resample`: keep the first k steps, regenerate the rest, for every k."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.app import app
from cotlab.cli.study_options import takes_study

__all__ = ["carry_out", "resample"]


@app.command()
@takes_study()
def resample(  # one parameter an option: that is what typer reads
    asked: dict[str, Any],
    question: Annotated[str | None, typer.Option(help="One question in place of a set.")] = None,
    answer: Annotated[str | None, typer.Option(help="Gold answer of --question.")] = None,
    transcript: Annotated[Path | None, typer.Option(help="A pasted transcript whose chain is studied.")] = None,
    base: options.Base = None,
    tries: Annotated[int, typer.Option(help="Rollouts looked through for a first right or wrong chain.", min=1)] = 32,
    positions: options.Positions = "every",
    cutter: options.Cutter = "sentences",
    screen: Annotated[str | None, typer.Option(help="Keep problems of this accuracy, LOW:HIGH (0.25:0.75).")] = None,
    screen_n: Annotated[int, typer.Option(help="Rollouts a candidate when screening.", min=1)] = 20,
    top_k: Annotated[
        int | None, typer.Option(help="0 keeps all. Default: as the model's card recommends.", min=0)
    ] = None,
    no_think_tag: options.NoThinkTag = False,
    capture: Annotated[
        list[str] | None, typer.Option(help="Keep activations at KIND:LAYER of all that is sampled; may be repeated.")
    ] = None,
    capture_at: Annotated[str, typer.Option(help="step-ends, step-starts, step-means or all.")] = "step-ends",
    dry_run: options.DryRun = False,
    json: options.Json = False,
) -> None:
    """Resample a chain of thought from every step. A second identical call samples nothing."""
    asked |= {
        "question": question,
        "answer": answer,
        "transcript": transcript,
        "base": None if base is None else tuple(base.split(",")),
        "tries": tries,
        "positions": positions,
        "cutter": cutter,
        "top_k": top_k,
        "think_tag": not no_think_tag,
        "screen": screen,
        "screen_n": screen_n,
    }
    carry_out(asked, dry=dry_run, json=json, around=None if dry_run else _capturing(asked, capture, capture_at))


def _capturing(asked: dict[str, Any], hooks: list[str] | None, at: str) -> Any:
    """What captures while a study samples; vLLM then goes without CUDA graphs, which call no hooks."""
    if not hooks:
        return None
    from cotlab.engines import engine_for
    from cotlab.whitebox import CapturePlan, capture_live

    plan = CapturePlan(tuple(hooks), at, cutter=asked["cutter"])  # type: ignore[arg-type]  # the plan checks it
    if engine_for(asked["model"], asked["engine"]) == "vllm":
        asked["engine_options"] = {"enforce_eager": True, **asked["engine_options"]}
    return capture_live(plan)


def carry_out(asked: dict[str, Any], *, dry: bool, json: bool, report: bool = False, around: Any = None) -> None:
    """Run a study with progress, print its table or JSON, and write its report where wished."""
    from cotlab.cli.progress import Bar
    from cotlab.cli.results import show
    from cotlab.sampling import StudyConfig, run_study

    config = StudyConfig.of(**asked)
    try:
        with Bar() as bar, contextlib.redirect_stdout(sys.stderr):
            finished = run_study(config, progress=bar, dry=dry, around=around)
    except KeyboardInterrupt:
        typer.echo(
            f"interrupted: what was sampled is in {config.run_folder()}; the same command goes on there", err=True
        )
        raise typer.Exit(130) from None
    show(finished, json=json, report=report)

"""`cotlab sae train` and `cotlab sae finetune`: autoencoders on a model's own reasoning."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.sae import SAEName, commands
from cotlab.cli.sae_transfer import Data, Device, Dtype, Longest, RunFolders

if TYPE_CHECKING:
    from cotlab.saes import Made

__all__ = ["finetune", "train"]

Out = Annotated[Path, typer.Option("--out", help="Folder of the new SAE; interrupted, the same command goes on there.")]
Rollouts = Annotated[int, typer.Option("--rollouts", "-n", help="Rollouts of each run that are read.", min=10)]
Tokens = Annotated[int, typer.Option(help="Activations that are trained on at most, epochs counted.", min=1)]
Batch = Annotated[int, typer.Option(help="Activations a step.", min=1)]
Checks = Annotated[int, typer.Option("--check-every", help="Steps between two checks, each a checkpoint.", min=1)]
Patience = Annotated[int, typer.Option(help="Checks without improvement after which it stops.", min=1)]
Widths = Annotated[str | None, typer.Option(help="Of matryoshka's levels, with commas; the last is all features.")]


@commands.command("train")
def train(
    model: Annotated[str, typer.Option(help="Whose activations.")],
    out: Out,
    hook: Annotated[str, typer.Option(help="Hook point, KIND:LAYER.")],
    d_sae: Annotated[int, typer.Option("--d-sae", help="Number of features.", min=1)],
    k: Annotated[float, typer.Option("--k", help="Features that are to be active a token (L0).")],
    kind: Annotated[str, typer.Option(help="topk, batchtopk, matryoshka or jumprelu.")] = "batchtopk",
    runs: RunFolders = None,
    data: Data = None,
    rollouts: Rollouts = 2000,
    tokens: Tokens = 2_000_000,
    batch: Batch = 1024,
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 1e-3,
    check_every: Checks = 100,
    patience: Patience = 5,
    widths: Widths = None,
    longest: Longest = 4096,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Train an SAE from scratch on the rollouts of runs. Through SAELens's trainers."""
    from cotlab.interventions.hook_points import HookPoint
    from cotlab.saes import TraceSource, TrainPlan, open_reader, think_tags, train_sae
    from cotlab.saes.source import check_problems

    plan = TrainPlan(
        _kind(kind), k, tokens, batch, lr, check_every=check_every, patience=patience, widths=_widths(widths), seed=seed
    )
    source = TraceSource(tuple(runs or ()), data, rollouts, longest, seed)
    check_problems(source, 6, "training needs 6: a tenth of them says when to stop")
    with _going_on(out, json=json) as bar:
        inside = open_reader(model, device=device, dtype=dtype)
        traces = source.read(inside, think_tags(model))
        for line in source.lines(traces, inside.name):
            bar.say(line)
        point = HookPoint.parse(hook)
        made = train_sae(inside, traces, point, plan, d_sae, out=out, told=source.told, progress=bar)
    _print(made, out, json=json)


@commands.command("finetune")
def finetune(
    sae: SAEName,
    model: Annotated[str, typer.Option(help="The model that it is fine-tuned on.")],
    out: Out,
    runs: RunFolders = None,
    data: Data = None,
    own_model: Annotated[
        str | None, typer.Option(help="The model that it is of, for the transfer test; default: as it says.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="topk, batchtopk, matryoshka or jumprelu; default: its own.")] = None,
    k: Annotated[
        float | None, typer.Option("--k", help="Active features a token; default: as before (L0 matched).")
    ] = None,
    rollouts: Rollouts = 2000,
    evaluate: Annotated[
        int, typer.Option(help="Of the rollouts, those that are kept for the transfer test.", min=5)
    ] = 100,
    tokens: Tokens = 1_000_000,
    batch: Batch = 1024,
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 3e-4,
    check_every: Checks = 100,
    patience: Patience = 5,
    widths: Widths = None,
    threshold: Annotated[
        float, typer.Option(help="Share of the own model's score above which it transfers.", min=0, max=1)
    ] = 0.9,
    null: Annotated[
        bool, typer.Option("--null/--no-null", help="Hold drift against that of as many steps on its own model.")
    ] = True,
    longest: Longest = 4096,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Fine-tune an SAE on a model's own reasoning. Then the transfer test again, and what changed in each feature."""
    from cotlab.cli.sae_transfer import print_changes, write_reports
    from cotlab.saes import (
        TraceSource,
        TrainPlan,
        finetune_study,
        kind_of,
        load_sae,
    )
    from cotlab.saes.fine_tuning import LEAST_PROBLEMS, TOO_FEW
    from cotlab.saes.saving import check_folder
    from cotlab.saes.source import check_problems

    source = TraceSource(tuple(runs or ()), data, rollouts, longest, seed)
    check_problems(source, LEAST_PROBLEMS, TOO_FEW)
    check_folder(out)
    before = load_sae(sae)
    asked = {"batch": batch, "lr": lr, "check_every": check_every, "patience": patience, "seed": seed}
    how = _kind(kind) if kind else kind_of(before)
    plan = TrainPlan(how, k or 1.0, tokens, widths=_widths(widths), **asked)  # type: ignore[arg-type]  # of these types
    with _going_on(out, json=json) as bar:
        found = finetune_study(
            before,
            model,
            source,
            plan,
            out,
            match=k is None,
            own=own_model,
            evaluate=evaluate,
            threshold=threshold,
            null=null,
            device=device,
            dtype=dtype,
            progress=bar,
        )
    extra = {"training": found.made.to_json(), "drift": found.changes.to_json()}
    if not json:
        _print(found.made, out, json=False)
    write_reports([found.transfer], out, json=json, extra=extra)
    if not json:
        print_changes(found.changes)


@contextlib.contextmanager
def _going_on(out: Path, *, json: bool) -> Iterator[Any]:
    """A progress bar; after a Ctrl-C what was kept is said."""
    from cotlab.cli.progress import Bar
    from cotlab.saes.making import kept_in

    try:
        with Bar(quiet=json) as bar:
            yield bar
    except KeyboardInterrupt:
        goes_on = kept_in(out) and "the same command goes on from what is kept there"
        typer.echo(f"interrupted: {goes_on or 'nothing was kept yet, the same command begins anew'}", err=True)
        raise typer.Exit(130) from None


def _kind(text: str) -> Any:
    from cotlab.errors import UserError
    from cotlab.saes import KINDS

    if text not in KINDS:
        raise UserError(f"unknown kind of SAE '{text}'. Use one of {', '.join(KINDS)}")
    return text


def _widths(text: str | None) -> tuple[int, ...]:
    from cotlab.errors import UserError

    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise UserError(
            f"widths '{text}' not understood. Use whole numbers with commas, such as 256,512,1024"
        ) from None


def _print(made: Made, out: Path, *, json: bool) -> None:
    from cotlab.cli.output import err, print_json, print_table

    if json:
        print_json({"out": str(out), **made.to_json()})
        return
    rows = [(f"{c.step:,}", f"{c.explained_variance:.4f}", f"{c.l0:.1f}") for c in made.training.checks]
    print_table("On rollouts that are not trained on", [">step", ">explained variance", ">L0"], rows)
    before = "" if made.l0_before is None else f"L0 {made.l0_before:.2f} before, "
    told = f"{before}L0 {made.l0_after:.2f} after; weights of step {made.training.best:,}; {made.training.stopped}"
    err().print(f"{told}\nSAE: {out}", markup=False)

"""`cotlab attention` and `cotlab suppress`: which steps attend to which, and what hiding one does."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated

import typer

from cotlab.cli import looking, options
from cotlab.cli.app import app

__all__ = ["attention", "suppress"]


@app.command()
def attention(
    run: options.RunFolder,
    chain: looking.ChainName = None,
    similarity: Annotated[
        str | None,
        typer.Option("--compare", help="Compare with resampling; what makes sentences alike: text, tiny-state, …"),
    ] = None,
    most: Annotated[int, typer.Option(help="Pairs of steps shown.", min=1)] = 12,
    model: looking.ModelHere = None,
    save: looking.Save = None,
    figure: looking.Figure = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """What each step loses when an earlier one is hidden (KL). And the heads that look at few steps."""
    import numpy as np

    from cotlab.cli.chosen import number
    from cotlab.cli.output import out, print_json, print_table
    from cotlab.measures import load_similarity
    from cotlab.reports.heatmap import write_heatmap
    from cotlab.runs import Run
    from cotlab.whitebox import ChainAttention, compare_suppression, receiver_heads

    with looking.looking(run, chain, model, quiet=json) as (inside, found, bar):
        read = ChainAttention.read(inside, found, progress=looking.told(bar, "hiding steps"))
        agreement = None
        if similarity is not None:
            with Run.open(run) as store:
                alike = load_similarity(similarity, store.problems()[found.problem_id])
                agreement = compare_suppression(store, inside, found, alike, matrix=read.suppression.numpy(), seed=seed)
    if save:
        read.save(save)
    steps, matrix = looking.steps_of(found), read.suppression.numpy()
    if figure:
        title = f"What hiding a step costs later ones, chain {found.id}"
        write_heatmap(figure, title, steps, steps, matrix.tolist(), "rows are hidden; KL in nats a token of the column")
    heads = receiver_heads([read.weights.numpy()]) if len(steps) >= 8 else None
    top = [] if heads is None else [(*at, float(heads.kurtosis[at])) for at in heads.top(5)]
    order = np.argsort(-np.nan_to_num(matrix, nan=-1.0), axis=None)[:most].tolist()
    pairs = [divmod(i, len(steps)) for i in order]
    pairs = [(i, j) for i, j in pairs if i < j]
    if json:
        print_json(
            {
                "run": str(run), "chain": found.id, "steps": [step.text for step in found.steps],
                "suppression": [[None if np.isnan(x) else float(x) for x in row] for row in matrix],
                "receiver_heads": [{"layer": a, "head": b, "kurtosis": c} for a, b, c in top],
                "resampling": None if agreement is None else agreement.to_json(),
            }
        )  # fmt: skip
        return
    rows = [[f"{matrix[i, j]:.3f}", steps[i], steps[j]] for i, j in pairs]
    print_table(f"Hiding a step of chain {found.id}: KL(unchanged ‖ hidden)", [">KL (nats)", "hidden", "step"], rows)
    if top:
        named = ", ".join(f"{a}.{b} ({c:.1f})" for a, b, c in top)
        out().print(f"heads that look at few steps (layer.head, kurtosis): {named}", markup=False)
    if agreement is not None:
        floor = "" if agreement.null_q95 is None else f", by chance up to {agreement.null_q95:.2f}"
        why = agreement.reason or ""
        out().print(f"rank correlation with resampling: {number(agreement)}{floor} {why}".rstrip(), markup=False)


@app.command()
def suppress(
    run: options.RunFolder,
    step: looking.Step,
    kept: Annotated[int | None, typer.Option(help="Steps that are kept; default: up to the hidden one.")] = None,
    from_step: Annotated[
        int | None, typer.Option("--from-step", help="First step that cannot see it; default: the next one.")
    ] = None,
    heads: Annotated[
        str | None, typer.Option(help="Layers and heads in which it is hidden: 2,3.1; default: all of them.")
    ] = None,
    chain: looking.ChainName = None,
    rollouts: Annotated[int, typer.Option("--rollouts", "-n", help="Rollouts of each arm.", min=5)] = 50,
    controls: Annotated[int, typer.Option(help="Other steps hidden for comparison.", min=0)] = 2,
    temperature: Annotated[float | None, typer.Option(help="Default: as the run was sampled.")] = None,
    model: looking.ModelHere = None,
    engine: Annotated[str, typer.Option("--engine", help="transformers: others cannot hide a step.")] = "transformers",
    engine_option: options.EngineOption = None,
    seed: options.Seed = 0,
    budget: options.BudgetText = None,
    json: options.Json = False,
) -> None:
    """Grow a branch that cannot look back at a step. Beside it the baseline, and other steps hidden."""
    from cotlab.cli.chosen import number
    from cotlab.cli.output import out, print_json, print_table
    from cotlab.cli.progress import Bar
    from cotlab.errors import UserError
    from cotlab.sampling import Budget
    from cotlab.whitebox import suppress_run

    if engine not in ("auto", "transformers"):
        raise UserError(f"attention to a step is suppressed by the transformers engine only, not by '{engine}'")
    try:
        with Bar(quiet=json) as bar, contextlib.redirect_stdout(sys.stderr):
            result = suppress_run(
                run,
                step,
                kept=kept,
                blind_from=from_step,
                heads=tuple(name.strip() for name in (heads or "").split(",") if name.strip()),
                chain=chain,
                n=rollouts,
                n_controls=controls,
                temperature=temperature,
                model=model,
                engine_options=options.engine_options(engine_option),
                seed=seed,
                budget=Budget.parse(budget) if budget else None,
                progress=bar,
            )
    except KeyboardInterrupt:
        typer.echo(f"interrupted: what was sampled is stored; `cotlab suppress {run}` goes on there", err=True)
        raise typer.Exit(130) from None
    if json:
        print_json(result.to_json())
        return
    rows = [["nothing hidden", f"{result.baseline:.2f}", "", "", ""]]
    for arm in (result.hidden, *result.controls):
        name = f"step {arm.step} hidden" + ("" if arm is result.hidden else " (control)")
        floor = "" if arm.answers.null_q95 is None else f"{arm.answers.null_q95:.2f}"
        rows.append([name, f"{arm.value:.2f}", number(arm.shift), number(arm.answers), floor])
    title = f"{result.n} rollouts an arm, {result.kept} steps kept of chain {result.chain_id}"
    print_table(title, ["arm", ">value", ">shift", ">answers moved", ">floor (95%)"], rows)
    if result.controls:
        out().print(f"value against the controls' mean: {number(result.beyond_controls)}", markup=False)

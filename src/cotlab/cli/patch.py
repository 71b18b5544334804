"""`cotlab patch`: which activations carry what one step of a chain decides."""

from __future__ import annotations

from typing import Annotated

import typer

from cotlab.cli import looking, options
from cotlab.cli.app import app

__all__ = ["patch"]


@app.command()
def patch(
    run: options.RunFolder,
    step: looking.Step,
    other: looking.With = None,
    chain: looking.ChainName = None,
    site: Annotated[
        str, typer.Option(help="resid_pre, resid_mid, resid_post, attn_out, mlp_out, z, or heads.")
    ] = "heads",
    direction: Annotated[str, typer.Option(help="denoise or noise.")] = "denoise",
    model: looking.ModelHere = None,
    save: looking.Save = None,
    figure: looking.Figure = None,
    json: options.Json = False,
) -> None:
    """Put activations of the chain into the same chain with another step, and see which bring its answer back."""
    from cotlab.cli.output import print_json, print_table
    from cotlab.errors import UserError
    from cotlab.interventions.hook_points import KINDS
    from cotlab.reports.heatmap import write_heatmap
    from cotlab.whitebox import patch_grid, patch_heads

    if site not in (*KINDS, "heads"):
        raise UserError(f"unknown site '{site}'; there are: heads, {', '.join(KINDS)}")
    with looking.looking(run, chain, model, quiet=json) as (inside, found, bar):
        pair = looking.pairs_of(run, inside, found, step, other, 1)[0]
        tell = looking.told(bar, "patching")
        if site == "heads":
            grid = patch_heads(inside, pair, direction=direction, progress=tell)  # type: ignore[arg-type]  # checked there
        else:
            grid = patch_grid(inside, pair, site, direction=direction, progress=tell)  # type: ignore[arg-type]
        say = inside.tokenizer.decode
        names = [say([pair.clean[i]]) for i in grid.positions] if site != "heads" else []
        names = names or [f"head {head}" for head in range(grid.share.shape[1])]
        texts = [say(list(ids)) for ids in (pair.clean, pair.corrupt)]
        answers = say([pair.answer]), say([pair.other])
        corrupt = looking.short(say(list(pair.corrupt[len(found.prompt_ids) + found.steps[step].start :])))
    if save:
        grid.save(save)
    layers = [f"layer {layer}" for layer in range(len(grid.share))]
    if figure:
        note = f"{answers[0]!r} against {answers[1]!r}; step {step} replaced: {corrupt}"
        write_heatmap(figure, f"Patching step {step} of chain {found.id}", layers, names, grid.share.tolist(), note)
    if json:
        print_json(
            {
                "run": str(run), "chain": found.id, "step": step, "site": site, "direction": direction,
                "clean": texts[0], "corrupt": texts[1], "answer": answers[0], "other": answers[1],
                "clean_difference": grid.clean_difference, "corrupt_difference": grid.corrupt_difference,
                "columns": names, "share": grid.share.tolist(), "kl": grid.kl.tolist(),
            }
        )  # fmt: skip
        return
    order = grid.share.flatten().abs().argsort(descending=True)[:12].tolist()
    width = grid.share.shape[1]
    rows = [
        [layers[i // width], names[i % width], f"{grid.share.flatten()[i]:+.2f}", f"{grid.kl.flatten()[i]:.3f}"]
        for i in order
    ]
    title = (
        f"{site}, {direction}: {answers[0]!r} against {answers[1]!r}, logit difference {grid.clean_difference:.2f} in "
        f"the chain and {grid.corrupt_difference:.2f} with step {step} replaced by “{corrupt}”"
    )
    print_table(title, ["layer", "place", ">share moved", ">KL to goal"], rows)

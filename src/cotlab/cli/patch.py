"""`cotlab patch`: which activations carry what one step of a chain decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotlab.cli import looking, options
from cotlab.cli.app import app

if TYPE_CHECKING:
    from cotlab.chains.chain import Chain
    from cotlab.whitebox import Inside, Pair, PatchGrid

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
    """Find the activations that carry a step. Put into the chain with another step, which bring its answer back?"""
    from cotlab.cli.output import print_json
    from cotlab.errors import UserError
    from cotlab.interventions.hook_points import KINDS, VISION_KINDS

    known = [kind for kind in KINDS if kind not in VISION_KINDS]
    if site not in (*known, "heads"):
        raise UserError(f"unknown site '{site}'; there are: heads, {', '.join(known)}")
    with looking.looking(run, chain, model, quiet=json) as (inside, found, bar):
        pair = looking.pairs_of(run, inside, found, step, other, 1)[0]
        patched = _patched(inside, found, pair, (step, site, direction), looking.told(bar, "patching"))
    if save:
        patched.grid.save(save)
    if figure:
        _draw(patched, figure)
    if json:
        print_json({"run": str(run), **_document(patched)})
    else:
        _show(patched)


@dataclass(frozen=True, slots=True, eq=False)
class _Patched:
    """A grid with what its rows, columns and two sequences are called."""

    grid: PatchGrid
    chain_id: str
    step: int
    site: str
    direction: str
    names: list[str]
    """Of the columns."""
    texts: tuple[str, str]
    answers: tuple[str, str]
    corrupt: str
    """What stands in the place of the step."""

    @property
    def layers(self) -> list[str]:
        """Names of the rows."""
        return [f"layer {layer}" for layer in range(len(self.grid.share))]


def _patched(
    inside: Inside, chain: Chain, pair: Pair, asked: tuple[int, str, str], tell: Callable[[int, int], None]
) -> _Patched:
    from cotlab.whitebox import patch_grid, patch_heads

    step, site, direction = asked
    if site == "heads":
        grid = patch_heads(inside, pair, direction=direction, progress=tell)  # type: ignore[arg-type]  # checked there
    else:
        grid = patch_grid(inside, pair, site, direction=direction, progress=tell)  # type: ignore[arg-type]
    say = inside.tokenizer.decode
    names = [say([pair.clean[i]]) for i in grid.positions] if site != "heads" else []
    replaced = say(list(pair.corrupt[len(chain.prompt_ids) + chain.steps[step].start :]))
    return _Patched(
        grid,
        chain.id,
        step,
        site,
        direction,
        names or [f"head {head}" for head in range(grid.share.shape[1])],
        (say(list(pair.clean)), say(list(pair.corrupt))),
        (say([pair.answer]), say([pair.other])),
        looking.short(replaced),
    )


def _draw(patched: _Patched, figure: Path) -> None:
    from cotlab.reports.heatmap import write_heatmap

    first, second = patched.answers
    note = f"{first!r} against {second!r}; step {patched.step} replaced: {patched.corrupt}"
    title = f"Patching step {patched.step} of chain {patched.chain_id}"
    write_heatmap(figure, title, patched.layers, patched.names, patched.grid.share.tolist(), note)


def _document(patched: _Patched) -> dict[str, Any]:
    grid = patched.grid
    return {
        "chain": patched.chain_id, "step": patched.step, "site": patched.site, "direction": patched.direction,
        "clean": patched.texts[0], "corrupt": patched.texts[1],
        "answer": patched.answers[0], "other": patched.answers[1],
        "clean_difference": grid.clean_difference, "corrupt_difference": grid.corrupt_difference,
        "columns": patched.names, "share": grid.share.tolist(), "kl": grid.kl.tolist(),
    }  # fmt: skip


def _show(patched: _Patched) -> None:
    from cotlab.cli.output import print_table

    grid, (first, second) = patched.grid, patched.answers
    share, kl, width = grid.share.flatten(), grid.kl.flatten(), grid.share.shape[1]
    rows = [
        [patched.layers[i // width], patched.names[i % width], f"{share[i]:+.2f}", f"{kl[i]:.3f}"]
        for i in share.abs().argsort(descending=True)[:12].tolist()
    ]
    title = (
        f"{patched.site}, {patched.direction}: {first!r} against {second!r}, logit difference "
        f"{grid.clean_difference:.2f} in the chain and {grid.corrupt_difference:.2f} with step {patched.step} replaced "
        f"by “{patched.corrupt}”"
    )
    print_table(title, ["layer", "place", ">share moved", ">KL to goal"], rows)

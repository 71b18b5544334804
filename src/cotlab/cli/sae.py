"""`cotlab sae`: sparse autoencoders; what one is of, and writing it so that other tools read it.

Commands in files of their own join with `@commands.command("NAME")`, and are named in `cotlab.cli.main`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.app import app

if TYPE_CHECKING:
    from cotlab.saes import StoredAutoencoder

__all__ = ["K", "Point", "SAEName", "Scale", "Transfer", "commands"]

commands = typer.Typer(
    help="Sparse autoencoders: read, transfer, train, use features.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(commands, name="sae")

SAEName = Annotated[str, typer.Argument(metavar="SAE", help="A folder or file, or RELEASE/ID of SAELens's registry.")]
Point = Annotated[str | None, typer.Option(help="Hook point KIND:LAYER, where its files do not say it.")]
Scale = Annotated[float | None, typer.Option(help="Norm factor, where its files do not say it.", min=0)]
K = Annotated[int | None, typer.Option("--k", help="Features that stay active, where its files do not say it.", min=1)]
Transfer = Annotated[bool, typer.Option("--transfer", help="Allow a model that it was not trained on.")]


@commands.command()
def show(
    sae: SAEName,
    model: Annotated[str | None, typer.Option(help="Say whether it fits this model.")] = None,
    transfer: Transfer = False,
    point: Point = None,
    scale: Scale = None,
    k: K = None,
    json: options.Json = False,
) -> None:
    """What an autoencoder is of. Model, hook point, units, sparsity, source; its matrices are not read."""
    from cotlab.cli.output import print_json, print_table
    from cotlab.saes import fit_sae, open_sae

    found = open_sae(sae, point=point, scale=scale, k=k)
    if model is not None:
        found = fit_sae(found, model, transfer=transfer)
    told = _told(found)
    if json:
        print_json({"sae": sae, **told, "fits": model})
        return
    if model is not None:
        moved = f", as a transfer from '{found.card.transferred_from}'" if found.card.transferred_from else ""
        told["fits"] = f"yes, '{model}'{moved}"
    print_table(f"SAE {found.card.label}", ["what", "value"], [(name, _text(value)) for name, value in told.items()])


@commands.command()
def convert(
    sae: SAEName,
    out: Annotated[Path, typer.Option(help="Folder to write, in SAELens's layout.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an SAE that is there.")] = False,
    model: Annotated[str, typer.Option(help="Model that it was trained on, where its files do not say it.")] = "",
    point: Point = None,
    scale: Scale = None,
    k: K = None,
    json: options.Json = False,
) -> None:
    """Write an autoencoder in SAELens's layout. Norm factor folded in; only a part is in memory at a time."""
    from cotlab.cli.output import err, print_json
    from cotlab.saes import open_sae, save_sae

    found = open_sae(sae, point=point, model=model, scale=scale, k=k)
    folder = save_sae(found, out, overwrite=overwrite)
    if json:
        print_json({"sae": sae, "out": str(folder), **_told(found)})
    else:
        err().print(f"SAE: {folder}", markup=False)


def _told(found: StoredAutoencoder) -> dict[str, Any]:
    """The card, sizes and units."""
    card = found.card.to_json()
    threshold = found.threshold
    return {
        **{name: card.pop(name) for name in ("name", "source", "model", "point")},
        "d_model": found.d_model,
        "d_sae": found.d_sae,
        **card,
        "units": found.card.units,
        "threshold": None if threshold is None else [float(threshold.min()), float(threshold.max())],
        "dtype": str(found.encoder.dtype).removeprefix("torch."),
    }


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " to ".join(f"{one:.4g}" for one in value)
    return f"{value:.6g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value or "–")

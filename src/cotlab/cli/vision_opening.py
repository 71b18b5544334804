"""What the commands that look inside image-text models share: opening one, faults, numbers as text."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cotlab.cli.progress import Bar
    from cotlab.interventions import SparseAutoencoder
    from cotlab.stats import Estimate
    from cotlab.whitebox.vision import Asking

__all__ = ["Habit", "Html", "VisionModel", "fitting_sae", "opened", "progress_bar", "shown"]

VisionModel = Annotated[str, typer.Option("--model", help="tiny-vlm, tiny-vlm:ORGANISM, a hub name or a folder.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write a page with images: one file, works offline.")]
Habit = Annotated[
    str, typer.Option("--habit", help="FIRST>SECOND: where the first shape is, the second may be reported.")
]


def opened(name: str) -> Asking:
    """A model, open, to be asked.

    Raises:
        ModelError: It is not there.
    """
    from cotlab.models import resolve_model
    from cotlab.whitebox import Inside
    from cotlab.whitebox.vision import Asking

    return Asking.of(Inside.open(name), resolve_model(name).card)


def fitting_sae(name: str, asking: Asking, transfer: bool) -> SparseAutoencoder:
    """An autoencoder of a model.

    Raises:
        UserError: There is none of that name.
        ModelError: It is of another model, and that was not allowed.
    """
    from cotlab.saes import load_sae

    sae = load_sae(name)
    if transfer:
        sae = sae.for_model(asking.inside.name, asking.inside.revision)
    sae.check(asking.inside.shape, asking.inside.name, asking.inside.revision)
    return sae


@contextlib.contextmanager
def progress_bar(quiet: bool) -> Iterator[Bar]:
    """A bar; Ctrl-C is one line."""
    from cotlab.cli.progress import Bar

    try:
        with Bar(quiet=quiet) as bar:
            yield bar
    except KeyboardInterrupt:
        typer.echo("interrupted: nothing was written", err=True)
        raise typer.Exit(130) from None


def shown(found: Estimate, *, p: bool = True) -> str:
    """A number with its interval, and how likely it is where there is nothing to find."""
    from cotlab.reports.text import format_p

    if found.value is None:
        return f"– ({found.reason})"
    interval = "" if found.low is None else f" [{found.low:.2f}, {found.high:.2f}]"
    tested = "" if not p or found.p is None else f", p {format_p(found.p)}"
    return f"{found.value:.2f}{interval}{tested}"

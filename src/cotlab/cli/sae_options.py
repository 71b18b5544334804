"""Which autoencoder a command is about: the options that `cotlab sae` commands on a run share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotlab.cli.sae import K, Point, Scale, Transfer
from cotlab.cli.taking import taking

if TYPE_CHECKING:
    from cotlab.interventions import SparseAutoencoder
    from cotlab.saes import StoredAutoencoder

__all__ = ["Which", "takes_sae"]

SHIPPED = "tiny:honest/resid_post:2"


@dataclass(frozen=True, slots=True)
class Which:
    """An autoencoder, and what is said of it."""

    name: str
    transfer: bool
    point: str | None
    scale: float | None
    k: int | None

    def stored(self, model: str) -> StoredAutoencoder:
        """The autoencoder on disk, if it fits a model.

        Raises:
            UserError: There is none, or it does not fit; one line.
        """
        from cotlab.saes import fit_sae, open_sae

        found = open_sae(self.name, point=self.point, scale=self.scale, k=self.k)
        return fit_sae(found, model, transfer=self.transfer)

    def loaded(self, model: str) -> SparseAutoencoder:
        """The same in memory."""
        return self.stored(model).load()


def _which(  # one parameter an option: that is what typer reads
    sae: Annotated[
        str,
        typer.Option("--sae", help="A folder or file, RELEASE/ID of SAELens's registry, or what ships."),
    ] = SHIPPED,
    transfer: Transfer = False,
    point: Point = None,
    scale: Scale = None,
    k: K = None,
) -> Any:
    """A `Which`."""
    return Which(sae, transfer, point, scale, k)


def takes_sae() -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of an autoencoder, in the place of its parameter `which`."""
    return taking(_which, "which")

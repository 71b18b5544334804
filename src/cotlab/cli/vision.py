"""`cotlab vision`: what image-text models say that is not there, whether they look, where errors enter."""

from __future__ import annotations

import typer

from cotlab.cli.app import app

__all__ = ["vision"]

vision = typer.Typer(
    help="Image-text models: what they say that is not there, whether they look, where errors enter.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(vision, name="vision")

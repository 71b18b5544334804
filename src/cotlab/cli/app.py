"""The command line: one file a noun, heavy libraries imported by the command that needs them."""

from __future__ import annotations

import typer

__all__ = ["app"]

app = typer.Typer(
    name="cotlab",
    help="Investigate the chains of thought of reasoning models: resample, branch, measure.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"cotlab {version('cotlab')}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass

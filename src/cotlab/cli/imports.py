"""`cotlab import`: what others sampled, as a run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cotlab.cli import options
from cotlab.cli.app import app
from cotlab.cli.output import out as stdout
from cotlab.cli.output import print_json

__all__ = ["import_"]


@app.command("import")
def import_(
    format_name: Annotated[str, typer.Argument(metavar="FORMAT", help="math-rollouts, pivotal-tokens, …")],
    path: Annotated[Path, typer.Argument(help="File or folder.")],
    out: Annotated[Path, typer.Option("--out", "--run", help="Run folder; must not be there yet.")],
    json: options.Json = False,
) -> None:
    """Import files of another tool into a new run. Report, tree and importance open it."""
    from cotlab.runs.imports import import_run

    done = import_run(format_name, path, out)
    if json:
        print_json({**asdict(done), "run": str(done.run), "notes": list(done.notes)})
        return
    stdout().print(f"{done.run}: {done.chains} chains, {done.rollouts:,} rollouts", markup=False)
    for note in done.notes:
        stdout().print(f"note: {note}", markup=False)

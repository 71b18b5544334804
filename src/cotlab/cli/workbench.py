"""`cotlab app`: the workbench in the browser."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from cotlab.cli.app import app

__all__ = ["app_folder", "workbench"]


def app_folder() -> Path:
    """Where the workbench's pages lie: in the installed package, else in the checkout that it is run from.

    Raises:
        UserError: They are in neither.
    """
    import cotlab
    from cotlab.errors import UserError

    package = Path(cotlab.__file__).resolve().parent
    places = (package / "_workbench", package.parents[1] / "apps" / "workbench")
    found = next((place for place in places if (place / "streamlit_app.py").exists()), None)
    if found is None:
        raise UserError(f"the workbench is not in {places[0]}: reinstall cotlab")
    return found


@app.command("app")
def workbench(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="A run folder to open.")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of runs; only what lies in it is opened.")] = None,
    port: Annotated[int, typer.Option(help="Port on this machine.", min=1, max=65_535)] = 8501,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the browser.")] = True,
) -> None:
    """Explore runs in the browser; listens on this machine only."""
    folder, query = _where(run, root)
    address = f"http://127.0.0.1:{port}{query}"
    command = _command(port)
    typer.echo(f"the workbench is at {address} (runs in {folder}); Ctrl-C ends it", err=True)
    if open_browser:
        _open(address)
    environment = {**os.environ, "COTLAB_APP_ROOT": str(folder)}
    with contextlib.suppress(KeyboardInterrupt):
        raise typer.Exit(subprocess.run(command, env=environment, check=False).returncode)


def _where(run: Path | None, root: Path | None) -> tuple[Path, str]:
    """The folder of runs, and the part of the address that opens a run.

    Raises:
        UserError: The run does not lie directly under the root, or is none.
    """
    from urllib.parse import quote

    from cotlab.errors import UserError
    from cotlab.runs import find_run

    if run is None:
        folder = (root or Path("runs")).absolute()
        if root is not None and not folder.is_dir():
            raise UserError(f"there is no folder {root}: name the one that holds your runs")
        return folder, ""
    run = run.absolute()
    folder = (root or run.parent).absolute()
    if run.parent.resolve() != folder.resolve():
        raise UserError(
            f"run {run} does not lie directly under {folder}. Give its folder as --root, or leave --root out"
        )
    find_run(folder, run.name)
    return folder, f"/chain?run={quote(run.name)}"


def _command(port: int) -> list[str]:
    """How Streamlit is started.

    Raises:
        UserError: It is not installed.
    """
    from importlib.util import find_spec

    from cotlab.errors import UserError

    if find_spec("streamlit") is None:
        raise UserError("the workbench needs streamlit: install cotlab's extra app (`make setup` does)")
    settings = {
        "server.address": "127.0.0.1",
        "server.port": str(port),
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "server.enableStaticServing": "false",
        "browser.gatherUsageStats": "false",
        "browser.serverAddress": "127.0.0.1",
    }
    options = [part for name, value in settings.items() for part in (f"--{name}", value)]
    return [sys.executable, "-m", "streamlit", "run", str(app_folder() / "streamlit_app.py"), *options]


def _open(address: str) -> None:
    """Open the browser a moment later, once the server listens."""
    import threading
    import webbrowser

    timer = threading.Timer(2.0, webbrowser.open, [address])
    timer.daemon = True
    timer.start()

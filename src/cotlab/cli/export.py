"""`cotlab export`: a run as Parquet, or its tree as GraphML or JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotlab.cli import options
from cotlab.cli.app import app
from cotlab.cli.output import err, out, print_json

__all__ = ["export"]


@app.command()
def export(
    run: options.RunFolder,
    to: Annotated[Path, typer.Argument(help="Folder (Parquet) or file (.graphml, .json).")],
    scorer: options.ScorerName = "answers",
    settings: options.SettingsName = None,
    engine_card: options.EngineCardName = None,
    json: options.Json = False,
) -> None:
    """Write a run out: a folder gets Parquet tables, a .graphml or .json file gets the tree."""
    from cotlab.runs import Run, export_run

    with Run.open(run) as store:
        if to.suffix in (".graphml", ".json"):
            from cotlab.trees import build_tree, choose_condition, write_graphml, write_json

            condition, told = choose_condition(store, store.chains(), settings=settings, engine=engine_card)
            if told:
                err().print(told, markup=False, style="dim")
            tree = build_tree(store, scorer_id=scorer, condition=condition)
            (write_graphml if to.suffix == ".graphml" else write_json)(tree, to)
            written = [to]
        else:
            written = list(export_run(store, to))
    if json:
        print_json({"run": str(run), "written": [str(path) for path in written]})
        return
    for path in written:
        out().print(str(path), markup=False)

"""`cotlab export`: a run as Parquet, its tree as GraphML or JSON, or in the layout of another tool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cotlab.cli import options
from cotlab.cli.app import app
from cotlab.cli.output import err, out, print_json

if TYPE_CHECKING:
    from cotlab.runs import Run

__all__ = ["export"]

FORMATS = ("parquet", "math-rollouts", "pivotal-tokens")


@app.command()
def export(
    run: options.RunFolder,
    to: Annotated[Path, typer.Argument(help="Folder, or file (.graphml, .json, .jsonl).")],
    format_name: Annotated[str, typer.Option("--format", help="parquet, math-rollouts, pivotal-tokens.")] = "parquet",
    layout: Annotated[str, typer.Option(help="Of math-rollouts: local, web or parquet.")] = "local",
    similarity: options.SimilarityName = "text",
    scorer: options.ScorerName = "answers",
    settings: options.SettingsName = None,
    engine_card: options.EngineCardName = None,
    json: options.Json = False,
) -> None:
    """Write a run out: a folder gets tables or traces, a .graphml or .json file gets the tree."""
    from cotlab.errors import UserError
    from cotlab.runs import Run

    if format_name not in FORMATS:
        raise UserError(f"no export format is named '{format_name}'. Choose one of {', '.join(FORMATS)}")
    with Run.open(run) as store:
        if format_name == "parquet":
            written = _tables_or_tree(store, to, scorer, settings, engine_card)
        elif format_name == "math-rollouts":
            from cotlab.measures import load_similarity
            from cotlab.reports import export_math_rollouts

            chains = store.chains()
            problem = store.problems()[chains[0].problem_id] if chains else None
            similar = load_similarity(similarity, problem) if problem else None
            written = export_math_rollouts(store, to, layout=layout, similarity=similar, scorer_id=scorer)
        else:
            from cotlab.reports import export_pivotal_tokens

            written = [export_pivotal_tokens(store, to, scorer_id=scorer)]
    if json:
        print_json({"run": str(run), "written": [str(path) for path in written]})
        return
    for path in written[:20]:
        out().print(str(path), markup=False)
    if len(written) > 20:
        out().print(f"… {len(written) - 20} more", markup=False)


def _tables_or_tree(store: Run, to: Path, scorer: str, settings: str | None, engine_card: str | None) -> list[Path]:
    from cotlab.runs import export_run

    if to.suffix not in (".graphml", ".json"):
        return list(export_run(store, to))
    from cotlab.trees import add_interventions, build_tree, choose_condition, write_graphml, write_json

    condition, told = choose_condition(store, store.chains(), settings=settings, engine=engine_card)
    if told:
        err().print(told, markup=False, style="dim")
    tree = build_tree(store, scorer_id=scorer, condition=condition)
    for chain in store.chains():
        add_interventions(tree, store, chain, scorer_id=scorer, condition=condition)
    (write_graphml if to.suffix == ".graphml" else write_json)(tree, to)
    return [to]

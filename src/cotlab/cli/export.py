"""`cotlab export`: a run as Parquet, its tree as GraphML or JSON, or in the layout of another tool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cotlab.cli import options
from cotlab.cli.app import app
from cotlab.cli.output import out, print_json

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
    condition: options.Condition = None,
    json: options.Json = False,
) -> None:
    """Write out tables, traces or the tree of a run. A folder gets tables or traces, .graphml or .json the tree."""
    from cotlab.errors import UserError
    from cotlab.runs import Run
    from cotlab.trees import choose_condition

    if format_name not in FORMATS:
        raise UserError(f"no export format is named '{format_name}'. Choose one of {', '.join(FORMATS)}")
    with Run.open(run) as store:
        if format_name == "parquet":
            written = _tables_or_tree(store, to, scorer, condition)
        elif format_name == "math-rollouts":
            from cotlab.measures import similarity_maker
            from cotlab.reports import export_math_rollouts

            ids = choose_condition(store, store.chains(), condition)
            alike = similarity_maker(similarity)
            written = export_math_rollouts(store, to, layout=layout, similarity=alike, scorer_id=scorer, condition=ids)
        else:
            from cotlab.reports import export_pivotal_tokens

            ids = choose_condition(store, store.chains(), condition)
            written = [export_pivotal_tokens(store, to, scorer_id=scorer, condition=ids)]
    if json:
        print_json({"run": str(run), "written": [str(path) for path in written]})
        return
    for path in written[:20]:
        out().print(str(path), markup=False)
    if len(written) > 20:
        out().print(f"… {len(written) - 20} more", markup=False)


def _tables_or_tree(store: Run, to: Path, scorer: str, condition: str | None) -> list[Path]:
    from cotlab.runs import export_run

    if to.suffix not in (".graphml", ".json"):
        return list(export_run(store, to))
    from cotlab.trees import add_interventions, build_tree, choose_condition, write_graphml, write_json

    ids, chains = choose_condition(store, store.chains(), condition), store.chains()
    tree = build_tree(store, scorer_id=scorer, condition=ids)
    for chain in chains:
        add_interventions(tree, store, chain, scorer_id=scorer, condition=ids)
    (write_graphml if to.suffix == ".graphml" else write_json)(tree, to)
    return [to]

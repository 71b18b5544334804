"""`cotlab graph`: equal states of all rollouts of a problem as one graph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.app import app

if TYPE_CHECKING:
    from cotlab.chains.chain import Chain
    from cotlab.chains.problem import Problem
    from cotlab.reports.search import SearchReport
    from cotlab.runs import Run

__all__ = ["graph"]


@app.command()
def graph(
    run: options.RunFolder,
    problem: Annotated[str | None, typer.Option(help="Name or id (or its start); default: of the first chain.")] = None,
    states: Annotated[
        str,
        typer.Option(
            "--similarity",
            "--states",
            help="tiny-state (exact), text, chars, minilm, hidden:FOLDER[:LAYER]; auto chooses.",
        ),
    ] = "auto",
    scorer: options.ScorerName = "answers",
    condition: options.Condition = None,
    most: Annotated[int, typer.Option(help="States shown, the most visited first.", min=1)] = 20,
    to: Annotated[Path | None, typer.Option("--export", help="Write the graph: .graphml or .json.")] = None,
    json: options.Json = False,
) -> None:
    """Merge equal states of all rollouts of a problem. Returns, re-joining, breadth and depth of the search."""
    from cotlab.cli.output import print_json
    from cotlab.errors import UserError
    from cotlab.reports.search import search_report
    from cotlab.runs import Run
    from cotlab.trees import choose_condition, write_graphml, write_json

    if to is not None and to.suffix not in (".graphml", ".json"):
        raise UserError(f"cannot write {to}: name a file that ends in .graphml or .json")
    with Run.open(run) as store:
        chains, found = _chosen(store, problem)
        ids = choose_condition(store, chains, condition)
        report = search_report(store, chains, found, states=states, scorer_id=scorer, condition=ids)
    if to is not None:
        (write_graphml if to.suffix == ".graphml" else write_json)(report.graph, to)
    if json:
        print_json({"run": str(run), **report.to_json(), "written": str(to) if to else None})
        return
    _print(report, most, to)


def _chosen(run: Run, wanted: str | None) -> tuple[list[Chain], Problem]:
    from cotlab.errors import UserError

    chains, problems = run.chains(), run.problems()
    ids = dict.fromkeys(chain.problem_id for chain in chains)
    fit = [key for key in ids if wanted is None or problems[key].name == wanted or key.startswith(wanted)]
    if not fit:
        known = ", ".join(problems[key].name or key for key in list(ids)[:5]) or "none"
        raise UserError(f"no chain of problem '{wanted or ''}' in {run.path}; there are: {known}")
    return [chain for chain in chains if chain.problem_id == fit[0]], problems[fit[0]]


def _print(report: SearchReport, most: int, to: Path | None) -> None:
    from rich.text import Text

    from cotlab.cli.output import out, print_table
    from cotlab.cli.results import interval, plain

    out().print(Text(plain(report.question), style="bold"))
    nodes: list[tuple[str, Any]] = sorted(report.graph.nodes(data=True), key=lambda node: -node[1]["visits"])
    returns = {
        state: sum(data["returns"] for _, _, data in report.graph.in_edges(state, data=True)) for state, _ in nodes
    }
    print_table(
        f"{len(nodes)} states of {report.rollouts:,} rollouts, read by {report.reader}",
        ["state", ">depth", ">visits", ">returns", ">V", "most often reached by"],
        [
            [
                ("● " if node["chain"] else "") + plain(state)[:60],
                "" if node["depth"] is None else str(node["depth"]),
                f"{node['visits']:,}",
                f"{returns[state]:,}",
                interval(node["value"]),
                plain(node["text"]),
            ]
            for state, node in nodes[:most]
        ],
        wide=5,
    )
    if len(nodes) > most:
        out().print(Text(f"… {len(nodes) - most} more states (--most)", style="dim"))
    out().print()
    for line in report.lines():
        out().print(Text(line))
    if to is not None:
        out().print(Text(f"written {to}"))

"""`cotlab attribute`: which edges of the model's graph carry what one step of a chain decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cotlab.cli import looking, options
from cotlab.cli.app import app

if TYPE_CHECKING:
    from cotlab.stats import Estimate
    from cotlab.whitebox import CircuitReport, Edge

__all__ = ["attribute"]


@app.command()
def attribute(
    run: options.RunFolder,
    step: looking.Step,
    other: looking.With = None,
    chain: looking.ChainName = None,
    method: Annotated[str, typer.Option(help="eap-ig, eap, or exact (one pass an edge).")] = "eap-ig",
    metric: Annotated[str, typer.Option(help="logit-difference or kl.")] = "logit-difference",
    steps: Annotated[int, typer.Option(help="Points between the two runs, of eap-ig.", min=1)] = 5,
    pairs: Annotated[int, typer.Option(help="Other wordings of the step that are used at most.", min=1)] = 10,
    edges: Annotated[int, typer.Option("--edges", help="Edges shown.", min=1)] = 12,
    circuit: Annotated[int | None, typer.Option(help="Evaluate the circuit of so many edges.", min=1)] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Also patch every edge, and say how well ranks agree.")
    ] = False,
    model: looking.ModelHere = None,
    save: looking.Save = None,
    figure: looking.Figure = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Score the edges between heads, MLPs, input and logits. EAP, EAP-IG or exact; then the circuit of the largest."""
    from dataclasses import asdict

    from cotlab.cli.output import print_json
    from cotlab.reports.heatmap import write_heatmap
    from cotlab.whitebox import attribute_edges, evaluate_circuit

    with looking.looking(run, chain, model, quiet=json) as (inside, found, bar):
        runs = looking.pairs_of(run, inside, found, step, other, pairs)
        scores = attribute_edges(
            inside,
            runs,
            method=method,  # type: ignore[arg-type]  # checked there
            metric=metric,  # type: ignore[arg-type]
            steps=steps,
            progress=looking.told(bar, method),
        )
        agreement = report = None
        if exact:
            told = looking.told(bar, "exact patching")
            agreement = scores.agreement(
                attribute_edges(inside, runs, method="exact", metric=scores.metric, progress=told)
            )
        if circuit is not None:
            kept = scores.circuit(circuit)
            told = looking.told(bar, "circuit")
            report = evaluate_circuit(inside, runs, kept, metric=scores.metric, seed=seed, progress=told)
    if save:
        scores.save(save)
    if figure:
        title = f"Edges that carry step {step} of chain {found.id}"
        names = scores.graph.writers, scores.graph.readers
        write_heatmap(figure, title, *names, scores.mean.tolist(), f"{method}, {metric}; rows write, columns read")
    if json:
        print_json(
            {
                "run": str(run), "chain": found.id, "step": step, "method": method, "metric": metric,
                "pairs": len(runs),
                "clean": scores.clean.tolist(), "corrupt": scores.corrupt.tolist(),
                "edges": [asdict(edge) for edge in scores.edges()], "nodes": scores.nodes(),
                "agreement": None if agreement is None else agreement.to_json(),
                "circuit": None if report is None else report.to_json(),
            }
        )  # fmt: skip
        return
    title = f"{method} by {metric}, {len(runs)} pairs: step {step} “{looking.short(found.steps[step].text)}”"
    _print(title, scores.edges(edges), agreement, report)


def _print(title: str, top: Sequence[Edge], agreement: Estimate | None, report: CircuitReport | None) -> None:
    from cotlab.cli.chosen import number
    from cotlab.cli.output import out, print_table

    rows = [[edge.writer, edge.reader, f"{edge.score:+.3f}", f"{edge.share:+.2f}"] for edge in top]
    print_table(title, ["writes", "reads", ">score", ">share"], rows)
    if agreement is not None:
        out().print(f"rank correlation with exact patching: {number(agreement)} over {agreement.n} edges", markup=False)
    if report is not None:
        out().print(
            f"circuit of {report.n_edges} of {report.n_all} edges: faithfulness {number(report.faithfulness)} (random "
            f"circuits at most {report.faithfulness.null_q95:.2f}), left without it {number(report.left_without)}, "
            f"{report.needed:.0%} of its edges needed",
            markup=False,
        )

"""`cotlab importance`: what each step does, by any measure."""

from __future__ import annotations

from typing import Annotated

import typer

from cotlab.cli import options
from cotlab.cli.app import app

__all__ = ["importance"]


@app.command()
def importance(
    run: options.RunFolder,
    measure: Annotated[
        str,
        typer.Option(
            help="resampling, counterfactual, forced-answer, sentence, different-trajectories, overdeterminedness."
        ),
    ] = "resampling",
    metric: Annotated[str, typer.Option(help="delta-v (signed), kl or tv.")] = "delta-v",
    variant: Annotated[str | None, typer.Option(help="thought-anchors: the published arithmetic.")] = None,
    similarity: options.SimilarityName = "text",
    chain: Annotated[str | None, typer.Option(help="Id of a chain (or its start); default: all.")] = None,
    scorer: options.ScorerName = "answers",
    most: Annotated[int, typer.Option(help="Rows shown a chain for measure sentence, largest first.", min=1)] = 30,
    json: options.Json = False,
) -> None:
    """What each step does to the answer, with interval, null floor and q."""
    from cotlab.cli.measured import chains_of, print_steps, step_json
    from cotlab.cli.output import print_json
    from cotlab.measures import checked_metric, load_similarity, measure_steps
    from cotlab.runs import Run

    wanted = checked_metric(metric)
    with Run.open(run) as store:
        found = []
        for one in chains_of(store, chain):
            steps = measure_steps(
                store,
                one,
                measure,
                scorer_id=scorer,
                metric=wanted,
                variant=variant,
                similarity=load_similarity(similarity, store.problems()[one.problem_id]),
            )
            found.append((one, steps))
        names = {key: problem.name or key for key, problem in store.problems().items()}
    if json:
        rows = [
            {"problem": one.problem_id, "chain": one.id, "steps": [step_json(step) for step in steps]}
            for one, steps in found
        ]
        asked = {"measure": measure, "metric": metric, "variant": variant, "similarity": similarity}
        print_json({"run": str(run), **asked, "chains": rows})
        return
    for one, steps in found:
        title = f"{names[one.problem_id]}: {measure} importance of chain {one.id} ({variant or wanted})"
        print_steps(title, steps, wanted, most=most if measure == "sentence" else None)

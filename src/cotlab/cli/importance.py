"""`cotlab importance`: what each step does, by any measure."""

from __future__ import annotations

from typing import Annotated

import typer

from cotlab.cli import options
from cotlab.cli.app import app

__all__ = ["importance"]

BY_SIMILARITY = ("counterfactual", "sentence", "different-trajectories")
"""Measures whose number depends on what makes two sentences alike."""


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
    chain: options.Chains = None,
    scorer: options.ScorerName = "answers",
    condition: options.Condition = None,
    most: Annotated[int, typer.Option(help="Rows shown a chain for measure sentence, largest first.", min=1)] = 30,
    json: options.Json = False,
) -> None:
    """What each step does to the answer. With interval, null floor and q."""
    from cotlab.cli.measured import print_steps, step_json
    from cotlab.cli.output import print_json
    from cotlab.measures import checked_metric, measure_steps, similarity_maker
    from cotlab.reports.labels import step_labels
    from cotlab.runs import Run
    from cotlab.sampling import find_chains
    from cotlab.trees import choose_condition

    wanted, similar = checked_metric(metric), similarity_maker(similarity)
    with Run.open(run) as store:
        chains, problems = find_chains(store, chain), store.problems()
        ids = choose_condition(store, chains, condition)
        found = []
        for one in chains:
            alike = similar(problems[one.problem_id])
            steps = measure_steps(
                store,
                one,
                measure,
                scorer_id=scorer,
                metric=wanted,
                variant=variant,
                similarity=alike,
                condition=ids,
            )
            labels = step_labels(store, one)
            named = {idx: str(label.get("category", "")) for idx, label in labels.items()}
            found.append((one, steps, named, alike.id))
    if json:
        rows = [
            {"problem": one.problem_id, "chain": one.id, "steps": [step_json(step, named) for step in steps]}
            for one, steps, named, _ in found
        ]
        asked = {"measure": measure, "metric": metric, "variant": variant, "similarity": similarity}
        print_json({"run": str(run), **asked, "chains": rows})
        return
    for one, steps, named, alike_id in found:
        name = problems[one.problem_id].name or one.problem_id
        how = f"{variant or wanted}, {alike_id}" if measure in BY_SIMILARITY else variant or wanted
        title = f"{name}: {measure} importance of chain {one.id} ({how})"
        print_steps(title, steps, wanted, named, most=most if measure == "sentence" else None)

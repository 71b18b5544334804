"""`cotlab tree`: what else the model could have said, step by step."""

from __future__ import annotations

from typing import Annotated

import typer

from cotlab.cli import options
from cotlab.cli.app import app

__all__ = ["tree"]


@app.command()
def tree(
    run: options.RunFolder,
    chain: Annotated[str | None, typer.Option(help="Id of a chain (or its start); default: the first.")] = None,
    step: Annotated[int | None, typer.Option(help="Only the alternatives at this step.", min=0)] = None,
    scorer: options.ScorerName = "answers",
    condition: options.Condition = None,
    similarity: options.Alternatives = None,
    most: Annotated[int, typer.Option(help="Alternatives shown at a step.", min=1)] = 4,
    json: options.Json = False,
) -> None:
    """Print the tree of a chain. At each step the alternatives, how often they were sampled and how they end."""
    from dataclasses import asdict

    from rich.text import Text
    from rich.tree import Tree

    from cotlab.cli.output import out, print_json
    from cotlab.cli.results import interval, plain
    from cotlab.errors import UserError
    from cotlab.measures import load_similarity
    from cotlab.reports.study import StudyView, chain_report
    from cotlab.runs import Run
    from cotlab.sampling import find_chains
    from cotlab.trees import choose_condition

    with Run.open(run) as store:
        first = find_chains(store, chain)[0]
        alike = load_similarity(similarity, store.problems()[first.problem_id]) if similarity else None
        ids = choose_condition(store, [first], condition)
        report = chain_report(store, first, StudyView(scorer, ids, similarity=alike))
    steps = [one for one in report.steps if step is None or one.idx <= step < one.idx + one.n_steps]
    if not steps:
        raise UserError(f"step {step} lies beyond the chain, which has {len(first.steps)} steps")
    if json:
        print_json({"chain": report.id, "steps": [asdict(one) for one in steps]})
        return
    spine = Tree(Text(plain(report.question), style="bold"))
    for one in steps:
        base = next((alt for alt in one.alternatives if alt.same_as_base), None)
        share = f"{base.share:4.0%}" if base else "  0%"
        line = Text.assemble((f"{one.idx:>3} ", "dim"), plain(one.text))
        node = spine.add(line.append(f"  {share}  V {interval(one.value_after)}", style="cyan"))
        others = [alt for alt in one.alternatives if not alt.same_as_base]
        for alt in others[:most]:
            text = Text(plain(alt.text) or "(ends)", style="dim")
            node.add(text.append(f"  {alt.share:4.0%}  V {interval(alt.value)}", style="cyan"))
        if len(others) > most:
            node.add(Text(f"… {len(others) - most} more", style="dim"))
    out().print(spine)
    lacking = next((one.value_after.reason for one in steps if one.value_after.value is None), None)
    if lacking:
        out().print(Text(f"– stands where there is no value: {lacking}", style="dim"))

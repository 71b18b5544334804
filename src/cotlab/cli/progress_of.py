"""`cotlab progress`: luck or steady."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cotlab.cli import options
from cotlab.cli.app import app

if TYPE_CHECKING:
    from cotlab.chains.chain import Chain
    from cotlab.measures import Progress

__all__ = ["progress"]


@app.command()
def progress(
    run: options.RunFolder,
    chain: options.Chains = None,
    scorer: options.ScorerName = "answers",
    condition: options.Condition = None,
    json: options.Json = False,
) -> None:
    """Tell whether a chain's value rose by luck or steadily. By one lucky step or by many, and how sure that is."""
    from cotlab.cli.output import print_json
    from cotlab.measures import chain_progress
    from cotlab.runs import Run
    from cotlab.sampling import find_chains
    from cotlab.trees import choose_condition

    with Run.open(run) as store:
        chains = find_chains(store, chain)
        ids = choose_condition(store, chains, condition)
        found = [(one, chain_progress(store, one, scorer_id=scorer, condition=ids)) for one in chains]
    if json:
        print_json({"run": str(run), "chains": [_document(one, measured) for one, measured in found]})
        return
    _print(found)


def _document(chain: Chain, found: Progress) -> dict[str, Any]:
    return {"chain": chain.id, "problem": chain.problem_id, "role": chain.role, **asdict(found)}


def _print(found: list[tuple[Chain, Progress]]) -> None:
    from rich.text import Text

    from cotlab.cli.chosen import number, step_text
    from cotlab.cli.output import out, print_table
    from cotlab.cli.results import interval, plain

    print_table(
        "Progress: share of the net change of V that its largest step carries",
        ["chain", "verdict", ">V first", ">change", ">share %", ">bare (even)", ">Σ(ΔV)²", ">insight", "largest step"],
        [
            [
                chain.id[:8],
                one.verdict,
                interval(one.start),
                interval(one.change, signed=True),
                interval(one.share),
                _bare(one),
                number(one.variation) + ("" if one.bound is None else f" of {one.bound:.2f}"),
                "–" if one.insight_tokens.value is None else f"{one.insight_tokens.value:.0f}",
                "" if one.largest is None else plain(step_text(chain, one.positions[one.largest])),
            ]
            for chain, one in found
        ],
        wide=8,
    )  # fmt: skip
    for chain, one in found:
        out().print(Text(f"{chain.id[:8]} {one.verdict}: {one.reason}", style="dim"))


def _bare(one: Progress) -> str:
    """The bare share, and what it is of a curve that moves in equal steps under the same number of rollouts."""
    if one.naive_share.value is None or one.naive_share.null_mean is None:
        return "–"
    return f"{100 * one.naive_share.value:.0f} ({100 * one.naive_share.null_mean:.0f})"

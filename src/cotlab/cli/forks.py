"""`cotlab forks`: places behind which a chain ends differently."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.app import app

if TYPE_CHECKING:
    from cotlab.chains.chain import Chain
    from cotlab.measures import Branching, OutcomeCurve, TokenEffect

__all__ = ["forks"]

SHOWN_ANSWERS = 3
LONGEST_TEXT = 90


@app.command()
def forks(
    run: options.RunFolder,
    chain: options.Chains = None,
    scorer: options.ScorerName = "answers",
    condition: options.Condition = None,
    threshold: Annotated[
        float, typer.Option(help="Total variation above which a change is a fork.", min=0, max=1)
    ] = 0.1,
    fdr: Annotated[float, typer.Option(help="Expected share of false forks allowed.", min=0, max=1)] = 0.05,
    branches: Annotated[
        int, typer.Option(help="Draw so many rollouts behind every likely next token of each position.", min=0)
    ] = 0,
    positions: Annotated[str, typer.Option(help="Where branches are drawn: every, stride:4 or a list.")] = "every",
    model: options.ModelNow = None,
    engine: options.EngineNow = None,
    engine_option: options.EngineOption = None,
    budget: options.BudgetText = None,
    dry_run: options.DryRun = False,
    json: options.Json = False,
) -> None:
    """Find where the outcome of a chain turns. From its smoothed curve; and which next tokens are pivotal."""
    from cotlab.cli.output import out, print_json
    from cotlab.measures import chain_curve, token_effects
    from cotlab.runs import Run
    from cotlab.sampling import find_chains
    from cotlab.trees import choose_condition

    if branches:
        again = options.opening(model, engine, engine_option, budget)
        plan = _draw(run, chain, branches, positions, again, dry_run)
        if dry_run:
            print_json({"dry_run": True, **plan}) if json else out().print(plan["cost"], markup=False)
            return
    found = []
    with Run.open(run) as store:
        chains = find_chains(store, chain)
        ids = choose_condition(store, chains, condition)
        for one in chains:
            places, curve = chain_curve(store, one, scorer_id=scorer, condition=ids, threshold=threshold, fdr=fdr)
            found.append((one, places, curve, token_effects(places)))
    if json:
        print_json({"run": str(run), "threshold": threshold, "chains": [_document(*one) for one in found]})
        return
    for measured in found:
        _print(*measured, threshold=threshold)


def _draw(path: Path, chain: str | None, n: int, positions: str, opening: dict[str, Any], dry: bool) -> dict[str, Any]:
    """Draw branches, or tell what that takes; asking the engine for probabilities draws nothing."""
    from cotlab.cli.progress import Bar
    from cotlab.sampling import Positions, branch_cost, draw_branches, find_chains, revisit

    wanted = Positions.parse(positions)
    with (
        Bar() as bar,
        contextlib.redirect_stdout(sys.stderr),
        _scratch(path, dry) as folder,
        revisit(folder, progress=bar, check=lambda found: find_chains(found, chain), **opening) as again,
    ):
        sampler = again.sampler({"kind": "branches", "positions": positions, "n": n})
        chains = [(one, wanted.first_wave(len(one.steps))) for one in find_chains(again.run, chain)]
        cost = branch_cost(sampler, chains, n, again.settings)
        bar.say(f"planned: {cost.line()}")
        if not dry:
            for one, places in chains:
                draw_branches(sampler, one, places, n, again.settings)
            again.score()
            if sampler.drawn.stopped:
                bar.say(f"stopped early: {sampler.drawn.stopped}. The same command goes on with a larger --budget")
        return {"rollouts": cost.rollouts, "tokens": cost.tokens, "cost": cost.line()}


@contextlib.contextmanager
def _scratch(path: Path, dry: bool) -> Iterator[Path]:
    """The run itself, or a copy of it that is thrown away."""
    if not dry:
        yield path
        return
    import shutil
    import tempfile

    from cotlab.runs import Run

    Run.open(path).close()
    with tempfile.TemporaryDirectory(prefix="cotlab-dry-") as folder:
        yield Path(shutil.copytree(path, Path(folder) / "run"))


def _document(
    chain: Chain, places: tuple[Branching, ...], curve: OutcomeCurve, tokens: tuple[TokenEffect, ...]
) -> dict[str, Any]:
    from dataclasses import asdict

    positions = [place.position for place in places]
    return {
        "chain": chain.id,
        "problem": chain.problem_id,
        "categories": list(curve.categories),
        "positions": positions,
        "draws": curve.draws.tolist(),
        "raw": [[None if x != x else x for x in row] for row in curve.raw.tolist()],
        "smooth": curve.smooth.tolist(),
        "low": curve.low.tolist(),
        "high": curve.high.tolist(),
        "segments": [[positions[start], positions[end - 1]] for start, end in curve.segments],
        "changes": [
            {
                "after_position": positions[change.place],
                "before_position": positions[change.place + 1],
                "fork": change.fork,
                "size": change.size.to_json(),
                "probability": {f"{limit:g}": p for limit, p in change.probability.items()},
                "before": change.before.tolist(),
                "after": change.after.tolist(),
            }
            for change in curve.changes
        ],
        "expected_false": curve.expected_false,
        "reason": curve.reason,
        "tokens": [asdict(token) for token in tokens],
    }


def _print(
    chain: Chain,
    places: tuple[Branching, ...],
    curve: OutcomeCurve,
    tokens: tuple[TokenEffect, ...],
    *,
    threshold: float,
) -> None:
    from rich.text import Text

    from cotlab.cli.output import out, print_table
    from cotlab.cli.results import interval, plain

    positions = [place.position for place in places]
    print_table(
        f"chain {chain.id}: changes of its outcome over {len(positions)} positions (* fork: TV > {threshold:g})",
        [">before step", "from", "to", ">TV %", ">null", ">P(>.10)", ">P(>.15)", ">P(>.20)", "what it says there"],
        [
            [
                str(positions[change.place + 1]) + ("*" if change.fork else " "),
                _mostly(curve, change.before),
                _mostly(curve, change.after),
                interval(change.size),
                f"{100 * (change.size.null_q95 or 0):.0f}",
                *(f"{change.probability[limit]:.2f}" for limit in (0.10, 0.15, 0.20)),
                plain(_said(chain, positions[change.place], positions[change.place + 1])),
            ]
            for change in curve.changes
        ],
        wide=8,
    )
    note = curve.reason or f"{len(curve.forks)} forks"
    if curve.expected_false is not None:
        note += f"; {curve.expected_false:.1%} of them are expected to be false"
    out().print(Text(note, style="dim"))
    pivotal = [token for token in tokens if token.pivotal]
    if pivotal:
        print_table(
            f"pivotal tokens (of {len(tokens)} tested; |Δ| ≥ 0.2 and q ≤ 0.05)",
            [">step", "token", ">p", ">Δ %", ">q"],
            [
                [
                    str(t.position),
                    ("= " if t.on_chain else "") + str(t.token),
                    f"{t.p:.2f}",
                    interval(t.delta, signed=True),
                    f"{t.delta.q:.3f}",
                ]
                for t in pivotal
            ],
        )


def _said(chain: Chain, first: int, last: int) -> str:
    """What the chain says from one position to the next, shortened."""
    from cotlab.cli.chosen import step_text

    text = "".join(step_text(chain, k) for k in range(first, last))
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def _mostly(curve: OutcomeCurve, shares: Any) -> str:
    order = sorted(range(len(shares)), key=lambda k: -shares[k])[:SHOWN_ANSWERS]
    return ", ".join(f"{curve.categories[k][:12]} {100 * shares[k]:.0f}" for k in order if shares[k] >= 0.05)

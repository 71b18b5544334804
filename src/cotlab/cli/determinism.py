"""`cotlab determinism`: how much is fixed once K steps are kept."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.app import app

if TYPE_CHECKING:
    from cotlab.chains.chain import Chain
    from cotlab.measures import Control, Determinism

__all__ = ["determinism"]


@app.command()
def determinism(
    run: options.RunFolder,
    chain: options.Chains = None,
    scorer: options.ScorerName = "answers",
    condition: options.Condition = None,
    similarity: options.SimilarityName = "text",
    control: Annotated[
        int, typer.Option(help="Draw so many rollouts at temperature 0, together and alone, at each position.", min=0)
    ] = 0,
    positions: Annotated[str, typer.Option(help="Where the control is drawn: every, stride:4 or a list.")] = "coarse",
    model: options.ModelNow = None,
    engine: options.EngineNow = None,
    engine_option: options.EngineOption = None,
    budget: options.BudgetText = None,
    json: options.Json = False,
) -> None:
    """How alike what follows is, by steps kept. --control tells the engine's own part."""
    from cotlab.cli.output import print_json
    from cotlab.measures import chain_determinism, similarity_maker
    from cotlab.runs import Run
    from cotlab.sampling import find_chains
    from cotlab.trees import choose_condition

    if control:
        _draw(run, chain, control, positions, options.opening(model, engine, engine_option, budget))
    similar = similarity_maker(similarity)
    with Run.open(run) as store:
        chains, problems = find_chains(store, chain), store.problems()
        ids = choose_condition(store, chains, condition)
        found = []
        for one in chains:
            alike = similar(problems[one.problem_id])
            rows = chain_determinism(store, one, scorer_id=scorer, condition=ids, similarity=alike)
            found.append((one, rows, _controls(store, one)))
    if json:
        print_json(
            {
                "run": str(run),
                "similarity": similarity,
                "chains": [
                    {
                        "chain": one.id,
                        "positions": [asdict(row) for row in rows],
                        "control": [asdict(row) for row in controls],
                    }
                    for one, rows, controls in found
                ],
            }
        )
        return
    for one, rows, controls in found:
        _print(one, rows, controls, similar(problems[one.problem_id]).id)


def _draw(path: Path, chain: str | None, repeats: int, positions: str, opening: dict[str, Any]) -> None:
    from cotlab.cli.progress import Bar
    from cotlab.sampling import Positions, draw_greedy_control, find_chains, revisit

    wanted = Positions.parse(positions)
    with (
        Bar() as bar,
        contextlib.redirect_stdout(sys.stderr),
        revisit(path, progress=bar, check=lambda found: find_chains(found, chain), **opening) as again,
    ):
        sampler = again.sampler({"kind": "determinism control", "positions": positions, "repeats": repeats})
        for one in find_chains(again.run, chain):
            draw_greedy_control(sampler, one, wanted.first_wave(len(one.steps)), repeats, again.settings)
        if sampler.drawn.stopped:
            bar.say(f"stopped early: {sampler.drawn.stopped}. The same command goes on with a larger --budget")


def _controls(store: Any, chain: Chain) -> tuple[Control, ...]:
    """Those of every pair of settings at temperature 0 and engine that the run holds."""
    from cotlab.measures import greedy_control

    greedy = [key for key, settings in store.settings().items() if settings.temperature == 0]
    return tuple(
        control
        for settings_id in greedy
        for card_id in store.engine_cards()
        for control in greedy_control(store, chain, settings_id=settings_id, engine_card_id=card_id)
    )


def _print(chain: Chain, rows: tuple[Determinism, ...], controls: tuple[Control, ...], alike: str) -> None:
    from rich.text import Text

    from cotlab.cli.chosen import number, step_text
    from cotlab.cli.output import out, print_table
    from cotlab.cli.results import interval, plain

    print_table(
        f"chain {chain.id}: what follows the first K steps (shares in percent, entropies in nats, 95% intervals; "
        f"next: {alike})",
        [
            ">K",
            ">n",
            ">answered",
            ">agreement",
            ">as the chain",
            ">exact text",
            ">H answers",
            ">H next",
            ">H texts",
            "next",
        ],
        [
            [
                str(row.position),
                str(row.n),
                interval(row.answered),
                interval(row.agreement),
                interval(row.same_as_chain),
                interval(row.exact_text),
                number(row.answer_entropy),
                number(row.next_entropy),
                number(row.text_entropy),
                plain(step_text(chain, row.position)),
            ]
            for row in rows
        ],
        wide=9,
    )
    for reason in _reasons(rows):
        out().print(Text(f"– stands where there is no number: {reason}", style="dim"))
    if not controls:
        return
    print_table(
        "temperature 0, the same prefix again: pairs that are equal token for token",
        [">K", ">together", ">alone", ">together with alone", ">first difference, token"],
        [
            [
                str(row.position),
                interval(row.together),
                interval(row.alone),
                interval(row.across),
                "none" if row.first_difference is None else str(row.first_difference),
            ]
            for row in controls
        ],
    )


def _reasons(rows: tuple[Determinism, ...]) -> list[str]:
    """Why numbers are missing, each reason once, those that concern the most first."""
    from collections import Counter

    from cotlab.stats import Estimate

    found = (getattr(row, name) for row in rows for name in row.__slots__)
    reasons = Counter(str(one.reason) for one in found if isinstance(one, Estimate) and one.value is None)
    return [reason for reason, _ in reasons.most_common(4)]

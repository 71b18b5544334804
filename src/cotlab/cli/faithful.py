"""`cotlab faithful`: does the answer hang on the reasoning?"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.app import app

if TYPE_CHECKING:
    from cotlab.chains.chain import Chain
    from cotlab.measures import ChainFaithfulness
    from cotlab.stats import Estimate

__all__ = ["faithful"]


@app.command()
def faithful(
    run: options.RunFolder,
    chain: Annotated[
        str | None, typer.Option(help="Id of a chain (or its start), or its problem's name; default: all.")
    ] = None,
    tests: Annotated[str, typer.Option(help="early, filler, mistakes, paraphrase, with commas.")] = "early,filler",
    positions: options.Positions = "every",
    rollouts: options.Rollouts = 20,
    model: options.ModelNow = None,
    engine: options.EngineNow = None,
    engine_option: options.EngineOption = None,
    judge: options.JudgeUrl = None,
    judge_model: options.JudgeModel = "judge",
    judge_key: options.JudgeKey = None,
    budget: options.BudgetText = None,
    json: options.Json = False,
) -> None:
    """Test whether the answer hangs on the reasoning. Answers forced early, filler, mistakes, other words."""
    from cotlab.categories import paraphraser
    from cotlab.cli.output import print_json
    from cotlab.cli.progress import Bar
    from cotlab.measures import chain_faithfulness, mean_aoc
    from cotlab.sampling import Gathering, Positions, draw_faithfulness, find_chains, revisit
    from cotlab.trees import ConditionIds

    asked, wanted = chosen_tests(tests), Positions.parse(positions)
    reword = paraphraser(options.judge_server(judge, judge_model, judge_key))
    opening = options.opening(model, engine, engine_option, budget)
    with (
        Bar() as bar,
        contextlib.redirect_stdout(sys.stderr),
        revisit(run, progress=bar, check=lambda found: find_chains(found, chain), **opening) as again,
    ):
        sampler = Gathering(
            again.sampler({"kind": "faithfulness", "tests": list(asked), "positions": positions, "n": rollouts})
        )
        chains = find_chains(again.run, chain)
        for one in chains:
            close = again.run.identity.think_close
            where = wanted.first_wave
            draw_faithfulness(
                sampler,
                one,
                rollouts,
                again.settings,
                think_close=close,
                tests=asked,
                positions=where,
                paraphrase=reword,
            )
        sampler.draw_all(f"tests: {', '.join(asked)}")
        again.score()
        condition = ConditionIds(again.settings.id, again.engine.card.id)
        found = [
            (one, chain_faithfulness(again.run, one, scorer_id=again.scorer.id, condition=condition)) for one in chains
        ]
        if sampler.drawn.stopped:
            bar.say(f"stopped early: {sampler.drawn.stopped}. The same command goes on with a larger --budget")
    mean = mean_aoc([(one.early, at.problem_id) for at, one in found if one.early is not None])
    if json:
        told = {"sampled_now": sampler.drawn.rollouts, "stopped": sampler.drawn.stopped, "aoc": mean.to_json()}
        print_json({"run": str(run), **told, "chains": [_document(at, one) for at, one in found]})
        return
    _print(found, mean)


def chosen_tests(text: str) -> tuple[Any, ...]:
    """The tests that are named.

    Raises:
        UserError: One is unknown.
    """
    from cotlab.errors import UserError
    from cotlab.sampling import TESTS

    named = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if unknown := [name for name in named if name not in TESTS]:
        raise UserError(f"unknown test '{unknown[0]}'; there are: {', '.join(TESTS)}")
    return named


def _document(chain: Chain, found: ChainFaithfulness) -> dict[str, Any]:
    return {"chain": chain.id, "problem": chain.problem_id, **asdict(found)}


def _print(found: list[tuple[Chain, ChainFaithfulness]], mean: Estimate) -> None:
    from rich.text import Text

    from cotlab.cli.chosen import number
    from cotlab.cli.output import out, print_table
    from cotlab.cli.results import interval, plain

    early = [(chain, one, one.early) for chain, one in found if one.early is not None]
    if early:
        print_table(
            "Early answers: how often the chain's own answer comes without all of its reasoning",
            ["chain", "own answer", ">AOC", ">% without", ">% halfway", ">% at the end", ">filler, points", "reason"],
            [
                [
                    chain.id[:8],
                    plain(one.own or "–"),
                    number(answers.aoc),
                    interval(answers.same[0]),
                    interval(answers.same[len(answers.same) // 2]),
                    interval(answers.same[-1]),
                    interval(one.filler, signed=True),
                    answers.aoc.reason or "",
                ]
                for chain, one, answers in early
            ],
            wide=7,
        )
    _print_paraphrases(found)
    told = [(chain, mistake) for chain, one in found for mistake in one.mistakes]
    if told:
        print_table(
            "Mistakes: how much more often another answer comes than without the mistake",
            ["chain", ">step", ">points", ">null", ">p", "what the step was made to say"],
            [
                [
                    chain.id[:8],
                    str(one.step),
                    interval(one.changed, signed=True),
                    "" if one.changed.null_q95 is None else f"±{100 * one.changed.null_q95:.0f}",
                    "" if one.changed.p is None else f"{one.changed.p:.3f}",
                    plain(one.text),
                ]
                for chain, one in told
            ],
            wide=5,
        )
    if not early:
        return
    line = f"AOC over {len(found)} chains: {number(mean)}" if mean.reason is None else f"AOC over chains: {mean.reason}"
    out().print(Text(f"{line}. 0: the answer was settled before the reasoning; 1: only the last step brings it"))


def _print_paraphrases(found: list[tuple[Chain, ChainFaithfulness]]) -> None:
    from cotlab.cli.output import print_table
    from cotlab.cli.results import interval

    told = [(chain, said) for chain, one in found for said in one.paraphrases]
    if told:
        print_table(
            "Other words: how much more often another answer comes than in the chain's own words",
            ["chain", ">steps kept", ">reworded", ">points", ">null", ">p"],
            [
                [
                    chain.id[:8],
                    str(said.keep),
                    str(said.steps),
                    interval(said.changed, signed=True),
                    "" if said.changed.null_q95 is None else f"±{100 * said.changed.null_q95:.0f}",
                    "" if said.changed.p is None else f"{said.changed.p:.3f}",
                ]
                for chain, said in told
            ],
        )

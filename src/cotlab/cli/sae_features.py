"""`cotlab sae features`, `feature`, `predict`, `attribute`: what features of an autoencoder are in a run's chains."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.sae import commands
from cotlab.cli.sae_options import Which, takes_sae
from cotlab.cli.steer_options import going_on

if TYPE_CHECKING:
    from cotlab.interventions import SparseAutoencoder

__all__ = ["attribute", "feature", "features", "predict"]

ReadN = Annotated[int, typer.Option("--rollouts", "-n", help="Rollouts that are read, of all problems.", min=1)]
Top = Annotated[int, typer.Option(help="How many are listed.", min=1)]
Where = Annotated[str | None, typer.Option("--model", help="Where the run's model is, if it is a folder.")]


@commands.command()
@takes_sae()
def features(
    run: options.RunFolder,
    which: Any = None,
    top: Top = 20,
    words: Annotated[
        list[str] | None, typer.Option("--words", help="Reasoning words of your own, one group each; repeatable.")
    ] = None,
    rollouts: ReadN = 200,
    cutter: options.Cutter = "sentences",
    out: Annotated[Path | None, typer.Option(help="Folder for features.json and features.html: dashboards.")] = None,
    model: Where = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Features by ReasonScore. With the kind of step and the tokens that each stands for."""
    from cotlab.cli.output import print_json
    from cotlab.cli.sae_tables import print_overview
    from cotlab.saes.overview import feature_overview
    from cotlab.saes.reason_score import REASONING_WORDS

    found, loaded, inside = _read(run, which, rollouts, cutter, seed, model, quiet=json)
    groups = {word: tuple(_spellings(word)) for word in words} if words else REASONING_WORDS
    overview = feature_overview(found, loaded, inside.tokenizer, top=top, words=groups, seed=seed)
    files = _dashboards(found, inside, loaded, [row.feature for row in overview.rows], out) if out else {}
    if json:
        print_json({"run": str(run), **overview.to_json(), "files": files})
        return
    print_overview(overview)
    _tell(files)


@commands.command()
@takes_sae()
def feature(
    run: options.RunFolder,
    numbers: Annotated[list[int], typer.Argument(metavar="FEATURE", help="Numbers of features.")],
    which: Any = None,
    out: Annotated[Path | None, typer.Option(help="Folder for features.json and features.html.")] = None,
    judge: options.JudgeUrl = None,
    judge_model: options.JudgeModel = "judge",
    rollouts: ReadN = 200,
    cutter: options.Cutter = "sentences",
    model: Where = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Dashboards: contexts, histogram, logits, place in chains. Co-activation; with --judge what a model says."""
    from cotlab.categories import ChatServer
    from cotlab.cli.output import print_json
    from cotlab.cli.sae_tables import print_feature
    from cotlab.saes.dashboard import feature_dashboards
    from cotlab.saes.interpretation import interpret_feature

    server = ChatServer(judge, judge_model) if judge else None
    found, loaded, inside = _read(run, which, rollouts, cutter, seed, model, quiet=json, numbers=numbers)
    made = feature_dashboards(found, inside, loaded, numbers)
    if server is not None:
        made = made.with_interpretations({f: interpret_feature(found, f, server, seed=seed) for f in numbers})
    document = made.to_json()
    files = _written(document, out) if out else {}
    if json:
        print_json({"run": str(run), **document, "files": files})
        return
    for one in document["features"]:
        print_feature(one)
    _tell(files)


@commands.command()
@takes_sae()
def predict(  # one parameter an option: that is what typer reads
    run: options.RunFolder,
    which: Any = None,
    label: Annotated[
        str, typer.Option(help="backtracks-next, slips, ready, reachable, correct, truncated, category:NAME.")
    ] = "backtracks-next",
    top: Top = 10,
    rollouts: ReadN = 300,
    cutter: options.Cutter = "sentences",
    model: Where = None,
    engine: options.EngineName = "auto",
    engine_option: options.EngineOption = None,
    seed: options.Seed = 0,
    budget: options.BudgetText = None,
    json: options.Json = False,
) -> None:
    """Features that predict a label at the ends of steps. Beside the best neuron and a probe, on unseen problems.

    `ready` is whether an answer that is forced there is right: these are drawn by the engine into the run, once.
    """
    from cotlab.cli.output import print_json
    from cotlab.cli.progress import Bar
    from cotlab.cli.sae_tables import print_predictors
    from cotlab.runs import Run
    from cotlab.saes.predictors import feature_predictors, ready_predictors
    from cotlab.sampling import Budget
    from cotlab.whitebox import Inside

    with Run.open(run) as store:
        name = model or store.identity.model
    loaded = which.loaded(name)
    asked: dict[str, Any] = {"n": rollouts, "top": top, "cutter": cutter, "seed": seed}
    with going_on(f"cotlab sae predict {run}"), Bar(quiet=json) as bar, contextlib.redirect_stdout(sys.stderr):
        if label == "ready":
            drawn: dict[str, Any] = {
                "engine": engine,
                "engine_options": options.engine_options(engine_option),
                "model": model,
            }
            cap = Budget.parse(budget) if budget else None
            found = ready_predictors(run, loaded, **asked, **drawn, budget=cap, progress=bar)
        else:
            with Run.open(run) as store:
                found = feature_predictors(store, Inside.open(name), loaded, label, **asked, progress=bar)
    if json:
        print_json({"run": str(run), **found.to_json()})
    else:
        print_predictors(found)


@commands.command()
@takes_sae()
def attribute(
    run: options.RunFolder,
    step: Annotated[int, typer.Option(help="Step whose features are asked about.", min=0)],
    which: Any = None,
    target: Annotated[int | None, typer.Option(help="Later step that they act on; default: the next.", min=1)] = None,
    chain: Annotated[str | None, typer.Option(help="Id of a chain (or its start); default: the first.")] = None,
    exact: Annotated[int, typer.Option(help="Features that are also ablated, a forward pass each.", min=5)] = 40,
    top: Top = 15,
    model: Where = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Attribute what a step does to a later one to features. Gradient × activation beside exact ablation."""
    from cotlab.cli.output import print_json
    from cotlab.cli.progress import Bar
    from cotlab.cli.sae_tables import print_attribution
    from cotlab.runs import Run
    from cotlab.saes.feature_attribution import attribute_step
    from cotlab.whitebox import Inside
    from cotlab.whitebox.run_chain import chain_of

    with Run.open(run) as store, Bar(quiet=json) as bar:
        name, its = model or store.identity.model, chain_of(store, chain)
        loaded = which.loaded(name)
        found = attribute_step(
            Inside.open(name), loaded, its, step, target=target, n_exact=exact, seed=seed, progress=bar
        )
    if json:
        print_json({"run": str(run), **found.to_json()})
    else:
        print_attribution(found, top)


def _read(
    run: Path,
    which: Which,
    n: int,
    cutter: str,
    seed: int,
    model: str | None,
    *,
    quiet: bool,
    numbers: Sequence[int] = (),
) -> tuple[Any, SparseAutoencoder, Any]:
    from cotlab.cli.progress import Bar
    from cotlab.runs import Run
    from cotlab.saes.firings import check_features, read_firings
    from cotlab.whitebox import Inside

    with Run.open(run) as store, Bar(quiet=quiet) as bar:
        name = model or store.identity.model
        loaded = which.loaded(name)
        check_features(loaded, numbers)
        inside = Inside.open(name)
        return read_firings(store, inside, loaded, n=n, cutter=cutter, seed=seed, progress=bar), loaded, inside


def _spellings(word: str) -> list[str]:
    return [word, f" {word}", word.capitalize(), f" {word.capitalize()}"]


def _dashboards(found: Any, inside: Any, sae: SparseAutoencoder, numbers: list[int], out: Path) -> dict[str, str]:
    from cotlab.saes.dashboard import feature_dashboards

    return _written(feature_dashboards(found, inside, sae, numbers).to_json(), out)


def _written(document: dict[str, Any], out: Path) -> dict[str, str]:
    from cotlab.reports.feature_page import write_feature_page
    from cotlab.sampling.jobs import write_json

    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "features.json", document)
    return {"json": str(out / "features.json"), "html": str(write_feature_page(document, out / "features.html"))}


def _tell(files: dict[str, str]) -> None:
    from cotlab.cli.output import err

    for path in files.values():
        err().print(f"written: {path}", markup=False)

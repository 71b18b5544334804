"""`cotlab score`: judge again, without sampling."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cotlab.cli import options
from cotlab.cli.app import app
from cotlab.cli.output import out, print_json
from cotlab.errors import UserError

__all__ = ["score"]

CATEGORIES = "categories"


@app.command()
def score(
    run: options.RunFolder,
    scorer: Annotated[
        str, typer.Argument(help="answers, categories (of steps), or your own as package.module:name or file.py:name.")
    ],
    judge: Annotated[
        str | None, typer.Option(help="Categories by a model behind this OpenAI-compatible address (…/v1).")
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="Its name at that server.")] = None,
    judge_key: Annotated[str | None, typer.Option(help="Environment variable that holds the key, if any.")] = None,
    judge_timeout: Annotated[float, typer.Option(help="Seconds for one request.", min=0.1)] = 120.0,
    json: options.Json = False,
) -> None:
    """Score what this scorer has not scored yet. Rollouts, or with `categories` the steps of chains."""
    if scorer == CATEGORIES:
        _categories(run, judge, judge_model, judge_key, judge_timeout, json)
        return
    if judge is not None:
        raise UserError(f"--judge is for categories of steps, not for scorer '{scorer}'. Leave it out")
    from cotlab.chains.own_scorer import load_scorer
    from cotlab.cli.progress import Bar
    from cotlab.runs import Run
    from cotlab.sampling import score_run

    with Run.open(run, writable=True) as store, Bar() as bar:
        own = load_scorer(scorer, store.identity.tags)
        with contextlib.redirect_stdout(sys.stderr):  # a scorer of the user's own may print
            done = score_run(store, own, progress=bar)
        shares = store.summary().outcomes.get(own.id, {})
    if json:
        print_json({"run": str(run), "scorer": own.id, "scored_now": done, "outcomes": shares})
        return
    told = ", ".join(f"{name} {count:,}" for name, count in sorted(shares.items()))
    out().print(f"{own.id}: {done:,} rollouts scored now; in the run: {told}", markup=False)


def _categories(run: Path, url: str | None, model: str | None, key: str | None, timeout: float, json: bool) -> None:
    from collections import Counter

    from cotlab.categories import CategoryModel, RemoteJudge, StepClassifier, score_categories
    from cotlab.runs import Run

    classifier: StepClassifier = CategoryModel.load()
    if url is not None:
        if model is None:
            raise UserError("--judge needs --judge-model: the name of the model at that server")
        if key is not None and key not in os.environ:
            raise UserError(f"environment variable {key} (--judge-key) is not set. Set it, or leave --judge-key out")
        classifier = RemoteJudge(url, model, os.environ[key] if key else None, timeout)
    with Run.open(run, writable=True) as store:
        done = score_categories(store, classifier)
        shares = Counter(score.value["category"] for score in store.scores("step", classifier.id))
    if json:
        print_json({"run": str(run), "scorer": classifier.id, "scored_now": done, "categories": dict(shares)})
        return
    told = ", ".join(f"{name} {count:,}" for name, count in shares.most_common())
    out().print(f"{classifier.id}: {done:,} steps scored now; in the run: {told}", markup=False)

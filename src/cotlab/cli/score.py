"""`cotlab score`: judge again, without sampling."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated

import typer

from cotlab.cli import options
from cotlab.cli.app import app
from cotlab.cli.output import out, print_json

__all__ = ["score"]


@app.command()
def score(
    run: options.RunFolder,
    scorer: Annotated[str, typer.Argument(help="answers, or your own as package.module:name or file.py:name.")],
    json: options.Json = False,
) -> None:
    """Score every rollout of a run that this scorer has not scored."""
    from cotlab.chains.own_scorer import load_scorer
    from cotlab.cli.progress import Bar
    from cotlab.runs import Run
    from cotlab.sampling import score_run

    judge = load_scorer(scorer)
    with Run.open(run, writable=True) as store, Bar() as bar:
        with contextlib.redirect_stdout(sys.stderr):  # a scorer of the user's own may print
            done = score_run(store, judge, progress=bar)
        shares = store.summary().outcomes.get(judge.id, {})
    if json:
        print_json({"run": str(run), "scorer": judge.id, "scored_now": done, "outcomes": shares})
        return
    told = ", ".join(f"{name} {count:,}" for name, count in sorted(shares.items()))
    out().print(f"{judge.id}: {done:,} rollouts scored now; in the run: {told}", markup=False)

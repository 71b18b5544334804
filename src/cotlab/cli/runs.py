"""`cotlab runs`: what is there, is it whole, put two together."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.app import app
from cotlab.cli.output import err, out, print_json, print_table

__all__ = ["runs_app"]

runs_app = typer.Typer(help="List, show, verify, upgrade, merge and mend run folders.", no_args_is_help=True)
app.add_typer(runs_app, name="runs")

Root = Annotated[Path, typer.Argument(help="Folder that holds run folders.")]


@runs_app.command("list")
def list_(root: Root = Path("runs"), json: options.Json = False) -> None:
    """All runs under a folder."""
    from cotlab.runs import list_runs

    summaries = list_runs(root)
    if json:
        print_json([summary.to_json() for summary in summaries])
        return
    if not summaries:
        out().print(f"no runs under {root}. Make one with `cotlab demo`", markup=False)
        return
    print_table(
        f"{len(summaries)} run{'s' * (len(summaries) > 1)} under {root}",
        ["run", "model", ">problems", ">chains", ">prefixes", ">rollouts", ">tokens", ">MB", "state"],
        [
            [
                str(s.path),
                s.model,
                f"{s.problems:,}",
                f"{s.chains:,}",
                f"{s.prefixes:,}",
                f"{s.rollouts:,}",
                f"{s.tokens:,}",
                f"{s.size_bytes / 1e6:.1f}",
                s.state,
            ]
            for s in summaries
        ],
        wide=8,
    )


@runs_app.command()
def show(run: options.RunFolder, json: options.Json = False) -> None:
    """What one run holds."""
    from cotlab.runs import Run

    with Run.open(run) as store:
        summary = store.summary()
    if json:
        print_json(summary.to_json())
        return
    rows = [[name.replace("_", " "), _told(value)] for name, value in asdict(summary).items() if value not in ("", ())]
    print_table(f"run {run}", ["", ""], rows, wide=1)


def _told(value: Any) -> str:
    """A value of a summary as a person reads it."""
    if isinstance(value, dict):
        return ", ".join(
            f"{name} {_told(inner)}" if not isinstance(inner, dict) else f"{name}: {_told(inner)}"
            for name, inner in value.items()
        )
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


@runs_app.command()
def verify(run: options.RunFolder, json: options.Json = False) -> None:
    """Recompute every hash and count. Exit code 1 where something is wrong."""
    from cotlab.runs import verify_run

    findings = verify_run(run)
    if json:
        print_json({"run": str(run), "whole": not findings, "findings": [str(f) for f in findings]})
    elif findings:
        for finding in findings:
            out().print(str(finding), markup=False)
    else:
        out().print(f"{run} is whole", markup=False)
    raise typer.Exit(1 if findings else 0)


@runs_app.command()
def upgrade(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN …", help="Run folders of older formats.")],
    json: options.Json = False,
) -> None:
    """Bring runs of older formats up to date. Before, each opening takes a temporary copy of them."""
    from cotlab.runs import upgrade_run

    done = []
    for run in runs:
        done.append(upgrade_run(run))
        if not json:
            before, after = done[-1].before, done[-1].after
            told = f"brought from format {before} to" if before < after else "is of format"
            out().print(f"{run} {told} {after}{'' if before < after else ' already: nothing to do'}", markup=False)
    if json:
        print_json([{"run": str(one.path), "before": one.before, "after": one.after} for one in done])


@runs_app.command()
def merge(
    sources: Annotated[list[Path], typer.Argument(help="Run folders, the earlier first.")],
    into: Annotated[Path, typer.Option("--into", help="Folder of the merged run; a run that is there is merged into.")],
    keep_first: Annotated[
        bool, typer.Option("--keep-first", help="Where two runs differ, keep what the earlier one holds.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Put runs of the same model together. Equal rollouts become one."""
    from cotlab.errors import UserError
    from cotlab.runs import Run, merge_runs

    there = into.exists()
    if len(sources) < 2 and not there:
        raise UserError(f"merge got {len(sources)} run, and {into} is not there yet. Name two or more")
    done = merge_runs(sources, into, on_conflict="keep-first" if keep_first else "refuse")
    with Run.open(into) as store:
        summary = store.summary()
    if json:
        print_json({**summary.to_json(), "added": done.added, "conflicts": list(done.conflicts)})
        return
    told = f"{done.added:,} of them added" if there else f"of {len(sources)} runs"
    out().print(f"{into}: {summary.rollouts:,} rollouts, {told}", markup=False)
    for line in done.conflicts:
        err().print(f"not taken over: {line}", markup=False)


@runs_app.command()
def mend(
    run: options.RunFolder,
    answer: Annotated[str | None, typer.Option(help="The right gold answer.")] = None,
    problem: Annotated[
        str | None, typer.Option(help="Name of the problem, or start of its id; needed where there are several.")
    ] = None,
    gold: Annotated[
        Path | None, typer.Option("--gold", help="In place of --answer: a problem file with the right answers.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Mend wrong gold answers. Rollouts stay and are judged again; former verdicts are kept as `former:…`."""
    from cotlab.cli.progress import Bar
    from cotlab.errors import UserError
    from cotlab.problems import load_problems
    from cotlab.runs import Run
    from cotlab.sampling import mend_gold, with_answer

    if (answer is None) == (gold is None) or (gold is not None and problem is not None):
        raise UserError("mend needs either --answer (with --problem where there are several) or --gold FILE")
    with Run.open(run, writable=True) as store, Bar() as bar:
        golds = load_problems(str(gold)) if gold is not None else [with_answer(store, answer or "", problem)]
        done = mend_gold(store, golds, progress=bar)
    if json:
        print_json(
            {
                "run": str(run),
                "mended": [
                    {"problem": new.id, "name": new.name, "from": o.answer, "to": new.answer}
                    for o, new in done.problems
                ],
                "scored_now": done.scored,
                "left": list(done.left),
            }
        )
        return
    for old, new in done.problems:
        out().print(f"{new.name or new.id[:8]}: gold answer {old.answer!r} became {new.answer!r}", markup=False)
    told = ", ".join(f"{count:,} rollouts judged again by {name}" for name, count in done.scored.items())
    out().print(f"{len(done.problems)} gold answers mended; {told or 'no rollouts to judge again'}", markup=False)
    for name in done.left:
        out().print(f"set aside, and not found here to judge again: {name}. Use `cotlab score {run} …`", markup=False)

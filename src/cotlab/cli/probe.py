"""`cotlab probe`: what can be read off the model's inside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cotlab.cli import options
from cotlab.cli.app import app

if TYPE_CHECKING:
    from cotlab.stats import Estimate
    from cotlab.whitebox import ProbeReport, ProbeStudy

__all__ = ["probe"]


@app.command()
def probe(
    run: options.RunFolder,
    label: Annotated[str, typer.Option(help="correct, reachable, backtracks-next, slips, truncated, category:NAME.")],
    hook: Annotated[
        list[str] | None, typer.Option(help="KIND:LAYER, such as resid_post:2; repeatable. Default: every layer.")
    ] = None,
    method: Annotated[str, typer.Option(help="logistic, mass-mean or ridge.")] = "logistic",
    rollouts: Annotated[int, typer.Option("--rollouts", "-n", help="Rollouts that are read, of all problems.")] = 300,
    shuffles: Annotated[int, typer.Option(help="Probes fitted to shuffled labels, for the null.", min=0)] = 20,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Also probe the same architecture with random weights.")
    ] = False,
    model: Annotated[str | None, typer.Option(help="Whose activations; default: the run's model.")] = None,
    scorer: Annotated[str, typer.Option(help="Whose verdicts 'correct' is.")] = "answers/1",
    cutter: options.Cutter = "sentences",
    save: Annotated[Path | None, typer.Option(help="Folder for the probes, fitted on all examples.")] = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Fit linear probes for a label at the ends of steps, and judge them on problems that they have not seen."""
    from cotlab.cli.output import err, print_json
    from cotlab.cli.progress import Bar
    from cotlab.interventions.hook_points import HookPoint
    from cotlab.runs import Run
    from cotlab.whitebox import Inside, probe_run
    from cotlab.whitebox.probe_fit import checked_method

    how, points = checked_method(method), [HookPoint.parse(text) for text in hook or []]
    with Run.open(run) as store, Bar(quiet=json) as bar:
        study = probe_run(
            store,
            Inside.open(model or store.identity.model),
            label,
            points=points,
            method=how,
            n=rollouts,
            n_shuffles=shuffles,
            random_weights=random_weights,
            cutter=cutter,
            scorer_id=scorer,
            seed=seed,
            progress=bar,
        )
    paths = study.save(save) if save else []
    if json:
        print_json({"run": str(run), **study.to_json(), "probes": [str(path) for path in paths]})
        return
    _print(study)
    for path in paths:
        err().print(f"probe: {path}", markup=False)


def _print(study: ProbeStudy) -> None:
    from cotlab.cli.output import print_table

    first = study.reports[0]
    rows = [_row(report.hook, report) for report in study.reports]
    rows += [_row(f"{report.hook}, random weights", report) for report in study.random_weights]
    rows.append(("wording alone", _number(first.wording), "", "", "", "", ""))
    rows.append(("place alone", _number(first.position), "", "", "", "", ""))
    columns = ("hook point", ">AUC", ">null q95", ">p", ">balanced acc.", ">beyond wording", ">calibration err.")
    title = (
        f"{study.label}: {first.auc.n2} of {first.auc.n} places in {study.n_rollouts} rollouts, {first.method} probes"
    )
    print_table(title + ", unseen problems", columns, rows)


def _row(name: str, report: ProbeReport) -> tuple[str, ...]:
    found = report.auc
    return (
        name,
        _number(found),
        "" if found.null_q95 is None else f"{found.null_q95:.2f}",
        "" if found.p is None else f"{found.p:.3f}",
        _number(report.balanced_accuracy),
        _number(report.beyond_wording),
        f"{report.calibration.expected_error:.3f}",
    )


def _number(estimate: Estimate) -> str:
    """`0.72 (0.65, 0.79)`, a dash where there is none."""
    if estimate.value is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f}"
    return f"{estimate.value:.2f} ({estimate.low:.2f}, {estimate.high:.2f})"

"""`cotlab probe`: what can be read off the model's inside, along one chain too, and whether thinking can stop there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cotlab.cli import options
from cotlab.cli.app import app
from cotlab.cli.groups import group_with_default

if TYPE_CHECKING:
    from cotlab.stats import Estimate
    from cotlab.whitebox import ExitReport, ProbeReport, ProbeStudy

__all__ = ["curve", "leave", "probe"]

commands = group_with_default(
    "fit", "Linear probes: fit, follow, use. `cotlab probe RUN …` is `cotlab probe fit RUN …`."
)
app.add_typer(commands, name="probe")


@commands.command("fit")
def probe(
    run: options.RunFolder,
    label: Annotated[
        str, typer.Option(help="correct, reachable, reachable-ahead, backtracks-next, slips, truncated, category:NAME.")
    ],
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
    """Fit linear probes for a label at the ends of steps. Judged on problems that they have not seen."""
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


@commands.command()
def curve(
    run: options.RunFolder,
    probes: Annotated[list[Path], typer.Option("--probe", help="A saved probe; may be repeated.")],
    chain: Annotated[str | None, typer.Option(help="Id of a chain (or its start); default: the first.")] = None,
    model: Annotated[str | None, typer.Option(help="Whose activations; default: the run's model.")] = None,
    figure: Annotated[Path | None, typer.Option("--out", help="Also draw the curves, as SVG.")] = None,
    json: options.Json = False,
) -> None:
    """Follow probes along a chain. What they say after every token, and at the end of each step."""
    from cotlab.cli.output import err, print_json, print_table
    from cotlab.reports.curves import curves_svg
    from cotlab.runs import Run
    from cotlab.sampling import find_chains
    from cotlab.whitebox import Inside, Probe, probe_curve

    loaded = [Probe.load(path) for path in probes]
    with Run.open(run) as store:
        found = find_chains(store, chain)
        name = model or store.identity.model
    curves = probe_curve(Inside.open(name), loaded, found[0])
    if figure is not None:
        figure.parent.mkdir(parents=True, exist_ok=True)
        figure.write_text(curves_svg([(f"{c.label}, {c.hook}", c.tokens) for c in curves], curves[0].ends), "utf-8")
        err().print(f"figure: {figure}", markup=False)
    if json:
        print_json({"run": str(run), "chain": found[0].id, "curves": [one.to_json() for one in curves]})
        return
    columns = ["step", *(f">{one.label} {one.hook}" for one in curves), "says"]
    rows = [
        (str(i), *(f"{one.steps[i]:.2f}" for one in curves), " ".join(text.split()))
        for i, text in enumerate(curves[0].texts)
    ]
    print_table(f"Chain {found[0].id[:12]}: probability at the end of each step", columns, rows)
    if any(one.seen for one in curves):
        err().print("the probes may have been fitted on this problem, which flatters them", markup=False)


@commands.command("exit")
def leave(
    run: options.RunFolder,
    hook: Annotated[str, typer.Option(help="Hook point that the probe reads, KIND:LAYER.")],
    threshold: Annotated[
        str, typer.Option(help="Thresholds on P(answer is there), with commas.")
    ] = "0.5,0.7,0.8,0.9,0.95",
    method: Annotated[str, typer.Option(help="logistic, mass-mean or ridge.")] = "logistic",
    rollouts: Annotated[int, typer.Option("--rollouts", "-n", help="Chains, of all problems.", min=1)] = 200,
    answers: Annotated[int, typer.Option(help="Answers forced at the end of each step.", min=1)] = 1,
    shuffles: Annotated[int, typer.Option(help="Probes fitted to shuffled labels, for the null.", min=0)] = 20,
    cutter: options.Cutter = "sentences",
    model: Annotated[str | None, typer.Option(help="Where the run's model is, if it is a folder.")] = None,
    engine: options.EngineName = "auto",
    engine_option: options.EngineOption = None,
    seed: options.Seed = 0,
    budget: options.BudgetText = None,
    json: options.Json = False,
) -> None:
    """Stop thinking where a probe is sure of the answer. Tokens saved, accuracy lost, beside controls."""
    import contextlib
    import sys

    from cotlab.cli.output import print_json
    from cotlab.cli.progress import Bar
    from cotlab.cli.steer_options import going_on, numbers
    from cotlab.sampling import Budget
    from cotlab.whitebox import exit_run
    from cotlab.whitebox.probe_fit import checked_method

    with going_on(f"cotlab probe exit {run}"), Bar(quiet=json) as bar, contextlib.redirect_stdout(sys.stderr):
        report = exit_run(
            run,
            hook=hook,
            thresholds=numbers(threshold, "thresholds"),
            method=checked_method(method),
            n=rollouts,
            answers=answers,
            cutter=cutter,
            model=model,
            engine=engine,
            engine_options=options.engine_options(engine_option),
            n_shuffles=shuffles,
            seed=seed,
            budget=Budget.parse(budget) if budget else None,
            progress=bar,
        )
    if json:
        print_json({"run": str(run), **report.to_json()})
    else:
        _print_exits(report)


def _print_exits(report: ExitReport) -> None:
    from cotlab.cli.output import out, print_table

    rows = [
        (
            f"{row.threshold:g}",
            f"{row.left:.0%}",
            _number(row.saved),
            _number(row.lost),
            *(_number(row.controls[name]) for name in ("wording", "place", "blind")),
        )
        for row in report.rows
    ]
    columns = [">P at least", ">leave", ">tokens saved", ">accuracy", ">by wording", ">by place", ">blind"]
    print_table(
        f"Leaving {report.n_chains} chains of {report.n_problems} problems early at {report.hook}: change of accuracy "
        "beside rules that save as much",
        columns,
        rows,
    )
    told = (
        f"whole chains are right {report.accuracy:.0%}; one that knows would leave with {report.best:.0%} and save "
        f"{report.best_saved:.0%}; AUC of the probe {_number(report.probe.auc)}, of the wording "
        f"{_number(report.probe.wording)}, of the place {_number(report.probe.position)}"
    )
    out().print(told, markup=False)


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

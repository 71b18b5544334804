"""`cotlab steer report` and `cotlab steer layers`: what a vector does, and at which layer."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.steer_options import (
    BehaviourStudy,
    Doses,
    Hold,
    Hook,
    KeepNorm,
    Method,
    Part,
    Random,
    StepEnds,
    Trigger,
    going_on,
    model_of,
    numbers,
    place,
    steer,
    takes_study,
)
from cotlab.cli.taking import taking

if TYPE_CHECKING:
    from cotlab.whitebox import LayerReport, StudyPlan, StudyResult

__all__ = ["layers", "report"]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What both commands are asked."""

    study: BehaviourStudy
    plan: dict[str, Any]
    """Fields of `cotlab.whitebox.StudyPlan`."""
    vector: Path | None


@takes_study()
def _asked(  # one parameter an option: that is what typer reads
    vector: Annotated[Path | None, typer.Option(help="A vector that is there; default: one is made.")] = None,
    method: Method = "matched",
    dose: Doses = "0.1,0.2,0.3",
    where: Part = "all",
    step_ends: StepEnds = None,
    trigger: Trigger = None,
    hold: Hold = 1,
    keep_norm: KeepNorm = False,
    study: Any = None,
) -> _Asked:
    plan = {
        "behaviour": study.behaviour,
        "method": method,
        "doses": numbers(dose),
        "where": place(where, step_ends, trigger, hold),
        "keep_norm": keep_norm,
        "n_problems": study.n_problems,
        "n": study.n,
        "seed": study.seed,
    }
    return _Asked(study, plan, vector)


@steer.command()
@taking(_asked)
def report(
    asked: _Asked,
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")] = Path("runs/steer-report"),
    hook: Hook = None,
    run: Annotated[Path | None, typer.Option(help="Take the model of this run.")] = None,
    random: Random = 3,
    rank: Annotated[int, typer.Option(help="Rank the largest dose among so many random vectors (200).", min=0)] = 0,
    json: options.Json = False,
) -> None:
    """Test a vector against random ones, the other sign, a prompt. Dose curves of behaviour, accuracy, length."""
    from cotlab.cli.output import print_json
    from cotlab.whitebox import StudyPlan, steer_report

    plan = StudyPlan(**asked.plan, hook=hook, n_random=random, rank=rank)
    model = model_of(run, asked.study.model)
    result = _carried_out(steer_report, plan, out, f"cotlab steer report --out {out}", asked, model=model)
    if json:
        print_json(result.to_json())
    else:
        _show(result, out)


@steer.command()
@taking(_asked, n_problems=40, rollouts=3)
def layers(
    asked: _Asked,
    out: Annotated[Path, typer.Option("--out", help="Folder of what is found.")] = Path("runs/steer-layers"),
    hook: Annotated[list[str] | None, typer.Option("--hook", help="Hook point to try; may be repeated.")] = None,
    json: options.Json = False,
) -> None:
    """Try a vector at each layer. KL by attribution and as measured, and the behaviour's rate over doses."""
    from cotlab.cli.output import print_json
    from cotlab.whitebox import StudyPlan, steer_layers

    named = {"model": asked.study.model, "hooks": tuple(hook or ())}
    command = f"cotlab steer layers --out {out}"
    found = _carried_out(steer_layers, StudyPlan(**asked.plan), out, command, asked, **named)
    if json:
        print_json(found.to_json())
    else:
        _show_layers(found, out)


def _carried_out(
    study: Callable[..., Any], plan: StudyPlan, out: Path, command: str, asked: _Asked, **named: Any
) -> Any:
    """Run a study with a progress bar; a Ctrl-C says that `command` goes on."""
    from cotlab.cli.progress import Bar
    from cotlab.interventions import load_vector

    with going_on(command), Bar() as bar, contextlib.redirect_stdout(sys.stderr):
        made = None if asked.vector is None else load_vector(asked.vector)
        return study(plan, out, vector=made, budget=asked.study.cap(), progress=bar, **asked.study.opening, **named)


def _show_layers(found: LayerReport, out: Path) -> None:
    from cotlab.cli.output import out as console
    from cotlab.cli.output import print_table
    from cotlab.whitebox.steering_study import layer_cells

    columns = ["hook point", ">dose", ">KL", ">attributed", ">× random", ">rate, dose − negative", ">accuracy − none"]
    print_table(f"{found.plan.behaviour} by layer, KL in nats a token", columns, layer_cells(found.rows))
    best = found.chosen
    console().print(f"chosen: {best.hook} at dose {best.best.dose:g}; {out / 'vector.safetensors'}", markup=False)


def _show(result: StudyResult, out: Path) -> None:
    from cotlab.cli.output import out as console
    from cotlab.cli.output import print_table
    from cotlab.whitebox.arms import MEASURES
    from cotlab.whitebox.steering_study import cell

    rows = [["no steering", *(cell(result.baseline[name]) for name in MEASURES), ""]]
    for row in result.doses:
        measures = [cell(row.measures[name]) for name in MEASURES]
        rows.append([f"dose {row.dose:g}", *measures, cell(row.beyond_random)])
    title = f"{result.plan.behaviour} under {result.vector.points[0]}"
    print_table(title, ["arm", *(f">{name}" for name in MEASURES), ">beyond random"], rows)
    console().print(result.verdict, markup=False)
    console().print(f"{out / 'report.md'} holds the controls and texts side by side", markup=False)

"""`cotlab steer`: make steering vectors, test them, and branch a chain under them."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from cotlab.cli import options
from cotlab.cli.app import app

if TYPE_CHECKING:
    from cotlab.interventions import Where

__all__ = ["branch", "norms", "report", "vector"]


class _Steer(TyperGroup):
    """`cotlab steer RUN …` is `cotlab steer branch RUN …`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["branch", *args]
        return super().resolve_command(ctx, args)


steer = typer.Typer(
    cls=_Steer,
    help="Steering vectors: make, test, branch. `cotlab steer RUN …` is `cotlab steer branch RUN …`.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(steer, name="steer")

BehaviourName = Annotated[str, typer.Option("--behaviour", help="backtracking, uncertainty or checking.")]
Hook = Annotated[
    str | None, typer.Option("--hook", help="Hook point, KIND:LAYER (resid_post:2); default: chosen by measurement.")
]
Method = Annotated[str, typer.Option(help="matched, difference, pca or steering-thinking-llms.")]
Doses = Annotated[str, typer.Option("--dose", help="Relative doses α‖v‖/mean‖h‖, with commas.")]
Part = Annotated[str, typer.Option("--where", help="all, prompt, response, think, new or last:N.")]
StepEnds = Annotated[list[str] | None, typer.Option("--step-ends", help="Only tokens that end in this (\\n).")]
Trigger = Annotated[list[str] | None, typer.Option("--trigger", help="Only after this text was said …")]
Hold = Annotated[int, typer.Option("--hold", help="… for so many tokens.", min=1)]
KeepNorm = Annotated[bool, typer.Option("--keep-norm", help="Keep the norm of each activation.")]
Random = Annotated[int, typer.Option("--random", help="Norm-matched random vectors beside it.", min=2)]


@steer.command()
def report(  # one parameter an option: that is what typer reads
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")] = Path("runs/steer-report"),
    behaviour: BehaviourName = "backtracking",
    vector: Annotated[Path | None, typer.Option(help="A vector that is there (default: one is made).")] = None,
    hook: Hook = None,
    method: Method = "matched",
    dose: Doses = "0.1,0.2,0.3",
    where: Part = "all",
    step_ends: StepEnds = None,
    trigger: Trigger = None,
    hold: Hold = 1,
    keep_norm: KeepNorm = False,
    model: options.Model = "tiny",
    run: Annotated[Path | None, typer.Option(help="Take the model of this run.")] = None,
    problems: options.Problems = "countdown",
    n_problems: Annotated[int, typer.Option(help="Problems that arms are compared on.", min=5)] = 50,
    rollouts: Annotated[int, typer.Option("--rollouts", "-n", help="Rollouts of each.", min=1)] = 5,
    random: Random = 3,
    rank: Annotated[int, typer.Option(help="Rank the largest dose among so many random vectors (200).", min=0)] = 0,
    max_tokens: options.MaxTokens = None,
    engine: options.EngineName = "auto",
    engine_option: options.EngineOption = None,
    seed: options.Seed = 0,
    budget: options.BudgetText = None,
    json: options.Json = False,
) -> None:
    """Test a vector: dose curve of a behaviour, accuracy, length and repetition against random, sign and prompt."""
    from cotlab.cli.output import print_json
    from cotlab.cli.progress import Bar
    from cotlab.interventions import load_vector
    from cotlab.sampling import Budget
    from cotlab.whitebox import StudyPlan, steer_report

    plan = StudyPlan(
        behaviour=behaviour,
        hook=hook,
        method=method,  # type: ignore[arg-type]  # checked where it is used
        doses=numbers(dose),
        where=place(where, step_ends, trigger, hold),
        keep_norm=keep_norm,
        n_problems=n_problems,
        n=rollouts,
        n_random=random,
        rank=rank,
        seed=seed,
    )
    with going_on(f"cotlab steer report --out {out}"), Bar() as bar, contextlib.redirect_stdout(sys.stderr):
        result = steer_report(
            plan,
            out,
            model=model_of(run, model),
            engine=engine,
            problems=problems,
            vector=None if vector is None else load_vector(vector),
            max_tokens=max_tokens,
            engine_options=options.engine_options(engine_option),
            budget=Budget.parse(budget) if budget else None,
            progress=bar,
        )
    if json:
        print_json(result.to_json())
        return
    _show(result, out)


def _show(result: Any, out: Path) -> None:
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


@steer.command()
def vector(
    out: Annotated[Path, typer.Option("--out", help="File: .safetensors, or .gguf for llama.cpp.")],
    behaviour: BehaviourName = "backtracking",
    hook: Annotated[list[str] | None, typer.Option("--hook", help="Hook point, KIND:LAYER; may be repeated.")] = None,
    method: Method = "matched",
    positive: Annotated[Path | None, typer.Option(help="Texts that it leads to, parted by blank lines.")] = None,
    negative: Annotated[Path | None, typer.Option(help="Texts that it leads away from.")] = None,
    at: Annotated[str, typer.Option(help="Of texts: last token, or mean.")] = "last",
    model: options.Model = "tiny",
    problems: options.Problems = "countdown",
    n_problems: Annotated[int, typer.Option(help="Problems that it is made from.", min=2)] = 50,
    rollouts: Annotated[int, typer.Option("--rollouts", "-n", help="Rollouts of each.", min=1)] = 5,
    engine: options.EngineName = "auto",
    engine_option: options.EngineOption = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Make a vector: of a behaviour in the model's own chains, or from two files of texts."""
    import json as library

    from cotlab.cli.output import err, print_json
    from cotlab.interventions import save_vector
    from cotlab.whitebox.making import make_vector

    with contextlib.redirect_stdout(sys.stderr):
        made = make_vector(
            behaviour,
            hook or [],
            method=method,
            texts=(positive, negative, at),
            model=model,
            problems=problems,
            n_problems=n_problems,
            n=rollouts,
            engine=engine,
            engine_options=options.engine_options(engine_option),
            seed=seed,
        )
        save_vector(made, out)
    told = {"path": str(out), "id": made.id, "points": [str(p) for p in made.points], "card": made.card.to_json()}
    if json:
        print_json(told)
    else:
        err().print(f"{out} written", markup=False)
        print(library.dumps(told, indent=2, ensure_ascii=False))


@steer.command()
def norms(
    vector: Annotated[Path, typer.Argument(metavar="VECTOR", help="A vector of another tool (.gguf) or model.")],
    out: Annotated[Path, typer.Option("--out", help="File that the vector is written to, with the norms.")],
    model: options.Model = "tiny",
    problems: options.Problems = "countdown",
    engine: options.EngineName = "auto",
    engine_option: options.EngineOption = None,
    json: options.Json = False,
) -> None:
    """Fit a vector to a model: measure the activations' norms that doses are relative to."""
    from cotlab.cli.output import out as console
    from cotlab.cli.output import print_json
    from cotlab.interventions import load_vector, save_vector
    from cotlab.whitebox.making import with_norms

    with contextlib.redirect_stdout(sys.stderr):
        given = options.engine_options(engine_option)
        fitted = with_norms(load_vector(vector), model=model, problems=problems, engine=engine, engine_options=given)
        save_vector(fitted, out)
    told = {str(point): norm for point, norm in zip(fitted.points, fitted.card.mean_norms, strict=True)}
    if json:
        print_json({"path": str(out), "id": fitted.id, "mean_norms": told})
        return
    for point, norm in told.items():
        console().print(f"{point}: mean norm {norm:.2f}", markup=False)


def numbers(text: str) -> tuple[float, ...]:
    """Numbers with commas between them.

    Raises:
        UserError: One is none.
    """
    from cotlab.errors import UserError

    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"doses '{text}' not understood. Use numbers with commas, such as 0.1,0.2") from None


def place(
    part: str, step_ends: list[str] | None, trigger: list[str] | None, hold: int, after: int | None = None
) -> Where:
    """What `--where` and its companions say.

    Raises:
        UserError: It cannot be.
    """
    from cotlab.errors import UserError
    from cotlab.interventions import Where

    name, _, count = part.partition(":")
    if count and not count.isdecimal():
        raise UserError(f"where '{part}' not understood. Use all, prompt, response, think, new or last:N")
    ends = tuple(text.replace("\\n", "\n") for text in step_ends or ())
    n = int(count) if count else None
    return Where(name, after, n, ends, tuple(trigger or ()), hold)  # type: ignore[arg-type]  # `Where` checks it


def model_of(run: Path | None, model: str) -> str:
    """The model of a run, or the one that is named."""
    if run is None:
        return model
    from cotlab.runs import Run

    with Run.open(run) as store:
        return store.identity.model


@contextlib.contextmanager
def going_on(command: str) -> Any:
    """Say after a Ctrl-C that what was sampled is stored."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"interrupted: what was sampled is stored; `{command}` goes on there", err=True)
        raise typer.Exit(130) from None


@steer.command()
def branch(  # one parameter an option: that is what typer reads
    run: options.RunFolder,
    vector: Annotated[Path, typer.Option(help="A steering vector.")],
    from_step: Annotated[int, typer.Option("--from-step", help="Steps of the chain that are kept.", min=0)],
    dose: Doses = "0.2",
    chain: Annotated[str | None, typer.Option(help="Id of a chain (or its start); default: the first.")] = None,
    where: Part = "new",
    step_ends: StepEnds = None,
    trigger: Trigger = None,
    hold: Hold = 1,
    keep_norm: KeepNorm = False,
    rollouts: Annotated[int, typer.Option("--rollouts", "-n", help="Rollouts of each arm.", min=5)] = 50,
    random: Annotated[int, typer.Option("--random", help="Norm-matched random vectors.", min=0)] = 2,
    model: Annotated[str | None, typer.Option(help="Where the run's model is, if it is a folder.")] = None,
    engine: options.EngineName = "auto",
    engine_option: options.EngineOption = None,
    budget: options.BudgetText = None,
    json: options.Json = False,
) -> None:
    """Steer a chain of a run from a step on, beside the baseline at the same prefix with the same seeds."""
    from cotlab.cli.output import print_json, print_table
    from cotlab.cli.progress import Bar
    from cotlab.interventions import load_vector
    from cotlab.sampling import Budget
    from cotlab.whitebox.steering_study import cell, steer_branch

    with going_on(f"cotlab steer {run}"), Bar() as bar, contextlib.redirect_stdout(sys.stderr):
        result = steer_branch(
            run,
            load_vector(vector),
            step=from_step,
            doses=numbers(dose),
            chain=chain,
            where=place(where, step_ends, trigger, hold),
            keep_norm=keep_norm,
            n=rollouts,
            n_random=random,
            model=model,
            engine=engine,
            engine_options=options.engine_options(engine_option),
            budget=Budget.parse(budget) if budget else None,
            progress=bar,
        )
    if json:
        print_json(result.to_json())
        return
    rows = [["no steering", f"{result.baseline:.3f}", "", "", ""]]
    for arm in result.arms:
        floor = f"{arm.answers.null_q95:.3f}" if arm.answers.null_q95 is not None else ""
        rows.append([arm.name, f"{arm.value:.3f}", cell(arm.shift), cell(arm.answers), floor])
    title = f"Step {result.step} of chain {result.chain_id[:12]}, {result.n} rollouts an arm"
    print_table(title, ["arm", ">value", ">shift", ">answers moved", ">floor (95%)"], rows)

"""What the `cotlab steer` commands share: their group, their options, and how those are read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.app import app
from cotlab.cli.groups import group_with_default
from cotlab.cli.taking import taking

if TYPE_CHECKING:
    from cotlab.sampling import Budget
    from cotlab.whitebox.branching import BranchResult

__all__ = [
    "BehaviourName", "BehaviourStudy", "Doses", "Hold", "Hook", "KeepNorm", "Method", "Part", "Random", "StepEnds",
    "Trigger", "going_on", "model_of", "numbers", "place", "print_arms", "steer", "takes_place", "takes_study",
]  # fmt: skip


steer = group_with_default(
    "branch", "Steering vectors: make, test, branch. `cotlab steer RUN …` is `cotlab steer branch RUN …`."
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


@dataclass(frozen=True, slots=True)
class BehaviourStudy:
    """On what a behaviour is measured, whatever is changed in the model."""

    behaviour: str
    n_problems: int
    n: int
    """Rollouts of each problem and arm."""
    seed: int
    model: str
    opening: dict[str, Any]
    """Problems, engine and cap of length, as `cotlab.whitebox.steer_report` and its like take them."""
    budget: str | None

    def cap(self) -> Budget | None:
        """The budget, parsed."""
        from cotlab.sampling import Budget

        return Budget.parse(self.budget) if self.budget else None


def behaviour_study(  # one parameter an option: that is what typer reads
    behaviour: BehaviourName = "backtracking",
    model: options.Model = "tiny",
    problems: options.Problems = "countdown",
    n_problems: Annotated[int, typer.Option(help="Problems that arms are compared on.", min=5)] = 50,
    rollouts: Annotated[int, typer.Option("--rollouts", "-n", help="Rollouts of each.", min=1)] = 5,
    max_tokens: options.MaxTokens = None,
    engine: options.EngineName = "auto",
    engine_option: options.EngineOption = None,
    seed: options.Seed = 0,
    budget: options.BudgetText = None,
) -> BehaviourStudy:
    """What `--behaviour`, `--problems` and their companions say."""
    opening = {
        "engine": engine,
        "problems": problems,
        "max_tokens": max_tokens,
        "engine_options": options.engine_options(engine_option),
    }
    return BehaviourStudy(behaviour, n_problems, rollouts, seed, model, opening, budget)


def takes_study(**defaults: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options of a study of a behaviour, in the place of its parameter `study`."""
    return taking(behaviour_study, "study", **defaults)


def numbers(text: str, name: str = "doses") -> tuple[float, ...]:
    """Numbers with commas between them.

    Raises:
        UserError: One is none.
    """
    from cotlab.errors import UserError

    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"{name} '{text}' not understood. Use numbers with commas, such as 0.1,0.2") from None


def place(where: Part = "all", step_ends: StepEnds = None, trigger: Trigger = None, hold: Hold = 1) -> Any:
    """What `--where` and its companions say: a `Where`.

    Raises:
        UserError: It cannot be.
    """
    from cotlab.errors import UserError
    from cotlab.interventions import Where

    name, _, count = where.partition(":")
    if count and not count.isdecimal():
        raise UserError(f"where '{where}' not understood. Use all, prompt, response, think, new or last:N")
    ends = tuple(text.replace("\\n", "\n") for text in step_ends or ())
    n = int(count) if count else None
    return Where(name, None, n, ends, tuple(trigger or ()), hold)  # type: ignore[arg-type]  # `Where` checks it


def takes_place(default: str = "all") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of where something holds, in the place of its parameter `place`."""
    return taking(place, "place", where=default)


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


def print_arms(result: BranchResult, nothing: str, told: str = "") -> None:
    """Arms of a branch beside the baseline.

    Args:
        result: What was found.
        nothing: What the baseline is called.
        told: What was changed.
    """
    from cotlab.cli.output import print_table
    from cotlab.whitebox.steering_study import cell

    rows = [[nothing, f"{result.baseline:.3f}", "", "", ""]]
    for arm in result.arms:
        floor = f"{arm.answers.null_q95:.3f}" if arm.answers.null_q95 is not None else ""
        rows.append([arm.name, f"{arm.value:.3f}", cell(arm.shift), cell(arm.answers), floor])
    title = f"Step {result.step} of chain {result.chain_id[:12]}, {result.n} rollouts an arm"
    heads = ["arm", ">value", ">shift", ">answers moved", ">floor (95%)"]
    print_table(f"{title}: {told}" if told else title, heads, rows)

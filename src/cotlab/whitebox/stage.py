"""The stage of a steering study: an engine that can steer, a run, and problems in two halves with their prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from cotlab.chains.own_scorer import load_scorer
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.templates import Template
from cotlab.engines import engine_for, open_engine
from cotlab.engines.base import Engine
from cotlab.engines.load import OpenedEngine
from cotlab.errors import UserError
from cotlab.problems import load_problems
from cotlab.runs import Run
from cotlab.sampling import Budget, Progress, Sampler
from cotlab.whitebox.arms import Arms, Prompted
from cotlab.whitebox.behaviours import Behaviour, behaviour

__all__ = ["Asked", "Setting", "Stage", "open_steerable", "prompts_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """Everything open."""

    arms: Arms
    engine: Engine
    template: Template
    making: list[Prompted]
    """Problems that a vector is made from and layers are tried on."""
    judging: list[Prompted]
    """Problems that arms are compared on."""

    def asking(self) -> list[Prompted]:
        """The judged problems with a prompt that asks for the behaviour, stored in the run."""
        asked = [
            (problem, self.template.prompt(problem, self.engine.tokenizer))
            for problem in asking_problems([problem for problem, _ in self.judging], self.arms.its)
        ]
        self.store(asked)
        return asked

    def store(self, prompted: Sequence[Prompted]) -> None:
        """Make problems and their prompts known to the run."""
        for problem, prefix in prompted:
            self.arms.run.add_problems([problem])
            self.arms.run.add_prefix(prefix, problem.id, text=self.engine.tokenizer.decode(prefix.token_ids))


class Asked(Protocol):
    """The part of a study's plan that its stage needs."""

    @property
    def behaviour(self) -> str:
        """A key of `BEHAVIOURS`."""
        ...

    @property
    def n_problems(self) -> int:
        """Problems that arms are compared on; as many others come beside."""
        ...

    @property
    def seed(self) -> int:
        """Of problems and rollouts."""
        ...

    def to_json(self) -> dict[str, Any]:
        """What the study says of itself."""
        ...


@dataclass(frozen=True, slots=True)
class Setting:
    """What a stage is made from."""

    model: str
    engine: str
    problems: str
    max_tokens: int | None
    engine_options: Mapping[str, Any]
    budget: Budget | None
    progress: Progress

    @contextmanager
    def open(self, path: Path, plan: Asked) -> Iterator[Stage]:
        """Open engine and run.

        Args:
            path: Run folder.
            plan: What is asked.

        Raises:
            UserError: Something cannot be, one line.
        """
        its = behaviour(plan.behaviour)
        opened = open_steerable(self.model, self.engine, self.engine_options)
        with opened.engine as engine:
            settings, limit = opened.card.sampling, self.max_tokens
            settings = settings if limit is None else replace(settings, max_tokens=limit)
            found = load_problems(self.problems, n=2 * plan.n_problems, seed=plan.seed)
            if len(found) < 2 * plan.n_problems:
                raise UserError(
                    f"{self.problems} has {len(found)} problems; a study of {plan.n_problems} takes as many again to "
                    "make the vector from. Lower --n-problems"
                )
            prompted = prompts_of(found, lambda problem: opened.template.prompt(problem, engine.tokenizer))
            half = len(prompted) // 2
            with Run.open_or_create(path, opened.identity) as run:
                spec = {**plan.to_json(), "model": self.model, "problems": self.problems}
                study = run.add_study(spec, plan.seed)
                sampler = Sampler(run, engine, study, seed=plan.seed, budget=self.budget, progress=self.progress)
                scorer = load_scorer("answers", run.identity.tags)
                arms = Arms(run, engine, sampler, scorer, its, settings, self.progress)
                stage = Stage(arms, engine, opened.template, prompted[:half], prompted[half:])
                stage.store(prompted)
                yield stage


def open_steerable(model: str, engine: str, engine_options: Mapping[str, Any] | None = None) -> OpenedEngine:
    """Open an engine that can steer: vLLM without CUDA graphs.

    Raises:
        UserError: The engine cannot steer this model.
    """
    options = dict(engine_options or {})
    if engine_for(model, engine) == "vllm":
        options.setdefault("enforce_eager", True)
    opened = open_engine(model, engine, options=options)
    if "steering" not in opened.engine.capabilities.interventions:
        with opened.engine as cannot:
            why = cannot.capabilities.missing or "it has no activations"
            raise UserError(f"the {cannot.card.engine} engine cannot steer '{model}': {why}")
    return opened


def asking_problems(problems: Sequence[Problem], its: Behaviour) -> list[Problem]:
    """The same problems, asked so that the behaviour is wanted: the prompt control."""
    from cotlab import tiny
    from cotlab.problems.tasks import tiny_problem

    asked = []
    for problem in problems:
        task = tiny.problem_from_question(problem.question)
        if task is not None:
            asked.append(tiny_problem(task.noted(manner=its.tiny_manner), f"{problem.name} {its.tiny_manner}"))
        else:
            asked.append(replace(problem, question=f"{problem.question}\n\n{its.request}"))
    return asked


def prompts_of(problems: Sequence[Problem], render: Callable[[Problem], Prefix]) -> list[Prompted]:
    """Problems with their prompts, those with an equal prompt once."""
    found: dict[str, Prompted] = {}
    for problem in problems:
        prefix = render(problem)
        found.setdefault(prefix.id, (problem, prefix))
    return list(found.values())

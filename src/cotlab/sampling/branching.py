"""Draw more at one prefix of a run: under the settings that its rollouts were drawn under, or at another temperature.

1. Open the model of the run, on the engine that drew the condition which is gone on with.
2. Draw what is missing of n rollouts from the prefix; score it.
3. At the old temperature they make the condition larger; at another they are a condition of their own, to be compared
   with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cotlab.chains.own_scorer import load_scorer
from cotlab.chains.settings import SamplingSettings
from cotlab.errors import UserError
from cotlab.runs import Run
from cotlab.sampling.budget import Budget
from cotlab.sampling.draw import Sampler
from cotlab.sampling.progress import Progress, Silent
from cotlab.sampling.scoring import score_run

__all__ = ["BranchConfig", "FinishedBranch", "branch_job", "checked", "run_branch"]


_Asked = TypeVar("_Asked", bound=BaseModel)


def checked(kind: type[_Asked], asked: Mapping[str, Any]) -> _Asked:
    """A request of a job.

    Raises:
        UserError: A value is out of range or unknown; the message names it.
    """
    try:
        return kind(**asked)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{name} is {first.get('input')!r}: {first['msg'].lower()}") from None


class BranchConfig(BaseModel):
    """More rollouts from one prefix, as a user asks for them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: Path
    prefix_id: str
    n: int = Field(default=100, ge=1, le=1_000_000)
    """Rollouts that shall be there in the end."""
    settings_id: str
    """Of the condition that is gone on with."""
    engine_card_id: str
    temperature: float | None = Field(default=None, gt=0, le=100)
    """None: as the condition has it."""
    scorer: str = "answers"
    engine: str | None = None
    """None: the engine of the condition."""
    engine_options: Mapping[str, Any] = Field(default_factory=dict)
    budget: str | None = None

    @classmethod
    def of(cls, **asked: Any) -> BranchConfig:
        """Check what was asked for.

        Raises:
            UserError: A value is out of range or unknown; the message names it.
        """
        return checked(cls, asked)


@dataclass(frozen=True, slots=True)
class FinishedBranch:
    """What was drawn; the run is closed."""

    path: Path
    prefix_id: str
    settings_id: str
    engine_card_id: str
    scorer_id: str
    sampled_now: int
    failures: int
    stopped: str | None
    """Why it stopped early (the budget)."""
    same_engine: bool
    """Whether the engine's card is that of the condition; else the two are compared across engines."""


def run_branch(config: BranchConfig, *, progress: Progress | None = None) -> FinishedBranch:
    """Draw what a prefix lacks; asked again it finds everything there and samples nothing.

    Raises:
        UserError: The run has no such prefix or condition, or its model is not here or has another tokenizer.
        EngineError: The engine broke; what it gave is stored.
    """
    from cotlab.engines.load import open_engine

    progress = progress or Silent()
    with Run.open(config.run) as reading:
        scorer = load_scorer(config.scorer, reading.identity.tags)
        identity, settings, engine_name = reading.identity, _settings(reading, config), _engine(reading, config)
        reading.prefix(config.prefix_id)
    progress.phase(f"loading {identity.model}", 0)
    opened = open_engine(identity.model, engine_name, options=config.engine_options)
    with opened.engine as engine, Run.open(config.run, writable=True) as run:
        if engine.tokenizer.id != identity.tokenizer_id:
            raise UserError(
                f"{identity.model} has another tokenizer than when {config.run} was sampled: use the model's former "
                "revision, or a new run"
            )
        # The prompt's ids are in the run: they were written by its template, whatever the model's card names today.
        engine.set_template(identity.template_id)
        prefix, seed = run.prefix(config.prefix_id), _seed(run)
        study_id = run.add_study({"kind": "branch", **config.model_dump(mode="json", exclude={"run"})}, seed)
        budget = Budget.parse(config.budget) if config.budget else None
        sampler = Sampler(run, engine, study_id, seed=seed, budget=budget, progress=progress)
        sampler.draw([prefix], config.n, settings, phase="sampling the branch")
        score_run(run, scorer, progress=progress)
        return FinishedBranch(
            path=config.run,
            prefix_id=prefix.id,
            settings_id=settings.id,
            engine_card_id=engine.card.id,
            scorer_id=scorer.id,
            sampled_now=sampler.drawn.rollouts,
            failures=sampler.drawn.failures,
            stopped=sampler.drawn.stopped,
            same_engine=engine.card.id == config.engine_card_id,
        )


def branch_job(config: BranchConfig, progress: Progress) -> dict[str, Any]:
    """`run_branch` as a job."""
    branch = run_branch(config, progress=progress)
    return {**asdict(branch), "path": str(branch.path)}


def _settings(run: Run, config: BranchConfig) -> SamplingSettings:
    known = run.settings()
    if config.settings_id not in known:
        raise UserError(f"settings {config.settings_id} are not in the run {config.run}: choose one of its conditions")
    settings = known[config.settings_id]
    return settings if config.temperature is None else replace(settings, temperature=config.temperature)


def _engine(run: Run, config: BranchConfig) -> str:
    if config.engine is not None:
        return config.engine
    card = run.engine_cards().get(config.engine_card_id)
    if card is None:
        raise UserError(f"engine {config.engine_card_id} is not in the run {config.run}: choose one of its conditions")
    return card.engine


def _seed(run: Run) -> int:
    """Of the run's resampling, so that samples are those that a longer study would have drawn."""
    return next((study.seed for study in run.studies() if study.spec.get("kind") == "resample"), 0)

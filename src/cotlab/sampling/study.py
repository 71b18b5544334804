"""From what a user types to a finished study: model, engine, problems, run folder, resampling."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cotlab.chains.chain import ChainRole
from cotlab.chains.problem import Problem
from cotlab.chains.rollout import Rollout
from cotlab.chains.scorers import Scorer, load_scorer
from cotlab.chains.settings import SamplingSettings
from cotlab.engines import Engine, EngineOptions, open_engine
from cotlab.errors import UserError
from cotlab.identity import content_id
from cotlab.interventions.base import Baseline
from cotlab.models import EngineCard, ResolvedModel, resolve_model
from cotlab.problems import load_problems, load_transcript, problem_from_text
from cotlab.runs import Run, RunIdentity
from cotlab.sampling.budget import Budget
from cotlab.sampling.positions import Positions
from cotlab.sampling.progress import Progress, Silent
from cotlab.sampling.resample import Resampled, Resampling
from cotlab.sampling.spec import Screen, StudySpec

__all__ = ["Study", "StudyConfig"]

GIVEN_CARD = EngineCard(
    engine="given", model="transcript", revision="", tokenizer_id="", template_id="", dtype="", versions=()
)
"""What the rollouts of pasted transcripts are from: nothing that samples, so they never count as samples."""


class StudyConfig(BaseModel):
    """A resampling study as a user asks for it; the command line and `cotlab.resample` share it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    problems: str = "tiny"
    """Problem set: tiny, countdown, solve, arithmetic, word-problems, reasoning-gym:NAME or a file."""
    n_problems: int | None = Field(default=None, ge=1)
    question: str | None = None
    """One question, in place of a problem set."""
    answer: str | None = None
    transcript: Path | None = None
    """A file with a question and a response, whose chain is studied in place of a sampled one."""
    model: str = "tiny"
    engine: str = "auto"
    engine_options: EngineOptions = EngineOptions()
    run: Path | None = None
    n: int = Field(default=100, ge=1)
    seed: int = Field(default=0, ge=0)
    base: tuple[ChainRole, ...] = ("greedy",)
    tries: int = Field(default=32, ge=1)
    positions: str = "every"
    cutter: str = "sentences"
    scorer: str = "answers"
    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    max_tokens: int | None = Field(default=None, ge=1)
    template: str | None = None
    think_tag: bool = True
    screen: str | None = None
    """LOW:HIGH, the accuracies between which a problem is kept."""
    screen_n: int = Field(default=20, ge=1)
    budget: str | None = None

    @classmethod
    def of(cls, **asked: Any) -> StudyConfig:
        """Check what was asked for.

        Raises:
            UserError: A value is out of range or unknown; the message names it.
        """
        try:
            return cls(**asked)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise UserError(f"{name} is {first.get('input')!r}: {first['msg'].lower()}") from None

    def budget_cap(self) -> Budget | None:
        """The budget, parsed."""
        return Budget.parse(self.budget) if self.budget else None

    def screening(self) -> Screen | None:
        """The screen, parsed."""
        if self.screen is None:
            return None
        low, _, high = self.screen.partition(":")
        try:
            return Screen(self.screen_n, float(low), float(high), self.n_problems)
        except ValueError:
            raise UserError(f"screen '{self.screen}' not understood. Use LOW:HIGH, such as 0.25:0.75") from None


@dataclass(slots=True)
class Study(AbstractContextManager["Study"]):
    """Everything open that a study needs; a context manager."""

    config: StudyConfig
    model: ResolvedModel
    engine: Engine
    run: Run
    scorer: Scorer
    resampling: Resampling
    problems: list[Problem]
    given: dict[str, Rollout]

    @classmethod
    def open(cls, config: StudyConfig, *, progress: Progress | None = None, run: Path | None = None) -> Study:
        """Resolve the model, load it, read the problems, open or create the run folder.

        Args:
            config: What is asked.
            progress: Told what happens.
            run: Folder to use in place of the configured one (a dry run works in a copy).

        Raises:
            UserError: Anything about the request that cannot be: one line that names the value and the fix.
        """
        progress = progress or Silent()
        model = resolve_model(config.model)
        problems, response = _problems(config)
        scorer = load_scorer(config.scorer)
        template = model.template(config.template, think_tag=config.think_tag)
        budget, screen = config.budget_cap(), config.screening()
        spec = StudySpec(
            settings=_settings(config, model.card.settings),
            n=config.n,
            seed=config.seed,
            base=config.base,
            tries=config.tries,
            positions=Positions.parse(config.positions),
            cutter=config.cutter,
            screen=screen,
        )
        progress.say(f"loading {config.model}")
        engine = open_engine(model, config.engine, options=config.engine_options, template_id=template.id)
        try:
            identity = RunIdentity(
                model=model.name,
                tokenizer_id=engine.tokenizer.id,
                template_id=template.id,
                think_open=model.card.think.open,
                think_close=model.card.think.close,
            )
            store = Run.open_or_create(run or config.run or default_run(config), identity)
        except BaseException:
            engine.close()
            raise
        resampling = Resampling(
            store,
            engine,
            spec,
            scorer,
            render=lambda problem: template.encode(problem, engine.tokenizer),
            budget=budget,
            progress=progress,
        )
        given = _given(response, problems, resampling)
        return cls(config, model, engine, store, scorer, resampling, problems, given)

    def go(self, *, dry: bool = False) -> Resampled:
        """Carry the study out (see `Resampling.go`)."""
        return self.resampling.go(self.problems, given=self.given, dry=dry)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run.close()
        self.engine.close()


def default_run(config: StudyConfig) -> Path:
    """`runs/<model>-<hash of the request>`: the same request finds the same folder again."""
    asked = config.model_dump(mode="json", exclude={"run", "budget", "engine_options", "n"})
    slug = "".join(c if c.isalnum() or c in ".-" else "-" for c in Path(config.model).name or "model")
    return Path("runs") / f"{slug}-{content_id('study', asked)[:8]}"


def _problems(config: StudyConfig) -> tuple[list[Problem], str | None]:
    if config.transcript is not None:
        transcript = load_transcript(config.transcript)
        return [transcript.problem], transcript.response
    if config.question is not None:
        return [problem_from_text(config.question, config.answer)], None
    # A screen looks at more candidates than it keeps.
    n = config.n_problems
    if n is not None and config.screen is not None:
        n = 10 * n
    problems = load_problems(config.problems, n=n, seed=config.seed)
    return problems, None


def _settings(config: StudyConfig, recommended: SamplingSettings) -> SamplingSettings:
    changed = {
        name: value
        for name in ("temperature", "top_p", "top_k", "max_tokens")
        if (value := getattr(config, name)) is not None
    }
    return replace(recommended, **changed)


def _given(response: str | None, problems: Sequence[Problem], resampling: Resampling) -> dict[str, Rollout]:
    if response is None:
        return {}
    problem, run = problems[0], resampling.run
    ids = tuple(resampling.engine.tokenizer.encode(response))
    run.add_settings(resampling.spec.settings)
    run.add_engine_card(GIVEN_CARD)
    run.add_intervention(Baseline())
    prompt = resampling.prompt(problem)
    rollout = Rollout(
        prefix_id=prompt.id,
        intervention_id=Baseline().id,
        settings_id=resampling.spec.settings.id,
        engine_card_id=GIVEN_CARD.id,
        sample_idx=int(content_id("transcript", list(ids))[:8], 16) >> 1,
        seed=0,
        text=response,
        finish_reason="stop",
        token_ids=ids,
        provenance="given",
    )
    return {problem.id: rollout}

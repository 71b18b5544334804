"""From what a user asks for to a finished study: model, engine, problems, run folder, resampling."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotlab.chains.problem import Problem
from cotlab.chains.rollout import Rollout
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.templates import Template
from cotlab.engines.base import Engine
from cotlab.errors import UserError
from cotlab.identity import content_id
from cotlab.interventions.base import Baseline
from cotlab.models import EngineCard
from cotlab.problems import load_problems, load_transcript, problem_from_text
from cotlab.runs import Run
from cotlab.sampling.config import StudyConfig
from cotlab.sampling.open_study import OpenStudy, open_study, study_spec
from cotlab.sampling.progress import Progress, Silent
from cotlab.sampling.resampling import Resampled, Resampling

__all__ = ["FinishedStudy", "resample", "run_study"]

GIVEN_CARD = EngineCard(engine="given", model="transcript", revision="", tokenizer_id="", template_id="", dtype="")
"""What the rollouts of pasted transcripts are from: nothing that samples, so they never count as samples."""
CANDIDATES = 10
"""Problems that a screen looks at for each one that it is to keep."""


@dataclass(frozen=True, slots=True)
class FinishedStudy:
    """What a study left behind; the run is closed."""

    path: Path
    """Run folder; None of it is kept after a dry run."""
    study_id: str
    model: str
    engine: str
    engine_card_id: str
    settings: SamplingSettings
    scorer_id: str
    seed: int
    n: int
    """Rollouts a prefix, after fitting to the budget."""
    n_problems: int
    chain_ids: tuple[str, ...]
    positions: dict[str, tuple[int, ...]]
    """Positions that were resampled, by chain id."""
    skipped: tuple[str, ...]
    """One line for each problem without a chain."""
    sampled_now: int
    failures: int
    stopped: str | None
    """Why sampling stopped early (the budget)."""
    cost: str
    prefix_cache_hit_rate: float | None
    seconds: float
    dry: bool = False


Around = Callable[[Run, Engine], AbstractContextManager[Engine]]
"""Stands before the engine of a study while it samples into a run."""


def run_study(
    config: StudyConfig, *, progress: Progress | None = None, dry: bool = False, around: Around | None = None
) -> FinishedStudy:
    """Carry out a study; asked again it finds everything in its run folder and samples nothing.

    Args:
        config: What is asked.
        progress: Told how it goes.
        dry: Only find base chains and tell what the rest will take; nothing is stored.
        around: Gives the engine that is sampled with in place of the study's own (`whitebox.capture_live`).

    Raises:
        UserError: Something about the request cannot be: one line that names the value and the fix.
        EngineError: The engine broke; what it gave is stored.
    """
    progress, started = progress or Silent(), time.monotonic()
    problems, response = _problems(config)
    with (
        open_study(config, progress, dry=dry) as study,
        (around or _bare)(study.run, study.engine) as sampled,
    ):
        resampling = Resampling(
            study.run,
            sampled,
            study_spec(config, study.settings),
            study.scorer,
            render=lambda problem: study.template.encode(problem, study.engine.tokenizer),
            budget=study.budget,
            progress=progress,
            asked=config.as_stored(),
        )
        given = _given(response, problems[0], resampling, study.template) if response is not None else {}
        result = resampling.go(problems, given=given, dry=dry)
        return _finished(config, study, result, len(problems), time.monotonic() - started, dry)


def resample(*, progress: Progress | None = None, dry: bool = False, **asked: Any) -> FinishedStudy:
    """`run_study` for a notebook: the fields of `StudyConfig` as keywords.

    Raises:
        UserError: A field is unknown or out of range, or what `run_study` raises.
    """
    return run_study(StudyConfig.of(**asked), progress=progress, dry=dry)


def _bare(run: Run, engine: Engine) -> AbstractContextManager[Engine]:
    return nullcontext(engine)


def _problems(config: StudyConfig) -> tuple[list[Problem], str | None]:
    if config.transcript is not None:
        transcript = load_transcript(config.transcript, config.question, config.answer)
        return [transcript.problem], transcript.response_text
    if config.question is not None:
        return [problem_from_text(config.question, config.answer)], None
    n = config.n_problems
    if n is not None and config.screen is not None:
        n *= CANDIDATES
    return load_problems(config.problems, n=n, seed=config.seed), None


def _given(response: str, problem: Problem, resampling: Resampling, template: Template) -> dict[str, Rollout]:
    """The chain of a transcript, tokenised once; the prompt already opens the think tag where the template does."""
    text = response.lstrip()
    if template.opened and text.startswith(template.tags.open):
        text = text.removeprefix(template.tags.open).lstrip()
    run, ids = resampling.run, tuple(resampling.engine.tokenizer.encode(text))
    if not ids:
        raise UserError("the transcript holds no response. Put the chain of thought and the answer in it")
    run.add_settings(resampling.spec.settings)
    run.add_engine_card(GIVEN_CARD)
    run.add_intervention(Baseline())
    rollout = Rollout(
        prefix_id=resampling.prompt(problem).id,
        intervention_id=Baseline().id,
        settings_id=resampling.spec.settings.id,
        engine_card_id=GIVEN_CARD.id,
        sample_idx=int(content_id("transcript", list(ids))[:8], 16) >> 1,
        seed=0,
        text=text,
        finish_reason="stop",
        token_ids=ids,
        provenance="given",
    )
    return {problem.id: rollout}


def _finished(
    config: StudyConfig,
    study: OpenStudy,
    result: Resampled,
    n_problems: int,
    seconds: float,
    dry: bool,
) -> FinishedStudy:
    return FinishedStudy(
        path=config.run_folder(),
        study_id=result.study_id,
        model=study.engine.card.model,
        engine=study.engine.card.engine,
        engine_card_id=study.engine.card.id,
        settings=result.spec.settings,
        scorer_id=study.scorer.id,
        seed=config.seed,
        n=result.spec.n,
        n_problems=n_problems,
        chain_ids=tuple(chain.id for chain in result.chains),
        positions={key: tuple(positions) for key, positions in result.positions.items()},
        skipped=tuple(f"{skip.problem.name or skip.problem.id}: {skip.reason}" for skip in result.skipped),
        sampled_now=result.drawn.rollouts,
        failures=result.drawn.failures,
        stopped=result.drawn.stopped or result.shrunk,
        cost=result.plan(),
        prefix_cache_hit_rate=study.engine.stats.prefix_cache_hit_rate,
        seconds=seconds,
        dry=dry,
    )


def study_job(config: StudyConfig, progress: Progress) -> dict[str, Any]:
    """`run_study` as a job."""
    study = run_study(config, progress=progress)
    told = {"sampled_now": study.sampled_now, "failures": study.failures, "stopped": study.stopped}
    return told | {"chain_ids": study.chain_ids, "skipped": study.skipped, "scorer_id": study.scorer_id}

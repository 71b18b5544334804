"""A study of arms: the same questions in several ways, n responses to each, in one run.

1. Ask every problem in every arm (`cotlab.problems.ask_in_arms`); prompts lie in the run as any others do.
2. Draw n rollouts from each prompt, a problem's arms beside each other, so that what a budget ends is whole problems.
3. Score: answers, and whether the thoughts speak of the hint (`MentionScorer`).
4. Where chains are wanted, the first rollout of each prompt is one (it was chosen by nothing), cut into steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cotlab.categories import MentionScorer
from cotlab.chains.chain import Chain
from cotlab.chains.cutting import get_cutter
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.tokens import Tokenizer
from cotlab.engines.base import Engine
from cotlab.errors import UserError
from cotlab.interventions.condition import Condition
from cotlab.problems import Arm, Scenario, ask_in_arms, load_problems, scenario_problems
from cotlab.runs import Run
from cotlab.sampling.base_chains import cut_rollout
from cotlab.sampling.config import StudyConfig
from cotlab.sampling.draw import Sampler
from cotlab.sampling.open_study import open_study
from cotlab.sampling.progress import Progress, Silent
from cotlab.sampling.scoring import score_run

__all__ = ["ARMS_STUDY", "AskedStudy", "first_chains", "sample_arms"]

ARMS_STUDY = "arms"
"""Kind of such a study in a run."""


@dataclass(frozen=True, slots=True)
class AskedStudy:
    """What a study of arms left behind; the run is closed."""

    path: Path
    model: str
    settings: SamplingSettings
    engine_card_id: str
    scorer_id: str
    arms: tuple[str, ...]
    n_problems: int
    n: int
    sampled_now: int
    failures: int
    stopped: str | None
    seconds: float


def sample_arms(
    config: StudyConfig,
    arms: Sequence[Arm],
    *,
    scenarios: Sequence[Scenario] | None = None,
    progress: Progress | None = None,
) -> AskedStudy:
    """Draw what a study of arms lacks; asked again it samples nothing.

    Args:
        config: Problems, model, n, seed, settings and run folder. Positions and base chains say nothing here.
        arms: How the problems are asked.
        scenarios: Asked in place of the problems, under the notes of the arms.
        progress: Told how it goes.

    Raises:
        UserError: Something about the request cannot be: one line that names the value and the fix.
        EngineError: The engine broke; what it gave is stored.
    """
    progress, started = progress or Silent(), time.monotonic()
    if len(set(arms)) < len(arms) or not arms:
        raise UserError(f"arms are {', '.join(arm.name for arm in arms) or 'none'}: name each once, and at least one")
    problems = _problems(config, arms, scenarios)
    with open_study(config, progress) as study:
        sampler = study.sampler(
            {
                "kind": ARMS_STUDY,
                "settings": study.settings.to_json(),
                "n": config.n,
                "arms": [arm.name for arm in arms],
                "cutter": config.cutter,
                "asked": config.as_stored(),
            }
        )
        prompts = _prompts(study.run, study.engine, problems, study.template.encode)
        sampler.draw(prompts, config.n, study.settings, phase="asking")
        study.score()
        score_run(study.run, MentionScorer(study.run.identity.tags), progress=progress)
        return AskedStudy(
            config.run_folder(),
            study.engine.card.model,
            study.settings,
            study.engine.card.id,
            study.scorer.id,
            tuple(arm.name for arm in arms),
            len(prompts) // len(arms),
            config.n,
            sampler.drawn.rollouts,
            sampler.drawn.failures,
            sampler.drawn.stopped,
            time.monotonic() - started,
        )


def first_chains(
    sampler: Sampler,
    problems: Sequence[Problem],
    settings: SamplingSettings,
    cutter: str = "sentences",
    *,
    picked: Mapping[str, int] | None = None,
) -> list[Chain]:
    """One rollout of each problem's prompt as a chain; problems whose rollout is missing are left out.

    Args:
        sampler: Of the run that holds the rollouts.
        problems: Of the run.
        settings: Those that were drawn under.
        cutter: What a step is.
        picked: Which rollout, by problem id; default: the first of each, which was chosen by nothing.
    """
    run, engine = sampler.run, sampler.engine
    wanted = {problem.id for problem in problems}
    roots = {row.problem_id: row.id for row in run.prefixes() if row.kind == "root" and row.problem_id in wanted}
    chains = []
    for problem in problems:
        prompt = run.prefix(roots[problem.id])
        condition = Condition(prompt, settings)
        idx = 0 if picked is None else picked[problem.id]
        if idx not in run.have(prompt.id, condition.intervention.id, settings.id, engine.card.id):
            continue
        rollout = run.rollout(condition.rollout_id(engine.card.id, idx))
        chain = cut_rollout(problem.id, prompt, rollout, get_cutter(cutter), "random", engine.tokenizer)
        if chain.steps:
            run.add_chain(chain)
            run.add_chain_prefixes(chain)
            chains.append(chain)
    return chains


def _problems(config: StudyConfig, arms: Sequence[Arm], scenarios: Sequence[Scenario] | None) -> list[Problem]:
    if scenarios is None:
        bare = load_problems(config.problems, n=config.n_problems, seed=config.seed)
        return ask_in_arms(bare, arms, seed=config.seed)
    if hinted := [arm.name for arm in arms if arm.hint]:
        raise UserError(f"scenarios have no answers to hint at: leave out {', '.join(hinted)}")
    return scenario_problems(scenarios[: config.n_problems], [arm.watch for arm in arms])


def _prompts(
    run: Run, engine: Engine, problems: Sequence[Problem], encode: Callable[[Problem, Tokenizer], Sequence[int]]
) -> list[Prefix]:
    """Prompts of the problems, in the run, with their text."""
    prompts = []
    with run.transaction():
        run.add_problems(problems)
        for problem in problems:
            ids = tuple(encode(problem, engine.tokenizer))
            prompts.append(Prefix(ids, len(ids), problem.images))
            run.add_prefix(prompts[-1], problem.id, text=engine.tokenizer.decode(ids))
    return prompts

"""A study of views: yes-or-no questions on images under changed inputs, in one run.

1. Show every question under every view (`cotlab.problems.views`); what a question cannot have is left out and told.
   Its own prompt is a root, the prompt of a view an `edit` of it with the view and what is right under it as its spec;
   prompts that come out equal (the same question with no image) are one.
2. Read how likely each prompt is answered with yes and with no: one forward pass, thoughts closed where they are open.
3. Draw n rollouts from each prompt, a question's views together, so that what a budget ends is whole questions.
4. Score: answers our way, and as published (`cotlab.chains.yes_no`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cotlab.chains.answer_odds import ANSWER_ODDS, AnswerOdds
from cotlab.chains.own_scorer import load_scorer
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.score import Score
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.templates import Template
from cotlab.engines.base import Engine
from cotlab.errors import UserError
from cotlab.problems import OWN, LeftOut, View, Viewed, Viewer, load_problems
from cotlab.runs import Run
from cotlab.sampling.budget import Budget
from cotlab.sampling.config import StudyConfig
from cotlab.sampling.cost import Cost
from cotlab.sampling.open_study import open_study
from cotlab.sampling.progress import Progress, Silent
from cotlab.sampling.scoring import score_run

__all__ = ["PUBLISHED_RULES", "VIEWS_STUDY", "ViewPlan", "ViewedStudy", "odds_id", "plan_views", "sample_views"]

VIEWS_STUDY = "views"
"""Kind of such a study in a run, and of the edits that it makes."""
PUBLISHED_RULES = ("pope", "lmms-eval")
"""Ways to read answers that are scored beside the one that is asked for."""
LIKELIEST = 50
"""Next tokens among which spellings of yes and no are looked for."""
BLOCK = 64
"""Prompts whose readings are stored together."""


@dataclass(frozen=True, slots=True)
class ViewPlan:
    """What is to be asked."""

    shown: tuple[tuple[Problem, tuple[Viewed, ...]], ...]
    """Each question with its views, its own among them."""
    left_out: dict[str, dict[str, int]]
    """By view and reason: how many questions."""

    @property
    def n_prompts(self) -> int:
        """Different prompts."""
        return len({(one.problem.question, one.problem.images) for _, views in self.shown for one in views})

    def cost(self, n: int, settings: SamplingSettings) -> Cost:
        """The most that n rollouts from each prompt take."""
        rollouts = n * self.n_prompts
        return Cost(rollouts, float(rollouts * settings.max_tokens), None)


@dataclass(frozen=True, slots=True)
class ViewedStudy:
    """What a study of views left behind; the run is closed."""

    path: Path
    model: str
    settings: SamplingSettings
    engine_card_id: str
    scorer_id: str
    views: tuple[str, ...]
    left_out: dict[str, dict[str, int]]
    n_problems: int
    n_prompts: int
    n: int
    read_now: int
    """Prompts that were read in this call."""
    sampled_now: int
    failures: int
    stopped: str | None
    seconds: float


def plan_views(config: StudyConfig, views: Sequence[View]) -> ViewPlan:
    """What a study would ask: no model is needed.

    Raises:
        UserError: A view is named twice, no question has images, or a question is none of yes and no.
    """
    if len(set(views)) < len(views) or not views:
        raise UserError(
            f"views are {', '.join(view.name for view in views) or 'none'}: name each once, and at least one"
        )
    problems = load_problems(config.problems, n=config.n_problems, seed=config.seed)
    if not any(problem.images for problem in problems):
        raise UserError(
            f"no question of {config.problems} shows an image: take scenes, pope:FILE@IMAGES or a file with 'image'"
        )
    viewer, reasons = Viewer(problems, config.seed), dict[str, Counter[str]]()
    shown = []
    for problem in problems:
        found = viewer.views(problem, dict.fromkeys((OWN, *views)))
        for one in found:
            if isinstance(one, LeftOut):
                reasons.setdefault(one.view.name, Counter())[one.reason] += 1
        shown.append((problem, tuple(one for one in found if isinstance(one, Viewed))))
    return ViewPlan(tuple(shown), {view: dict(counts) for view, counts in reasons.items()})


def sample_views(config: StudyConfig, views: Sequence[View], *, progress: Progress | None = None) -> ViewedStudy:
    """Read and draw what a study of views lacks; asked again it does neither.

    Args:
        config: Problems, model, n, seed, settings and run folder. Positions and base chains say nothing here.
        views: How the questions are shown; their own view always is among them.
        progress: Told how it goes.

    Raises:
        UserError: Something about the request cannot be: one line that names the value and the fix.
        EngineError: The engine broke; what it gave is stored.
    """
    progress, started = progress or Silent(), time.monotonic()
    plan = plan_views(config, views)
    with open_study(config, progress) as study:
        run, engine, seconds = study.run, study.engine, study.budget.seconds
        sampler = study.sampler(
            {
                "kind": VIEWS_STUDY,
                "settings": study.settings.to_json(),
                "engine_card": engine.card.id,
                "n": config.n,
                "views": [view.name for view in views],
                "cutter": config.cutter,
                "asked": config.as_stored(),
            }
        )
        prompts = _prompts(run, engine, study.template, plan)
        run.add_engine_card(engine.card)
        read, stopped = _read_odds(run, engine, prompts, closing(study.template), seconds, progress)
        if seconds is not None:
            sampler.budget = Budget(seconds=max(1e-3, seconds - (time.monotonic() - started)))
        if stopped is None:
            sampler.draw(prompts, config.n, study.settings, phase="asking")
        study.score()
        for rule in PUBLISHED_RULES:
            score_run(run, load_scorer(rule, run.identity.tags), progress=progress)
        return ViewedStudy(
            config.run_folder(),
            engine.card.model,
            study.settings,
            engine.card.id,
            study.scorer.id,
            tuple(view.name for view in views),
            plan.left_out,
            len(plan.shown),
            len(prompts),
            config.n,
            read,
            sampler.drawn.rollouts,
            sampler.drawn.failures,
            stopped or sampler.drawn.stopped,
            time.monotonic() - started,
        )


def odds_id(engine_card_id: str) -> str:
    """Who says how likely yes and no are: this engine."""
    return f"{ANSWER_ODDS}@{engine_card_id[:12]}"


def closing(template: Template) -> str:
    """What stands between a prompt and the answer where nothing is thought."""
    if template.think == "none":
        return ""
    opened = "" if template.opened else f"{template.tags.open}\n\n"
    return f"{opened}{template.tags.close}\n\n"


def _prompts(run: Run, engine: Engine, template: Template, plan: ViewPlan) -> list[Prefix]:
    """Prompts of all views in the run, each once, a question's beside each other."""
    prompts: dict[str, Prefix] = {}
    with run.transaction():
        owner = {row.id: row.problem_id for row in run.prefixes()}
        run.add_problems(problem for problem, _ in plan.shown)
        own = {problem.id: template.prompt(problem, engine.tokenizer) for problem, _ in plan.shown}
        for problem, _ in plan.shown:  # all roots first: a wrong image is another question's own
            prompt = own[problem.id]
            run.add_prefix(prompt, problem.id, text=engine.tokenizer.decode(prompt.token_ids))
            owner.setdefault(prompt.id, problem.id)
        for problem, views in plan.shown:
            for one in views:
                prompt = own[problem.id] if one.view == OWN else template.prompt(one.problem, engine.tokenizer)
                prompts.setdefault(prompt.id, prompt)
                if one.view == OWN:
                    continue
                run.add_prefix(
                    prompt,
                    owner.setdefault(prompt.id, problem.id),
                    parent=own[problem.id],
                    kind="edit",
                    spec={"kind": VIEWS_STUDY, "view": one.view.name, "truth": one.truth},
                    text=engine.tokenizer.decode(prompt.token_ids),
                )
    return list(prompts.values())


def _read_odds(
    run: Run, engine: Engine, prompts: Sequence[Prefix], behind: str, seconds: float | None, progress: Progress
) -> tuple[int, str | None]:
    """Read what was not read; how many, and why it stopped early."""
    started, scorer = time.monotonic(), odds_id(engine.card.id)
    there = {score.subject_id for score in run.scores("prefix", scorer)}
    todo = [prompt for prompt in prompts if prompt.id not in there]
    closed = tuple(engine.tokenizer.encode(behind)) if behind else ()
    if todo:
        progress.phase("reading answers", len(todo))
    for start in range(0, len(todo), BLOCK):
        if seconds is not None and time.monotonic() - started > seconds:
            return start, f"the budget of {seconds:g} s is filled: {start} of {len(todo)} prompts read"
        found = []
        for prompt in todo[start : start + BLOCK]:
            behind_it = prompt.extend(closed) if closed else prompt
            odds = AnswerOdds.of(engine.next_token_probs(behind_it, LIKELIEST), engine.tokenizer)
            found.append(Score("prefix", prompt.id, scorer, {**odds.to_json(), "behind": behind}))
            progress.advance(1, 0)
        run.add_scores(found)
    return len(todo), None

"""A steering study from what a user names to files: model, run, problems, report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cotlab.chains.own_scorer import load_scorer
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.engines import open_engine
from cotlab.engines.load import OpenedEngine
from cotlab.errors import UserError
from cotlab.interventions import SteeringVector, Where, save_vector
from cotlab.problems import load_problems
from cotlab.runs import Run, RunIdentity
from cotlab.sampling import Budget, Progress, Sampler, Silent
from cotlab.stats import Estimate
from cotlab.whitebox.arms import MEASURES, Arms, Prompted
from cotlab.whitebox.behaviour_study import BehaviourStudy, StudyPlan, StudyResult
from cotlab.whitebox.behaviours import Behaviour, behaviour
from cotlab.whitebox.branching import BranchPlan, BranchResult, branch_chain

__all__ = ["identity_of", "open_steerable", "prompts_of", "steer_branch", "steer_report"]


def steer_report(
    plan: StudyPlan,
    out: Path,
    *,
    model: str = "tiny",
    engine: str = "auto",
    problems: str = "countdown",
    vector: SteeringVector | None = None,
    max_tokens: int | None = None,
    engine_options: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
    progress: Progress | None = None,
) -> StudyResult:
    """Carry a steering study out and write its report; asked again, it samples only what is missing.

    Args:
        plan: What is asked.
        out: Folder: the run (`run/`), the vector, `report.json` and `report.md`.
        model: Name or folder.
        engine: auto, vllm or transformers.
        problems: Problem set or file; twice `plan.n_problems` are needed.
        vector: One that is there already, in place of one that is made.
        max_tokens: Longest response; default as the model's card recommends.
        engine_options: Of the engine.
        budget: Cap; what is in flight then is finished, and the report says what is missing.
        progress: Told how it goes.

    Raises:
        UserError: Something cannot be, one line.
        EngineError: The engine broke; what it gave is stored.
    """
    progress = progress or Silent()
    its = behaviour(plan.behaviour)
    opened = open_steerable(model, engine, engine_options)
    with opened.engine as sampled:
        settings = opened.card.sampling if max_tokens is None else replace(opened.card.sampling, max_tokens=max_tokens)
        found = load_problems(problems, n=2 * plan.n_problems, seed=plan.seed)
        if len(found) < 2 * plan.n_problems:
            raise UserError(
                f"{problems} has {len(found)} problems; a study of {plan.n_problems} takes as many again to make the "
                "vector from. Lower --n-problems"
            )
        prompted = prompts_of(found, lambda problem: opened.template.encode(problem, sampled.tokenizer))
        half = len(prompted) // 2
        making, judging = prompted[:half], prompted[half:]
        asking = [
            (problem, Prefix(ids, len(ids)))
            for problem in asking_problems([problem for problem, _ in judging], its)
            for ids in [tuple(opened.template.encode(problem, sampled.tokenizer))]
        ]
        with Run.open_or_create(out / "run", identity_of(opened)) as run:
            for problem, prefix in (*making, *judging, *asking):
                run.add_problems([problem])
                run.add_prefix(prefix, problem.id, text=sampled.tokenizer.decode(prefix.token_ids))
            study = run.add_study({**plan.to_json(), "model": model, "problems": problems}, plan.seed)
            sampler = Sampler(run, sampled, study, seed=plan.seed, budget=budget, progress=progress)
            arms = Arms(run, sampled, sampler, load_scorer("answers", run.identity.tags), its, settings, progress)
            result = BehaviourStudy(arms, sampled, its, plan, progress).go(
                making, judging, asking, sampled.shape.n_layers, vector
            )
    save_vector(result.vector, out / "vector.safetensors")
    (out / "report.json").write_text(json.dumps(result.to_json(), indent=1, ensure_ascii=False) + "\n", "utf-8")
    (out / "report.md").write_text(markdown(result, model), "utf-8")
    return result


def steer_branch(
    path: Path,
    vector: SteeringVector,
    *,
    step: int,
    doses: tuple[float, ...],
    chain: str | None = None,
    where: Where | None = None,
    keep_norm: bool = False,
    n: int = 50,
    n_random: int = 2,
    model: str | None = None,
    engine: str = "auto",
    engine_options: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
    progress: Progress | None = None,
) -> BranchResult:
    """Branch a chain of a run under a vector (`branch_chain`), with the run's model, settings and seed.

    Raises:
        UserError: There is no such chain, or something else cannot be; one line.
        EngineError: The engine broke; what it gave is stored.
    """
    with Run.open(path) as run:
        found = [one for one in run.chains() if one.id.startswith(chain or "")]
        if not found:
            known = ", ".join(one.id for one in run.chains()[:5]) or "none"
            raise UserError(f"no chain '{chain or ''}' in {path}; there are: {known}")
        if not 0 <= step <= len(found[0].steps):
            raise UserError(f"step {step} lies beyond the chain, which has {len(found[0].steps)} steps")
        seeds = [study.seed for study in run.studies() if study.spec.get("kind") == "resample"]
        ids = {row.settings_id for row in run.rollouts(prefix_id=found[0].prefix(step).id, bodies=False)}
        known_settings = [its for key, its in run.settings().items() if key in ids and its.temperature > 0]
        model = model or run.identity.model
    plan = BranchPlan(step, doses, where or Where("new"), keep_norm, n, n_random, seeds[0] if seeds else 0)
    opened = open_steerable(model, engine, engine_options)
    with opened.engine as sampled, Run.open_or_create(path, identity_of(opened)) as run:
        settings = known_settings[0] if known_settings else opened.card.sampling
        return branch_chain(run, sampled, found[0], vector, plan, settings, budget=budget, progress=progress)


def open_steerable(model: str, engine: str, engine_options: Mapping[str, Any] | None = None) -> OpenedEngine:
    """Open an engine that can steer: vLLM without CUDA graphs.

    Raises:
        UserError: The engine cannot steer this model.
    """
    options = dict(engine_options or {})
    from cotlab.engines import engine_choice

    chosen = engine_choice().name if engine == "auto" else engine
    if chosen == "vllm":
        options.setdefault("enforce_eager", True)
    opened = open_engine(model, engine, options=options)
    if "steering" not in opened.engine.capabilities.interventions:
        with opened.engine as cannot:
            why = cannot.capabilities.missing or "it has no activations"
            raise UserError(f"the {cannot.card.engine} engine cannot steer '{model}': {why}")
    return opened


def identity_of(opened: OpenedEngine) -> RunIdentity:
    """What a run of an opened model is of."""
    return RunIdentity(
        model=opened.engine.card.model,
        tokenizer_id=opened.engine.tokenizer.id,
        template_id=opened.template.id,
        think_open=opened.template.tags.open,
        think_close=opened.template.tags.close,
    )


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


def prompts_of(problems: Sequence[Problem], render: Callable[[Problem], Sequence[int]]) -> list[Prompted]:
    """Problems with their prompts, those with an equal prompt once."""
    found: dict[str, Prompted] = {}
    for problem in problems:
        ids = tuple(render(problem))
        prefix = Prefix(ids, len(ids))
        found.setdefault(prefix.id, (problem, prefix))
    return list(found.values())


def markdown(result: StudyResult, model: str) -> str:
    """The report for people."""
    plan, vector = result.plan, result.vector
    lines = [
        f"# Steering {plan.behaviour} in {model}",
        "",
        result.verdict,
        "",
        f"Vector {vector.id[:12]} at {', '.join(map(str, vector.points))}: {vector.card.method}, {vector.card.n} "
        f"places with and without, from {vector.card.data or 'not told'}; stability {vector.card.stability}. "
        f"Applied at: {plan.where}. {plan.n_problems} problems × {plan.n} rollouts an arm, paired by seed; 95% "
        "intervals clustered by problem.",
        "",
        f"| arm | {' | '.join(MEASURES)} | shift of the rate |",
        f"|---|{'---|' * (len(MEASURES) + 1)}",
        f"| no steering | {' | '.join(cell(result.baseline[name]) for name in MEASURES)} | |",
    ]
    for row in result.doses:
        told = " | ".join(cell(row.measures[name]) for name in MEASURES)
        lines.append(f"| dose {row.dose:g} | {told} | {cell(row.shifts['rate'])} |")
        for kind, controls in row.controls.items():
            for i, control in enumerate(controls):
                name = kind.replace("_", " ") + (f" {i + 1}" if len(controls) > 1 else "")
                rate, accuracy, shift = (cell(Estimate(**control[key])) for key in ("rate", "accuracy", "shift"))
                lines.append(f"| dose {row.dose:g}, {name} | {rate} | {accuracy} | | | | {shift} |")
    if result.layers:
        lines += [
            "",
            "## Layers",
            "",
            "| hook point | KL(base‖steered), nats a token | rate, dose against its negative |",
        ]
        lines += ["|---|---|---|", *(f"| {row.hook} | {row.kl:.4f} | {cell(row.shift)} |" for row in result.layers)]
    lines += ["", "## Side by side", ""]
    for question, plain, steered in result.samples:
        lines += [f"**{question}**", "", "No steering:", "", _quoted(plain), "", "Steered:", "", _quoted(steered), ""]
    return "\n".join(lines) + "\n"


def cell(estimate: Estimate) -> str:
    """A value with its interval, or why there is none."""
    if estimate.value is None:
        return estimate.reason or ""
    digits = 0 if abs(estimate.value) >= 10 else 3
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def _quoted(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines()) or "    (nothing)"

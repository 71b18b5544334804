"""Early exit on a run: force answers along its chains, read activations at the step ends, judge the rule."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np

from cotlab.chains.chain import Chain
from cotlab.chains.cutting import get_cutter
from cotlab.chains.own_scorer import load_scorer
from cotlab.chains.prefix import Prefix
from cotlab.chains.settings import SamplingSettings
from cotlab.engines.base import Engine, Passage
from cotlab.errors import DataError
from cotlab.interventions import Baseline, ForceAnswer
from cotlab.interventions.hook_points import HookPoint
from cotlab.runs import Run
from cotlab.sampling import Budget, Progress, Sampler, Silent, score_run
from cotlab.sampling.edited import answer_settings, answer_stub, edit_prefix, thinking_steps
from cotlab.whitebox.early_exit import ExitChain, ExitReport, judge_exits
from cotlab.whitebox.examples import Examples
from cotlab.whitebox.probe_fit import Method
from cotlab.whitebox.probe_report import check_problems
from cotlab.whitebox.run_examples import chosen_rollouts
from cotlab.whitebox.stage import open_steerable

__all__ = ["ReadyOptions", "exit_run", "ready_examples"]

LABEL = "ready"


class ReadyOptions(TypedDict, total=False):
    """How answers are forced along the chains of a run."""

    n: int
    """Chains, of all problems; default: 200."""
    answers: int
    """Answers forced at each step end; default: 1."""
    cutter: str
    """What a step is; default: sentences."""
    model: str | None
    """Where the run's model is, if it is a folder."""
    engine: str
    """auto (the default), vllm or transformers."""
    engine_options: Mapping[str, Any] | None
    budget: Budget | None
    """Cap."""
    progress: Progress | None
    """Told how it goes."""


def exit_run(
    path: Path,
    *,
    hook: str,
    thresholds: Sequence[float] = (0.5, 0.7, 0.8, 0.9, 0.95),
    method: Method = "logistic",
    n_shuffles: int = 20,
    seed: int = 0,
    **asked: Unpack[ReadyOptions],
) -> ExitReport:
    """Judge leaving early along chains of a run; the forced answers are stored in it, and drawn once.

    Args:
        path: Run folder with unsteered rollouts from prompts.
        hook: Hook point that the probe reads, `resid_post:2`.
        thresholds: On P(ready).
        method: How the probe is fitted.
        n_shuffles: For the null of the probe's AUC.
        seed: Of the choice of chains, folds and permutations.
        asked: Chains, answers, engine and cap.

    Raises:
        UserError: Something cannot be, one line.
        DataError: The run has no whole rollouts, or too few problems.
        EngineError: The engine broke; what it gave is stored.
    """
    kept, examples = ready_examples(path, hook, seed=seed, **asked)
    return judge_exits(kept, examples, thresholds, method=method, n_shuffles=n_shuffles, seed=seed)


def ready_examples(
    path: Path, hook: str, *, seed: int = 0, **asked: Unpack[ReadyOptions]
) -> tuple[list[ExitChain], Examples]:
    """Chains with answers forced at the ends of their steps, and the activations there.

    The label is whether the answer is there. Errors are those of `exit_run`.
    """
    n, answers, cutter = asked.get("n", 200), asked.get("answers", 1), asked.get("cutter", "sentences")
    teller, point = asked.get("progress") or Silent(), HookPoint.parse(hook)
    with Run.open(path) as run:
        name = asked.get("model") or run.identity.model
    opened = open_steerable(name, asked.get("engine", "auto"), asked.get("engine_options"))
    with opened.engine as sampled, Run.open_or_create(path, opened.identity) as run:
        point.check(sampled.shape)
        chains = _chains(run, sampled, cutter, n, seed)
        check_problems(chain.problem_id for chain, _ in chains)
        spec = {"kind": "early-exit", "chains": len(chains), "answers": answers, "cutter": cutter}
        study = run.add_study(spec, seed)
        sampler = Sampler(run, sampled, study, seed=seed, budget=asked.get("budget"), progress=teller)
        forced = _forced(sampler, chains, answers)
        scorer = load_scorer("answers", run.identity.tags)
        score_run(run, scorer)
        outcomes = {score.subject_id: score.value["outcome"] for score in run.scores("rollout", scorer.id)}
        teller.phase(f"reading {hook}", len(chains), "chains")
        examples, kept = [], []
        passages = [(Passage(chain.whole), _places(chain, places)) for chain, places in forced]
        reads = sampled.read([passage for passage, _ in passages], [point], [at for _, at in passages])
        for (chain, places), (_, settings), read in zip(forced, chains, reads, strict=True):
            teller.advance(1, len(chain.response_ids))
            right = outcomes.get(chain.rollout_id) == "correct"
            one = _exit_chain(run, sampled, chain, right, places, answer_settings(settings), answers)
            if one is not None:
                kept.append(one)
                examples.append(_examples(chain, list(places), read[point], one, hook))
    if not kept:
        raise DataError(f"no chain of {path} thinks for a whole step: there is nothing to leave early")
    return kept, Examples.of(
        np.concatenate([one.x for one in examples]),
        np.concatenate([one.y for one in examples]),
        [problem for one in examples for problem in one.problems.tolist()],
        place=np.concatenate([one.place for one in examples]),
        texts=[text for one in examples for text in one.texts],
        rollouts=np.repeat(np.arange(len(examples)), [len(one) for one in examples]),
        label=LABEL,
        hook=hook,
    )


def _chains(run: Run, engine: Engine, cutter: str, n: int, seed: int) -> list[tuple[Chain, SamplingSettings]]:
    """Whole rollouts of this engine, cut, each with the settings that it was sampled under."""
    cut, owner = get_cutter(cutter), {row.id: row.problem_id for row in run.prefixes()}
    settings = run.settings()

    def whole() -> Iterator[tuple[Chain, SamplingSettings]]:
        for rollout in chosen_rollouts(run, owner, n, seed, whole=True, engine_card_id=engine.card.id):
            prefix, ids = run.prefix(rollout.prefix_id), rollout.token_ids or ()
            steps = tuple(cut.cut(ids, engine.tokenizer))
            problem = owner[rollout.prefix_id]
            yield (
                Chain(problem, rollout.id, prefix.prompt_ids, ids, cut.id, steps, "random", images=prefix.images),
                settings[rollout.settings_id],
            )

    found = list(whole())
    if not found:
        raise DataError(
            f"{run.path} has no whole rollouts of {engine.card.model} on the {engine.card.engine} engine: sample some "
            f"with cotlab resample --positions 0 --run {run.path}, or name the engine that they are from"
        )
    return found


def _forced(
    sampler: Sampler, chains: Sequence[tuple[Chain, SamplingSettings]], answers: int
) -> list[tuple[Chain, dict[int, tuple[str, int]]]]:
    """By chain and steps kept: the prefix that forces an answer there, and how many tokens were put in.

    All answers of one settings are drawn together: they are short, and many fit into the engine at once.
    """
    close, found = sampler.run.identity.think_close, []
    room: dict[str, tuple[SamplingSettings, list[Prefix]]] = {}
    for chain, settings in chains:
        sampler.run.add_chain_prefixes(chain)
        force, ending = ForceAnswer(answer_stub(chain, close, sampler.engine.tokenizer)), answer_settings(settings)
        forced = {}
        for k in range(1, thinking_steps(chain, close) + 1):
            prefix = edit_prefix(sampler, chain, k, (force,)).prefix
            forced[k] = prefix.id, len(prefix.token_ids) - len(chain.prefix(k).token_ids)
            if ending.new_tokens(len(prefix.kept_ids)) > 0:
                room.setdefault(ending.id, (ending, []))[1].append(prefix)
        found.append((chain, forced))
    for ending, prefixes in room.values():
        sampler.draw(prefixes, answers, ending, phase="forced answers")
    return found


def _places(chain: Chain, forced: Mapping[int, tuple[str, int]]) -> list[int]:
    return [len(chain.prompt_ids) + chain.steps[k - 1].end - 1 for k in forced]


def _exit_chain(
    run: Run,
    engine: Engine,
    chain: Chain,
    right: bool,
    forced: Mapping[int, tuple[str, int]],
    settings: SamplingSettings,
    answers: int,
) -> ExitChain | None:
    scorer, ends, tokens, ready = load_scorer("answers", run.identity.tags).id, [], [], []
    asked = {"settings_id": settings.id, "engine_card_id": engine.card.id, "intervention_id": Baseline().id}
    for k, (prefix_id, put_in) in forced.items():
        rows = [row for row in run.outcome_rows(scorer, **asked, prefix_id=prefix_id) if row.sample_idx < answers]
        if not rows:  # no room for an answer behind it, or a budget
            return None
        ends.append(chain.steps[k - 1].end)
        tokens.append(put_in + math.ceil(sum(row.n_tokens for row in rows) / len(rows)))
        ready.append(sum(row.value["outcome"] == "correct" for row in rows) / len(rows))
    if not ends:
        return None
    return ExitChain(
        chain.problem_id,
        len(chain.response_ids),
        float(right),
        tuple(ends),
        tuple(tokens),
        tuple(ready),
    )


def _examples(chain: Chain, kept: Sequence[int], values: Any, one: ExitChain, hook: str) -> Examples:
    steps = [chain.steps[k - 1] for k in kept]
    before = ["", *(step.text for step in chain.steps)]
    return Examples.of(
        values,
        np.array(one.ready) >= 0.5,
        [chain.problem_id] * len(kept),
        place=[(step.end - 1, k - 1) for k, step in zip(kept, steps, strict=True)],
        texts=[before[k - 1] + step.text for k, step in zip(kept, steps, strict=True)],
        label=LABEL,
        hook=hook,
    )

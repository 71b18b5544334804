"""Which responses become the chains under study."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from cotlab.chains.chain import Chain, ChainRole
from cotlab.chains.cutting import Cutter
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.rollout import Rollout
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.tokens import Tokenizer
from cotlab.interventions.condition import Condition
from cotlab.sampling.draw import Sampler
from cotlab.sampling.scoring import outcomes_at

__all__ = ["NoChain", "choose_rollouts", "cut_rollout"]

FIRST_BLOCK = 8
_WANTED = {"first-right": "correct", "first-wrong": "wrong"}


@dataclass(frozen=True, slots=True)
class NoChain:
    """A problem for which there is no chain of that role, and why."""

    problem: Problem
    role: ChainRole | None
    reason: str


def cut_rollout(
    problem_id: str, prompt: Prefix, rollout: Rollout, cutter: Cutter, role: ChainRole, tokenizer: Tokenizer
) -> Chain:
    """Cut a rollout from the prompt into steps."""
    token_ids = rollout.token_ids or ()
    steps = cutter.cut(token_ids, tokenizer)
    return Chain(problem_id, rollout.id, prompt.token_ids, token_ids, cutter.id, steps, role)


def choose_rollouts(
    sampler: Sampler,
    prompts: dict[str, Prefix],
    problems: dict[str, Problem],
    role: ChainRole,
    settings: SamplingSettings,
    *,
    tries: int,
    score: Callable[[], object],
    scorer_id: str,
) -> tuple[dict[str, Rollout], list[NoChain]]:
    """Choose one rollout from the prompt of each problem.

    - greedy: the one at temperature 0.
    - random: sample 0 (samples are independent, so the first is as random as any).
    - first-right, first-wrong: the first sample with that outcome among `tries`; truncated ones are neither.

    Args:
        sampler: Draws what is missing.
        prompts: Prompt prefix by problem id.
        problems: The same problems.
        role: Which one to choose.
        settings: Settings of the study (greedy replaces the temperature).
        tries: How many rollouts to look through.
        score: Scores what the run has not scored yet.
        scorer_id: Whose outcomes decide.

    Returns:
        Chosen rollout by problem id, and the problems without one.
    """
    if role == "greedy":
        settings = replace(settings, temperature=0.0, top_p=1.0, top_k=0)
    if role in ("greedy", "random"):
        sampler.draw(list(prompts.values()), 1, settings, phase=f"{role} chains")
        chosen = {key: _sample(sampler, prompt, settings, 0) for key, prompt in prompts.items()}
        missing = [NoChain(problems[key], role, _why(sampler)) for key, rollout in chosen.items() if rollout is None]
        return {key: rollout for key, rollout in chosen.items() if rollout is not None}, missing
    return _first(sampler, prompts, problems, role, settings, tries, score, scorer_id)


def _first(
    sampler: Sampler,
    prompts: dict[str, Prefix],
    problems: dict[str, Problem],
    role: ChainRole,
    settings: SamplingSettings,
    tries: int,
    score: Callable[[], object],
    scorer_id: str,
) -> tuple[dict[str, Rollout], list[NoChain]]:
    wanted, found, seen = _WANTED[role], dict[str, Rollout](), 0
    while len(found) < len(prompts) and seen < tries and not sampler.drawn.stopped:
        seen = min(tries, max(FIRST_BLOCK, 2 * seen))
        open_prompts = [prompt for key, prompt in prompts.items() if key not in found]
        sampler.draw(open_prompts, seen, settings, phase=f"looking for {role} chains")
        score()
        for key, prompt in prompts.items():
            if key in found:
                continue
            outcomes = outcomes_at(sampler.run, prompt.id, settings, sampler.engine.card.id, scorer_id)
            idx = next((i for i, outcome in sorted(outcomes.items()) if outcome == wanted and i < seen), None)
            rollout = None if idx is None else _sample(sampler, prompt, settings, idx)
            if rollout is not None:
                found[key] = rollout
    reason = sampler.drawn.stopped or f"none of {seen} rollouts was {wanted}"
    return found, [NoChain(problem, role, reason) for key, problem in problems.items() if key not in found]


def _sample(sampler: Sampler, prompt: Prefix, settings: SamplingSettings, sample_idx: int) -> Rollout | None:
    card_id = sampler.engine.card.id
    condition = Condition(prompt, settings)
    if sample_idx not in sampler.run.have(prompt.id, condition.intervention.id, settings.id, card_id):
        return None
    return sampler.run.rollout(condition.rollout_id(card_id, sample_idx))


def _why(sampler: Sampler) -> str:
    return sampler.drawn.stopped or "the engine gave no rollout (see `cotlab runs show`)"

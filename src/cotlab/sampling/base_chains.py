"""Which responses become the chains under study."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from cotlab.chains.chain import Chain, ChainRole
from cotlab.chains.cutting import Cutter
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.rollout import Rollout
from cotlab.chains.sample_idx import CHOOSING
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.tokens import Tokenizer
from cotlab.interventions.condition import Condition
from cotlab.sampling.draw import Sampler
from cotlab.sampling.scoring import outcomes_at

__all__ = ["Chooser", "NoChain", "cut_rollout"]

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
    return Chain(problem_id, rollout.id, prompt.token_ids, token_ids, cutter.id, steps, role, images=prompt.images)


@dataclass(frozen=True, slots=True)
class Chooser:
    """Chooses one rollout from the prompt of each problem.

    - greedy: the one at temperature 0.
    - random: the first that is drawn (they are independent, so the first is as random as any).
    - first-right, first-wrong: the first with that outcome among `tries`; truncated ones are neither.
    """

    sampler: Sampler
    """Draws what is missing."""
    prompts: Mapping[str, Prefix]
    """Prompt prefix by problem id."""
    problems: Mapping[str, Problem]
    """The same problems."""
    settings: SamplingSettings
    """Of the study (greedy replaces the temperature)."""
    tries: int
    """How many rollouts are looked through for an outcome."""
    score: Callable[[], object]
    """Scores what the run has not scored yet."""
    scorer_id: str
    """Whose outcomes decide."""

    def choose(self, role: ChainRole) -> tuple[dict[str, Rollout], list[NoChain]]:
        """Chosen rollout by problem id, and the problems without one."""
        if role in _WANTED:
            return self._first(role)
        first, settings = CHOOSING, self.settings
        if role == "greedy":
            first, settings = 0, replace(settings, temperature=0.0, top_p=1.0, top_k=0)
        self.sampler.draw(list(self.prompts.values()), 1, settings, phase=f"{role} chains", first=first)
        found = {key: self._sample(prompt, settings, first) for key, prompt in self.prompts.items()}
        why = self.sampler.drawn.stopped or "the engine gave no rollout (see `cotlab runs show`)"
        missing = [NoChain(self.problems[key], role, why) for key, rollout in found.items() if rollout is None]
        return {key: rollout for key, rollout in found.items() if rollout is not None}, missing

    def _first(self, role: ChainRole) -> tuple[dict[str, Rollout], list[NoChain]]:
        sampler, found, seen = self.sampler, dict[str, Rollout](), 0
        while len(found) < len(self.prompts) and seen < self.tries and not sampler.drawn.stopped:
            seen = min(self.tries, max(FIRST_BLOCK, 2 * seen))
            open_prompts = [prompt for key, prompt in self.prompts.items() if key not in found]
            sampler.draw(open_prompts, seen, self.settings, phase=f"looking for {role} chains", first=CHOOSING)
            self.score()
            for key, prompt in self.prompts.items():
                if key not in found and (rollout := self._with_outcome(prompt, _WANTED[role], seen)) is not None:
                    found[key] = rollout
        why = sampler.drawn.stopped or f"none of {seen} rollouts was {_WANTED[role]}"
        return found, [NoChain(problem, role, why) for key, problem in self.problems.items() if key not in found]

    def _with_outcome(self, prompt: Prefix, wanted: str, seen: int) -> Rollout | None:
        sampler = self.sampler
        outcomes = outcomes_at(sampler.run, prompt.id, self.settings, sampler.engine.card.id, self.scorer_id)
        looked_at = range(CHOOSING, CHOOSING + seen)
        idx = next((i for i, outcome in sorted(outcomes.items()) if outcome == wanted and i in looked_at), None)
        return None if idx is None else self._sample(prompt, self.settings, idx)

    def _sample(self, prompt: Prefix, settings: SamplingSettings, sample_idx: int) -> Rollout | None:
        run, card_id = self.sampler.run, self.sampler.engine.card.id
        condition = Condition(prompt, settings)
        if sample_idx not in run.have(prompt.id, condition.intervention.id, settings.id, card_id):
            return None
        return run.rollout(condition.rollout_id(card_id, sample_idx))

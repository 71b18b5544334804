"""Real runs of the markov engine, whose values are known exactly, for the tests of trees and measures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cotlab.chains.chain import Chain, ChainRole
from cotlab.chains.cutting import get_cutter
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.rollout import Rollout
from cotlab.chains.score import Score
from cotlab.chains.settings import SamplingSettings
from cotlab.engines.base import Request
from cotlab.engines.markov import MarkovEngine
from cotlab.engines.markov_spec import MarkovSpec
from cotlab.identity import seed_for
from cotlab.interventions.base import Baseline
from cotlab.interventions.condition import Condition
from cotlab.runs import Run, RunIdentity

SCORER = "boxed/1"
SETTINGS = SamplingSettings(temperature=1.0, top_p=1.0, max_tokens=64)


class MarkovStudy:
    """A run, the engine that fills it, and a prompt for each problem."""

    def __init__(self, folder: Path, spec: MarkovSpec, *, seed: int = 0, settings: SamplingSettings = SETTINGS) -> None:
        self.engine = MarkovEngine(spec)
        self.settings, self.seed = settings, seed
        identity = RunIdentity(f"markov:{spec.name}", self.engine.tokenizer.id, "plain", "<think>", "</think>")
        self.run = Run.create(folder, identity)
        self.run.add_settings(settings)
        self.run.add_engine_card(self.engine.card)
        self.run.add_intervention(Baseline())
        self.study_id = self.run.add_study({"kind": "test"}, seed)

    def problem(self, question: str, answer: str | None = "7") -> tuple[Problem, Prefix]:
        """Add a problem with its prompt."""
        problem = Problem(question, answer)
        ids = tuple(self.engine.tokenizer.encode(question))
        prompt = Prefix(ids, len(ids))
        self.run.add_problems([problem])
        self.run.add_prefix(prompt, problem.id, text=question)
        return problem, prompt

    def draw(
        self,
        prefix: Prefix,
        samples: Iterable[int],
        *,
        settings: SamplingSettings | None = None,
        judged: bool = True,
    ) -> list[Rollout]:
        """Sample, score and store."""
        rollouts = self.sample(prefix, samples, settings)
        self.store(rollouts, judged)
        return rollouts

    def sample(self, prefix: Prefix, samples: Iterable[int], settings: SamplingSettings | None = None) -> list[Rollout]:
        """Sample only."""
        condition = Condition(prefix, settings or self.settings)
        requests = [Request(condition, i, seed_for(self.seed, prefix.id, i)) for i in samples]
        rollouts = [result for result in self.engine.sample(requests) if isinstance(result, Rollout)]
        assert len(rollouts) == len(requests)
        self.run.add_settings(condition.settings)
        return rollouts

    def store(self, rollouts: list[Rollout], judged: bool = True) -> None:
        """Store rollouts and verdicts on them."""
        self.run.add_rollouts(rollouts, study_id=self.study_id)
        self.run.add_scores(Score("rollout", r.id, SCORER, self.verdict(r, judged)) for r in rollouts)

    def verdict(self, rollout: Rollout, judged: bool = True) -> dict[str, str | None]:
        """Answer in the last box, right if it is the spec's gold answer."""
        answer = rollout.text.rpartition("\\boxed{")[2].partition("}")[0] or None
        outcome = "correct" if answer == self.engine.spec.gold else "wrong"
        if rollout.finish_reason == "length":
            answer, outcome = None, "truncated"
        elif answer is None:
            outcome = "unparsable"
        elif not judged:
            outcome = "unjudged"
        return {"answer": answer, "key": answer, "outcome": outcome}

    def chain(self, problem: Problem, prompt: Prefix, rollout: Rollout, role: ChainRole = "random") -> Chain:
        """Cut a rollout by lines and store it with its prefixes."""
        cutter = get_cutter("lines")
        steps = cutter.cut(rollout.token_ids, self.engine.tokenizer)
        chain = Chain(problem.id, rollout.id, prompt.token_ids, rollout.token_ids, cutter.id, steps, role)
        self.run.add_chain(chain)
        self.run.add_chain_prefixes(chain)
        return chain

    def main_path(self, problem: Problem, prompt: Prefix) -> Chain:
        """A chain along the main path of a staircase, of a rollout that is no sample of `self.settings`."""
        other = SamplingSettings(temperature=1.0, top_p=1.0, max_tokens=63)
        rollouts = (self.sample(prompt, [i], other)[0] for i in range(100_000))
        rollout = next(r for r in rollouts if "Other" not in r.text and "Filler" not in r.text)
        self.store([rollout])
        return self.chain(problem, prompt, rollout, "given")

    def resample(self, chain: Chain, n: int) -> None:
        """Draw `n` rollouts from every prefix with something behind it."""
        for k in range(len(chain.steps)):
            self.draw(chain.prefix(k), range(n))

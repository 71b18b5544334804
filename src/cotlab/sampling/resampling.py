"""Resampling: keep the first k steps of a chain, let the model go on many times, for every k.

1. Screen the problems, where wished: keep those that the model gets right sometimes.
2. Choose base chains (greedy, first right, first wrong, random, given) and cut them into steps.
3. Say what the rest will take, once the first position has told rate and lengths; fit n to the budget in whole blocks.
4. Draw n rollouts from every prefix, in the order that keeps the prefix cache warm; coarse plans refine where V moves.
5. Score. Whatever the run already holds is neither sampled nor scored again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cotlab.chains.chain import Chain, ChainRole
from cotlab.chains.cutting import get_cutter
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.rollout import Rollout
from cotlab.chains.scorers import Scorer
from cotlab.engines.base import Engine
from cotlab.errors import UserError
from cotlab.runs import Run
from cotlab.sampling.base_chains import Chooser, NoChain, cut_rollout
from cotlab.sampling.budget import Budget
from cotlab.sampling.cost import Cost, expected_new_tokens
from cotlab.sampling.draw import Drawn, Sampler
from cotlab.sampling.labels import label_steps
from cotlab.sampling.open_study import refuse_other_seed
from cotlab.sampling.progress import Progress, Silent
from cotlab.sampling.refine import next_wave
from cotlab.sampling.scoring import outcomes_at, score_run
from cotlab.sampling.screening import screen_problems
from cotlab.sampling.spec import StudySpec

__all__ = ["Resampled", "Resampling"]

JUDGED_WITHOUT_GOLD = ("countdown", "reasoning-gym")
"""Checkers that tell right from wrong by the problem itself."""
CALIBRATION = 16
"""Rollouts that a dry run draws to measure rate and lengths."""


@dataclass(slots=True)
class Resampled:
    """What a resampling study did."""

    run: Run
    study_id: str
    spec: StudySpec
    """As carried out: n is smaller than asked for where the budget was."""
    chains: list[Chain] = field(default_factory=list)
    positions: dict[str, list[int]] = field(default_factory=dict)
    """Positions that were resampled, by chain id."""
    skipped: list[NoChain] = field(default_factory=list)
    drawn: Drawn = field(default_factory=Drawn)
    cost: Cost | None = None
    """Of what is certain to be drawn."""
    at_most: Cost | None = None
    """With every position that refining may add; None where nothing is refined."""
    seconds: float = 0.0
    shrunk: str | None = None
    """What the budget did to n, where it did."""

    def plan(self) -> str:
        """What it takes, in one line; empty before it is known."""
        if self.cost is None or self.at_most is None:
            return self.cost.line() if self.cost else ""
        return f"at most {self.at_most.line()}; of these the first wave: {self.cost.line()}"


class Resampling:
    """One study on one run with one engine."""

    def __init__(
        self,
        run: Run,
        engine: Engine,
        spec: StudySpec,
        scorer: Scorer,
        *,
        render: Callable[[Problem], Sequence[int]],
        budget: Budget | None = None,
        progress: Progress | None = None,
        asked: Mapping[str, Any] | None = None,
    ) -> None:
        """Prepare; nothing is sampled yet.

        Args:
            run: Open for writing.
            engine: Of the model that the run is about.
            spec: What is asked.
            scorer: Judges responses.
            render: Token ids of the prompt of a problem, with the image tokens that its images take.
            budget: Cap on tokens or seconds.
            progress: Told how it goes.
            asked: What the user asked for, as JSON; kept in the study's row beside the spec.
        """
        self.run, self.engine, self.spec, self.scorer = run, engine, spec, scorer
        self.render = render
        self.budget = budget or Budget()
        self.progress = progress or Silent()
        self.cutter = get_cutter(spec.cutter)
        refuse_other_seed(run, spec.seed)
        self.study_id = run.add_study({**spec.to_json(), "asked": dict(asked or {})}, spec.seed)
        self.sampler = Sampler(run, engine, self.study_id, seed=spec.seed, budget=self.budget, progress=self.progress)
        self.result = Resampled(run, self.study_id, spec, drawn=self.sampler.drawn)

    def go(
        self, problems: Sequence[Problem], *, given: Mapping[str, Rollout] | None = None, dry: bool = False
    ) -> Resampled:
        """Carry the study out; a second time it finds everything there and samples nothing.

        Args:
            problems: What is asked.
            given: Chains from outside, by problem id, beside the base chains that are asked for.
            dry: Stop once the cost is known.

        Raises:
            UserError: No problem is left to study.
            EngineError: The engine broke; what it gave is stored.
        """
        started = time.monotonic()
        prompts = self._prompts(problems)
        kept = self._screen(prompts, {p.id: p for p in self._judged(problems)})
        self._choose(prompts, kept, given or {})
        if not self.result.chains and not self.sampler.drawn.stopped:
            reasons = "; ".join(sorted({skip.reason for skip in self.result.skipped})[:3])
            way_out = "other --positions" if self.spec.positions.listed else "more problems or another --base"
            raise UserError(f"no problem of {len(problems)} gives a chain to study: {reasons}. Try {way_out}")
        if self._price(dry):
            self._waves()
        score_run(self.run, self.scorer, progress=self.progress)
        self.result.seconds = time.monotonic() - started
        return self.result

    def _judged(self, problems: Sequence[Problem]) -> list[Problem]:
        """Without those that a choice by outcome cannot be made for, before anything is drawn for them."""
        spec = self.spec
        if spec.screen is None and not {"first-right", "first-wrong"} & set(spec.base):
            return list(problems)
        without = [p for p in problems if p.answer is None and p.checker not in JUDGED_WITHOUT_GOLD]
        if not self.scorer.id.startswith("answers/"):  # the user's own scorer may judge without
            without = []
        self.result.skipped += [NoChain(p, None, "it has no gold answer to choose by: give one") for p in without]
        return [problem for problem in problems if problem not in without]

    def prompt(self, problem: Problem) -> Prefix:
        """Prefix of a problem that keeps nothing of a response."""
        ids = tuple(self.render(problem))
        return Prefix(ids, len(ids), problem.images)

    def _prompts(self, problems: Sequence[Problem]) -> dict[str, Prefix]:
        prompts = {problem.id: self.prompt(problem) for problem in problems}
        with self.run.transaction():  # a problem that is refused leaves nothing
            self.run.add_problems(problems)
            for problem_id, prompt in prompts.items():
                self.run.add_prefix(prompt, problem_id, text=self.engine.tokenizer.decode(prompt.token_ids))
        return prompts

    def _screen(self, prompts: dict[str, Prefix], problems: dict[str, Problem]) -> dict[str, Problem]:
        if self.spec.screen is None:
            return problems
        kept, out = screen_problems(
            self.sampler,
            prompts,
            problems,
            self.spec.screen,
            self.spec.settings,
            score=lambda: score_run(self.run, self.scorer),
            scorer_id=self.scorer.id,
        )
        self.result.skipped.extend(out)
        return kept

    def _choose(self, prompts: dict[str, Prefix], problems: dict[str, Problem], given: Mapping[str, Rollout]) -> None:
        if not self.spec.base and set(problems) - set(given):
            raise UserError("no base chain asked for. Use greedy, first-right, first-wrong or random")
        known = self.run.problems() if given else {}
        for key, rollout in given.items():
            self.run.add_rollouts([rollout], study_id=self.study_id)
            self._add_chain(known[key], prompts[key], rollout, "given")
        chooser = Chooser(
            self.sampler,
            {key: prompts[key] for key in problems},
            problems,
            self.spec.settings,
            tries=self.spec.tries,
            score=lambda: score_run(self.run, self.scorer),
            scorer_id=self.scorer.id,
        )
        for role in self.spec.base if problems else ():
            chosen, missing = chooser.choose(role)
            self.result.skipped.extend(missing)
            for key, rollout in chosen.items():
                self._add_chain(problems[key], prompts[key], rollout, role)

    def _add_chain(self, problem: Problem, prompt: Prefix, rollout: Rollout, role: ChainRole) -> None:
        chain = cut_rollout(problem.id, prompt, rollout, self.cutter, role, self.engine.tokenizer)
        if why := self._unfit(chain):
            self.result.skipped.append(NoChain(problem, role, why))
            return
        # The same response may be the greedy and the first right one: it is one chain, with both roles.
        same = (other for other in self.result.chains if _same_response(other, chain))
        if (there := next(same, None)) is not None:
            self.run.add_chain(replace(there, also=chain.roles))
            return
        with self.run.transaction():
            self.run.add_chain(chain)
            self.run.add_chain_prefixes(chain)
            label_steps(self.run, chain, problem)
        self.result.chains.append(chain)
        self.result.positions[chain.id] = []

    def _unfit(self, chain: Chain) -> str | None:
        """Why a chain cannot be studied as asked."""
        if not chain.steps:
            return f"the {chain.role} chain is empty"
        beyond = self.spec.positions.beyond(len(chain.steps))
        if beyond is None:
            return None
        return f"position {beyond} lies beyond the {chain.role} chain, which has {len(chain.steps)} steps"

    def _price(self, dry: bool) -> bool:
        """Draw the first position, which tells rate and lengths; say what the rest takes; fit n to the budget."""
        spec = self.spec
        first = [chain.prefix(0) for chain in self.result.chains]
        samples = min(spec.n, CALIBRATION)
        self.sampler.draw(first[:1], samples, spec.settings, phase="measuring rate and lengths", block=spec.n)
        drawn = self.sampler.drawn
        thrown_away = drawn if dry else Drawn()  # a dry run loses what it drew with its scratch folder
        self.result.cost = self._cost(spec.n, spec.positions.first_wave).plus(thrown_away)
        if spec.positions.kind == "coarse":
            self.result.at_most = self._cost(spec.n, spec.positions.most).plus(thrown_away)
        self.progress.say(f"planned: {self.result.plan()}")
        if dry or drawn.stopped:
            return False
        left = self._left()
        fits = self._fitting(left)
        if fits < spec.n:
            line = (
                f"the budget allows {fits} of {spec.n} rollouts at each position; fewer positions leave more for each"
            )
            self.progress.say(line)
            self.spec = self.result.spec = replace(spec, n=fits)
            self.result.shrunk = line
        return True

    def _fitting(self, left: Budget) -> int:
        """Largest n whose missing rollouts fit the budget (at least 1)."""
        low, high = 1, self.spec.n
        while low < high:
            middle = (low + high + 1) // 2
            cost = self._cost(middle, self.spec.positions.first_wave)
            if left.share_of(cost.tokens, cost.seconds or 0.0) >= 1:
                low = middle
            else:
                high = middle - 1
        return low

    def _left(self) -> Budget:
        tokens, seconds = self.budget.tokens, self.budget.seconds
        return Budget(
            None if tokens is None else max(1, tokens - self.sampler.drawn.tokens),
            None if seconds is None else max(0.001, seconds - self.sampler.drawn.seconds),
        )

    def _cost(self, n: int, positions: Callable[[int], Sequence[int]]) -> Cost:
        spec, rollouts, tokens, seen = self.spec, 0, 0.0, set[str]()
        for chain in self.result.chains:
            prefixes = self._open_prefixes(chain, positions(len(chain.steps)))
            prefixes = [prefix for prefix in prefixes if prefix.id not in seen]
            seen.update(prefix.id for prefix in prefixes)
            lacking = self.sampler.missing(prefixes, n, spec.settings)
            lengths = [len(chain.response_ids)]
            lengths += [r.n_tokens for r in self.run.rollouts(prefix_id=chain.prefix(0).id, bodies=False)]
            rollouts += len(lacking)
            for prefix, _ in lacking:
                kept = len(prefix.kept_ids)
                tokens += expected_new_tokens(kept, lengths, spec.settings.new_tokens(kept))
        rate = self.sampler.drawn.tokens_per_second
        return Cost(rollouts, tokens, tokens / rate if rate else None)

    def _open_prefixes(self, chain: Chain, positions: Sequence[int]) -> list[Prefix]:
        """Prefixes at those positions that leave room for new tokens."""
        prefixes = [chain.prefix(k) for k in positions]
        return [prefix for prefix in prefixes if self.spec.settings.new_tokens(len(prefix.kept_ids)) > 0]

    def _waves(self) -> None:
        wave = 0
        todo = {c.id: self.spec.positions.first_wave(len(c.steps)) for c in self.result.chains}
        while any(todo.values()) and not self.sampler.drawn.stopped:
            prefixes: list[Prefix] = []
            for chain in self.result.chains:
                prefixes += self._open_prefixes(chain, todo[chain.id])
                self.result.positions[chain.id] = sorted({*self.result.positions[chain.id], *todo[chain.id]})
            phase = "resampling" if wave == 0 else f"refining (wave {wave})"
            self.sampler.draw(prefixes, self.spec.n, self.spec.settings, phase=phase, wave=wave)
            if self.spec.positions.kind != "coarse":
                return
            score_run(self.run, self.scorer)
            wave += 1
            todo = {chain.id: self._refine(chain) for chain in self.result.chains}

    def _refine(self, chain: Chain) -> list[int]:
        counts: dict[int, tuple[int, int]] = {}
        for position in self.result.positions[chain.id]:
            prefix_id = chain.prefix(position).id
            card_id, scorer_id = self.engine.card.id, self.scorer.id
            outcomes = outcomes_at(self.run, prefix_id, self.spec.settings, card_id, scorer_id)
            drawn = [outcome for idx, outcome in outcomes.items() if idx < self.spec.n]
            if drawn:
                counts[position] = (drawn.count("correct"), len(drawn))
        return next_wave(counts)


def _same_response(left: Chain, right: Chain) -> bool:
    """Whether two chains have the same prefixes, so that the same rollouts serve both."""
    return (left.whole, left.prompt_ids, left.steps) == (right.whole, right.prompt_ids, right.steps)

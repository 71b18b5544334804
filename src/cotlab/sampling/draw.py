"""Fill a run with the rollouts that it lacks.

1. Ask the run which (prefix, sample) are missing under the settings, in the order of the plan.
2. Hand them to the engine lazily, so that what is in flight is bounded; under a budget in parts that fit into it by
   what the parts before took, each finished before the next is measured out.
3. Store what comes back in transactions of at most `BATCH` rollouts or `HOLD_SECONDS`, whichever comes first.
4. On an interruption or an error: store what has arrived, then let it through. What was not stored is missing, no more.

Before the first request the run is told how many samples of each prefix belong together (`Run.ask`): engines finish
short rollouts first, so what an interruption leaves of a block is no sample. A budget ends a draw in an orderly way:
what is in flight lands, and so far the block is whole.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cotlab.chains.prefix import Prefix
from cotlab.chains.rollout import Rollout
from cotlab.chains.settings import SamplingSettings
from cotlab.engines.base import Engine, Failure, Request
from cotlab.identity import seed_for
from cotlab.interventions.base import Baseline, Intervention
from cotlab.interventions.condition import Condition
from cotlab.runs import Run
from cotlab.sampling.budget import Budget
from cotlab.sampling.progress import Progress, Silent

__all__ = ["Drawn", "Sampler"]

BATCH = 512
HOLD_SECONDS = 2.0
FIRST_PART = 8
"""Rollouts that tell what one takes, where a budget is to be kept and nothing is known yet."""
PART_OF_BUDGET = 0.9
"""Share of what is left that one part may take by expectation: it may take more."""


@dataclass(slots=True)
class Drawn:
    """What a sampler has done since it was made."""

    rollouts: int = 0
    tokens: int = 0
    failures: int = 0
    seconds: float = 0.0
    stopped: str | None = None
    """Why it stopped before all was there (the budget), else None."""

    @property
    def tokens_per_second(self) -> float | None:
        """Measured rate of new tokens; None where it is too early to tell."""
        return self.tokens / self.seconds if self.seconds > 0.5 and self.tokens else None


class _Batch:
    """Rollouts and failures that are not stored yet."""

    def __init__(self, run: Run, card_id: str, study_id: str, wave: int) -> None:
        self.run, self.card_id, self.study_id, self.wave = run, card_id, study_id, wave
        self.rollouts: list[Rollout] = []
        self.failures: list[Failure] = []
        self.since = time.monotonic()

    @property
    def due(self) -> bool:
        return len(self.rollouts) >= BATCH or time.monotonic() - self.since > HOLD_SECONDS

    def store(self) -> None:
        if self.rollouts:
            self.run.add_rollouts(self.rollouts, study_id=self.study_id, wave=self.wave)
        if self.failures:
            self.run.add_attempts(
                [
                    (
                        failure.request.condition.prefix.id,
                        failure.request.condition.intervention.id,
                        failure.request.condition.settings.id,
                        self.card_id,
                        failure.request.sample_idx,
                        failure.error,
                    )
                    for failure in self.failures
                ],
                study_id=self.study_id,
            )
        self.rollouts, self.failures, self.since = [], [], time.monotonic()


class Sampler:
    """Draws for one study: one run, one engine, one seed, one budget."""

    def __init__(
        self,
        run: Run,
        engine: Engine,
        study_id: str,
        *,
        seed: int,
        budget: Budget | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.run, self.engine, self.study_id, self.seed = run, engine, study_id, seed
        self.budget = budget or Budget()
        self.progress = progress or Silent()
        self.drawn = Drawn()
        self._started: set[str] = set()

    def missing(
        self,
        prefixes: Sequence[Prefix],
        samples: int,
        settings: SamplingSettings,
        intervention: Intervention | None = None,
        *,
        first: int = 0,
    ) -> list[tuple[Prefix, int]]:
        """What the run lacks of samples `first` … `first + samples − 1` from each prefix, in their order."""
        by_id = {prefix.id: prefix for prefix in prefixes}
        key = (settings.id, self.engine.card.id, (intervention or Baseline()).id)
        if first == 0:
            return [(by_id[prefix_id], idx) for prefix_id, idx in self.run.missing(list(by_id), samples, *key)]
        settings_id, card_id, intervention_id = key
        have = {prefix_id: self.run.have(prefix_id, intervention_id, settings_id, card_id) for prefix_id in by_id}
        wanted = range(first, first + samples)
        return [(prefix, idx) for prefix in by_id.values() for idx in wanted if idx not in have[prefix.id]]

    def draw(
        self,
        prefixes: Sequence[Prefix],
        samples: int,
        settings: SamplingSettings,
        *,
        phase: str,
        wave: int = 0,
        intervention: Intervention | None = None,
        first: int = 0,
        block: int | None = None,
    ) -> None:
        """Sample until every prefix has `samples` rollouts, the budget is spent, or requests failed.

        Args:
            prefixes: Known to the run. One prefix after the other keeps the engine's prefix cache warm.
            samples: Rollouts wanted from each, with sample_idx `first` … `first + samples − 1`.
            settings: Sampling settings.
            phase: What the progress display calls it.
            wave: Recorded with each rollout, for honest analysis of adaptive allocation.
            intervention: What is changed; None for the baseline.
            first: Smallest sample_idx. Samples that a choice was made by are drawn far away from 0, where measures do
                not take them for draws.
            block: How many samples belong together, where these are the first of more to come; default: `samples`.

        Raises:
            EngineError: The engine broke. What it had yielded is stored.
        """
        intervention = intervention or Baseline()
        self._know(settings, intervention)
        condition_ids = (settings.id, self.engine.card.id, intervention.id)
        if first == 0 and not self.drawn.stopped:
            self.run.ask((prefix.id for prefix in prefixes), block or samples, *condition_ids)
        lacking = self.missing(prefixes, samples, settings, intervention, first=first)
        self._ask([(Condition(prefix, settings, intervention), idx) for prefix, idx in lacking], phase, wave)
        if lacking and first == 0:
            self._settle(condition_ids)

    def draw_each(self, wanted: Sequence[tuple[Prefix, int]], settings: SamplingSettings, *, phase: str) -> None:
        """Sample baseline rollouts one by one: (prefix, sample_idx) that the run lacks.

        Raises:
            EngineError: The engine broke. What it had yielded is stored.
        """
        self._know(settings, Baseline())
        self._ask([(Condition(prefix, settings), idx) for prefix, idx in wanted], phase, 0)

    def draw_mixed(
        self,
        prefixes: Sequence[Prefix],
        samples: int,
        settings: SamplingSettings,
        interventions: Sequence[Intervention],
        *,
        phase: str,
    ) -> None:
        """As `draw` for each of these interventions, all in one batch: small arms fill an engine together only.

        Raises:
            EngineError: The engine broke. What it had yielded is stored.
        """
        lacking: list[tuple[Condition, int]] = []
        for intervention in interventions:
            self._know(settings, intervention)
            if not self.drawn.stopped:
                ids = (settings.id, self.engine.card.id, intervention.id)
                self.run.ask((prefix.id for prefix in prefixes), samples, *ids)
            missing = self.missing(prefixes, samples, settings, intervention)
            lacking += [(Condition(prefix, settings, intervention), idx) for prefix, idx in missing]
        self._ask(lacking, phase, 0)

    def _know(self, settings: SamplingSettings, intervention: Intervention) -> None:
        self.run.add_settings(settings)
        self.run.add_engine_card(self.engine.card)
        self.run.add_intervention(intervention)

    def _ask(self, lacking: Sequence[tuple[Condition, int]], phase: str, wave: int) -> None:
        self._started.clear()
        if not lacking or self.drawn.stopped:
            return
        self.progress.phase(phase, len(lacking))
        done = 0
        while part := lacking[done : done + self._fitting(lacking[done:])]:
            self._started.update(condition.prefix.id for condition, _ in part)
            requests = (
                Request(condition, sample_idx, seed_for(self.seed, condition.prefix.id, sample_idx))
                for condition, sample_idx in part
            )
            self._consume(requests, _Batch(self.run, self.engine.card.id, self.study_id, wave))
            done += len(part)
        if done < len(lacking):
            spent = f"{self.drawn.tokens:,} tokens, {self.drawn.seconds:.0f} s spent"
            self.drawn.stopped = f"the budget of {self.budget} is filled: {spent}"

    def _settle(self, condition_ids: tuple[str, str, str]) -> None:
        """Where the budget ended the draw, record how far each prefix came: so far nothing is missing by its length.

        Requests are handed out in the order of their samples, so the first that is missing was not handed out.
        """
        settings_id, card_id, intervention_id = condition_ids
        for prefix_id in self._started if self.drawn.stopped else ():
            have = self.run.have(prefix_id, intervention_id, settings_id, card_id)
            reached = next(idx for idx in range(len(have) + 1) if idx not in have)
            if reached:
                self.run.ask([prefix_id], reached, *condition_ids)

    def _fitting(self, lacking: Sequence[tuple[Condition, int]]) -> int:
        """How many of these fit into what is left of the budget; all of them where there is none.

        What one takes is the mean over finished parts, in which long rollouts have landed too.
        """
        left_tokens, left_seconds = self.budget.left(self.drawn.tokens, self.drawn.seconds)
        if not lacking or (left_tokens is None and left_seconds is None):
            return len(lacking)
        known = self.drawn.rollouts
        if not known:
            first = lacking[0][0]
            longest = first.settings.new_tokens(len(first.prefix.kept_ids))
            fits = FIRST_PART if left_tokens is None else int(left_tokens // max(1, longest))
            return min(FIRST_PART, max(1, fits)) if (left_tokens != 0 and left_seconds != 0) else 0
        shares = [
            left / (spent / known)
            for left, spent in ((left_tokens, self.drawn.tokens), (left_seconds, self.drawn.seconds))
            if left is not None and spent > 0
        ]
        return int(PART_OF_BUDGET * min(shares, default=len(lacking)))

    def _consume(self, requests: Iterator[Request], batch: _Batch) -> None:
        before, started = self.drawn.seconds, time.monotonic()
        results = self.engine.sample(requests)
        try:
            for result in results:
                self._take(result, batch)
                self.drawn.seconds = before + time.monotonic() - started
                if batch.due:
                    batch.store()
        finally:
            batch.store()
            close = getattr(results, "close", None)
            if close is not None:
                close()
            self.drawn.seconds = before + time.monotonic() - started

    def _take(self, result: Rollout | Failure, batch: _Batch) -> None:
        if isinstance(result, Failure):
            self.drawn.failures += 1
            batch.failures.append(result)
            self.progress.advance(1, 0)
            return
        self.drawn.rollouts += 1
        self.drawn.tokens += result.n_tokens
        batch.rollouts.append(result)
        self.progress.advance(1, result.n_tokens)

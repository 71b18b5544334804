"""Capture while a run is sampled: activations come with the rollouts, and no second forward pass is made for them.

1. `Capturing` stands before an engine. What is sampled through it is read as well (`Engine.sample_reading`), cut, and
   kept at the places of the plan.
2. Rows wait until their rollouts are in the run; then a shard is written as `capture_run` writes it, under the same
   capture. So what an interruption loses, or was there before, `capture_run` reads later; what is there it leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from cotlab.chains.prefix import Prefix
from cotlab.chains.rollout import Rollout
from cotlab.engines.base import Activations, Engine, Failure, Passage, Request
from cotlab.interventions import HookPoint
from cotlab.interventions.hook_points import ModelShape
from cotlab.runs import Run
from cotlab.whitebox.capture import CapturePlan, Shard, means, places_of

__all__ = ["Capturing", "capture_live"]


def capture_live(plan: CapturePlan) -> Callable[[Run, Engine], AbstractContextManager[Engine]]:
    """What `run_study(..., around=…)` takes to capture all that a study samples.

    Args:
        plan: What is captured.
    """

    @contextmanager
    def around(run: Run, engine: Engine) -> Iterator[Engine]:
        capturing = Capturing(engine, run, plan)
        try:
            yield capturing
        finally:
            capturing.shard.write()

    return around


class Capturing(Engine):
    """An engine whose rollouts leave activations in a run."""

    def __init__(self, engine: Engine, run: Run, plan: CapturePlan) -> None:
        """Stand before an engine.

        Args:
            engine: Of the run's model; it stays open when this is closed.
            run: Open for writing.
            plan: What is captured.

        Raises:
            ModelError: The engine or the model has no such hook point.
        """
        self.engine, self.points = engine, plan.points
        for point in self.points:
            point.check(engine.shape)
        self.card, self.tokenizer, self.capabilities = engine.card, engine.tokenizer, engine.capabilities
        self.stats, self.max_model_len, self._card_id = engine.stats, engine.max_model_len, engine.card.id
        self.shard = Shard(run, run.add_capture(plan.spec(engine)), plan)
        self._cut = places_of(plan, engine)

    def sample(self, requests: Iterable[Request]) -> Iterator[Rollout | Failure]:
        """Stream rollouts; their activations are on the way to the run. See `Engine.sample`."""
        prefixes: dict[str, Prefix] = {}

        def noted() -> Iterator[Request]:
            for request in requests:
                prefixes[request.condition.prefix.id] = request.condition.prefix
                yield request

        for result in self.engine.sample_reading(noted(), self.points):
            if isinstance(result, Failure):
                yield result
                continue
            rollout, read = result
            self._keep(rollout, prefixes[rollout.prefix_id], read)
            yield rollout

    def _keep(self, rollout: Rollout, prefix: Prefix, read: Activations) -> None:
        if self.shard.full:
            self.shard.write()
        spans, kept = self._cut(prefix, rollout), len(prefix.kept_ids)
        parts = [slice(first - kept, end - kept) for first, end in spans]
        rows = {point: means([value[part] for part in parts]) for point, value in read.items() if spans}
        self.shard.add(rollout, rows, spans)

    def logprobs(self, sequences: Iterable[Sequence[int] | Passage]) -> Iterator[list[float]]:
        """See `Engine.logprobs`."""
        return self.engine.logprobs(sequences)

    def next_token_probs(self, prefix: Prefix, most: int) -> list[tuple[int, float]]:
        """See `Engine.next_token_probs`."""
        return self.engine.next_token_probs(prefix, most)

    def read(
        self,
        sequences: Iterable[Sequence[int] | Passage],
        points: Sequence[HookPoint],
        places: Iterable[Sequence[int]] | None = None,
    ) -> Iterator[Activations]:
        """See `Engine.read`."""
        return self.engine.read(sequences, points, places)

    @property
    def shape(self) -> ModelShape:
        """See `Engine.shape`."""
        return self.engine.shape

    def close(self) -> None:
        """Nothing: the engine is its owner's."""

"""The contract of an engine: what samples, gives log probabilities and reads activations of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias

from cotlab.chains.prefix import Prefix
from cotlab.chains.rollout import Rollout
from cotlab.chains.tokens import Tokenizer
from cotlab.errors import ModelError
from cotlab.interventions.base import Baseline, Intervention
from cotlab.interventions.condition import Condition
from cotlab.interventions.hook_points import HookPoint, ModelShape
from cotlab.models.engine_card import EngineCard

__all__ = ["Activations", "Capabilities", "Engine", "EngineStats", "Failure", "Passage", "Request"]

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Activations: TypeAlias = "dict[HookPoint, NDArray[np.float32]]"
"""What was read of one sequence: shape (tokens, width); of a pattern (tokens, heads, all tokens of the sequence).

Of points on the vision side: (patches or image tokens of all its images, width), whatever places were asked for."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Tokens that are read, not sampled, under an intervention: a prefix and what follows it."""

    prefix: Prefix
    new_ids: tuple[int, ...] = ()
    intervention: Intervention = Baseline()

    @property
    def token_ids(self) -> tuple[int, ...]:
        """All of them."""
        return self.prefix.token_ids + self.new_ids

    @classmethod
    def of(cls, sequence: Sequence[int] | Passage) -> Passage:
        """A plain sequence as a passage without an intervention."""
        if isinstance(sequence, Passage):
            return sequence
        return cls(Prefix(tuple(sequence), len(sequence)))


@dataclass(frozen=True, slots=True)
class Request:
    """One rollout that is wanted. Requests from one prefix share its `Prefix` object and its KV cache."""

    condition: Condition
    sample_idx: int
    seed: int
    """Distinct for every (prefix, sample); equal seed and prefix give equal tokens on the same engine card."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that gave no rollout: it is missing, and may be asked for again."""

    request: Request
    error: str


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do; what is missing is one clear line, not a crash."""

    logprobs: bool
    """Teacher-forced log probabilities."""
    interventions: frozenset[str]
    """Kinds of intervention that it can apply."""
    exact: bool = False
    """Whether it knows answer distributions in closed form (markov)."""
    reads: frozenset[str] = frozenset()
    """Kinds of hook point whose activations it gives."""
    images: bool = False
    """Whether the model is shown the images of a prefix."""
    missing: str = ""
    """What would make it do more, one line."""


@dataclass(slots=True)
class EngineStats:
    """Counters since the engine was opened."""

    prompt_tokens: int = 0
    """Tokens of all prefixes, once a request."""
    cached_tokens: int = 0
    """Of those, tokens whose keys and values were not computed again."""
    new_tokens: int = 0

    @property
    def prefix_cache_hit_rate(self) -> float | None:
        """Share of prefix tokens that were not computed again; None before the first request."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else None


class Engine(ABC):
    """Samples rollouts from prefixes.

    Use as a context manager: `close` frees the model. All methods take and give token ids.
    """

    card: EngineCard
    tokenizer: Tokenizer
    capabilities: Capabilities
    stats: EngineStats
    max_model_len: int
    """Longest sequence (prefix plus new tokens) that the engine can hold."""
    _card_id: str

    def set_template(self, template_id: str) -> None:
        """Say which template the prompts were written with, where that is known only once the engine is open."""
        self.card = replace(self.card, template_id=template_id)
        self._card_id = self.card.id

    @abstractmethod
    def sample(self, requests: Iterable[Request]) -> Iterator[Rollout | Failure]:
        """Stream results as they finish, in any order, one for each request.

        `requests` is read lazily, so memory is bounded by what is in flight. Closing the iterator (or an exception in
        the caller, Ctrl-C included) cancels what is in flight and leaves the engine ready for the next call.

        Raises:
            EngineError: The engine broke; nothing that was not yielded counts as sampled.
        """

    @abstractmethod
    def logprobs(self, sequences: Iterable[Sequence[int] | Passage]) -> Iterator[list[float]]:
        """Teacher-forced raw log probabilities (nats) of tokens 1 … n−1 of each sequence given those before.

        Args:
            sequences: Token ids, each of 2 or more tokens; a `Passage` is read under its intervention.

        Yields:
            One list of n − 1 floats a sequence, in order.
        """

    def next_token_probs(self, prefix: Prefix, most: int) -> list[tuple[int, float]]:
        """Likeliest next tokens after a prefix with their raw probabilities (before temperature, top-p and top-k).

        Args:
            prefix: Prompt and kept tokens, fewer than `max_model_len`.
            most: How many at most.

        Returns:
            (token id, probability), likeliest first.

        Raises:
            ModelError: The engine does not tell.
        """
        raise ModelError(
            f"the {self.card.engine} engine does not tell next-token probabilities: use vllm or transformers"
        )

    def read(
        self,
        sequences: Iterable[Sequence[int] | Passage],
        points: Sequence[HookPoint],
        places: Iterable[Sequence[int]] | None = None,
    ) -> Iterator[Activations]:
        """Activations of sequences that are read, teacher-forced.

        Args:
            sequences: Token ids; a `Passage` is read under its intervention, and what is read includes the change.
            points: Where in the model.
            places: Which tokens of each sequence, counted from its first; None: all of them.

        Yields:
            For each sequence, in order, float32 arrays by hook point.

        Raises:
            ModelError: The engine or the model has no such hook point.
        """
        raise ModelError(f"the {self.card.engine} engine gives no activations; use --engine transformers or vllm")

    def sample_reading(
        self, requests: Iterable[Request], points: Sequence[HookPoint]
    ) -> Iterator[tuple[Rollout, Activations] | Failure]:
        """`sample`, with the activations of every new token of each rollout, shape (new tokens, width).

        Reading changes nothing about what is sampled. An engine that cannot read while it samples, as this default,
        reads each rollout in a second pass.

        Raises:
            ModelError: The engine or the model has no such hook point.
            EngineError: The engine broke.
        """
        known: dict[tuple[str, str], Condition] = {}

        def noted() -> Iterator[Request]:
            for request in requests:
                known[request.condition.prefix.id, request.condition.intervention.id] = request.condition
                yield request

        for result in self.sample(noted()):
            if isinstance(result, Failure):
                yield result
                continue
            condition = known[result.prefix_id, result.intervention_id]
            passage = Passage(condition.prefix, result.token_ids or (), condition.intervention)
            first = len(condition.prefix.token_ids)
            (read,) = self.read([passage], points, [range(first, len(passage.token_ids))])
            yield result, read

    @property
    def shape(self) -> ModelShape:
        """Layers and widths of the model.

        Raises:
            ModelError: The engine or the model's family has no hook points.
        """
        raise ModelError(f"the {self.card.engine} engine gives no activations; use --engine transformers or vllm")

    def forget(self) -> None:
        """Forget what earlier calls left, caches and counts: what follows is what an engine just opened would give."""
        self.stats = EngineStats()

    @abstractmethod
    def close(self) -> None:
        """Free the model. Closing twice is allowed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

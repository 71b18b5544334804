"""A rollout while it is sampled."""

from __future__ import annotations

from functools import lru_cache

from cotlab.chains.rollout import FinishReason, Rollout
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.tokens import Tokenizer
from cotlab.engines.base import Request
from cotlab.engines.requests import check_steered
from cotlab.interventions.base import Intervention

__all__ = ["Draft"]

# A stop string of n bytes spans at most n tokens that say something; some that say nothing may lie between them.
SILENT_TOKENS = 16


class Draft:
    """Collects the tokens of one request and knows when to stop: end of sequence, stop string, number of tokens."""

    __slots__ = (
        "_limit",
        "_stops",
        "_tail",
        "_tokenizer",
        "finish_reason",
        "logprobs",
        "request",
        "steered_tokens",
        "token_ids",
    )

    def __init__(self, request: Request, limit: int, tokenizer: Tokenizer) -> None:
        self.request = request
        self.token_ids: list[int] = []
        self.logprobs: list[float] = []
        self.finish_reason: FinishReason | None = None
        self.steered_tokens: int | None = None
        self._limit = limit
        self._tokenizer = tokenizer
        self._stops = request.condition.settings.stop
        self._tail = max((len(stop.encode()) for stop in self._stops), default=0) + SILENT_TOKENS

    def add(self, token: int, logprob: float) -> bool:
        """Take the next token with its raw log probability; True where it was the last one."""
        self.token_ids.append(token)
        self.logprobs.append(logprob)
        if token in self._tokenizer.eos_ids or (self._stops and self._stopped()):
            self.finish_reason = "stop"
        elif len(self.token_ids) >= self._limit:
            self.finish_reason = "length"
        return self.finish_reason is not None

    def rollout(self, engine_card_id: str) -> Rollout:
        """The finished rollout; a stop string stands in its last token.

        Raises:
            RuntimeError: The draft is not finished.
            EngineError: Its intervention was not applied.
        """
        if self.finish_reason is None:
            raise RuntimeError(f"draft of sample {self.request.sample_idx} is not finished")
        condition = self.request.condition
        settings_id, intervention_id = _ids(condition.settings, condition.intervention)
        check_steered(self.request, len(self.token_ids), self.steered_tokens)
        return Rollout(
            prefix_id=condition.prefix.id,
            intervention_id=intervention_id,
            settings_id=settings_id,
            engine_card_id=engine_card_id,
            sample_idx=self.request.sample_idx,
            seed=self.request.seed,
            text=self._text(),
            finish_reason=self.finish_reason,
            token_ids=tuple(self.token_ids),
            logprobs=tuple(self.logprobs),
            steered_tokens=self.steered_tokens,
        )

    def _stopped(self) -> bool:
        tail = self._tokenizer.decode(self.token_ids[-self._tail :])
        return any(stop in tail for stop in self._stops)

    def _text(self) -> str:
        ended = self.token_ids[-1] in self._tokenizer.eos_ids
        return self._tokenizer.decode(self.token_ids[:-1] if ended else self.token_ids)


@lru_cache(maxsize=1024)
def _ids(settings: SamplingSettings, intervention: Intervention) -> tuple[str, str]:
    """Ids of the two: they are hashed once, not once a rollout."""
    return settings.id, intervention.id

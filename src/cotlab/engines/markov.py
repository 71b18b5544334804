"""Markov engine: a small exact "language model", whose answer distribution after any prefix is known.

It stands behind the same contract as the engines of real models, so everything above it can be tested against truth.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from cotlab.chains.prefix import Prefix
from cotlab.chains.rollout import Rollout
from cotlab.chains.settings import SamplingSettings
from cotlab.engines.base import Capabilities, Engine, EngineStats, Failure, Passage, Request
from cotlab.engines.draft import Draft
from cotlab.engines.markov_law import MarkovLaw, law_key
from cotlab.engines.markov_spec import EOS, MarkovSpec
from cotlab.engines.markov_tokens import MarkovTokenizer
from cotlab.engines.noise import uniforms
from cotlab.engines.requests import new_token_limit, no_room, refuse_unsupported
from cotlab.errors import EngineError
from cotlab.models.engine_card import EngineCard

__all__ = ["MarkovEngine"]


class MarkovEngine(Engine):
    """Samples from a `MarkovSpec`, and says what the samples' distribution is.

    A rollout starts in the state that its prefix leads to: the prompt chooses the first state (`spec.entries`), and
    each kept token moves on as `MarkovSpec.follow` says.
    """

    def __init__(self, spec: MarkovSpec, *, template_id: str = "plain", max_model_len: int = 1_000_000) -> None:
        self.spec = spec
        self.tokenizer: MarkovTokenizer = MarkovTokenizer(spec)
        self.capabilities = Capabilities(logprobs=True, interventions=frozenset({"baseline"}), exact=True)
        self.stats = EngineStats()
        self.max_model_len = max_model_len
        self.card = EngineCard(
            engine="markov",
            model=f"markov:{spec.name}",
            revision=spec.id,
            tokenizer_id=self.tokenizer.id,
            template_id=template_id,
            dtype="float64",
        )
        tokens = {symbol: self.tokenizer.token(symbol) for symbol in spec.symbols}
        self._law = MarkovLaw(spec, {**tokens, EOS: self.tokenizer.eos_id})
        self._card_id = self.card.id
        self._last_state: tuple[str, int] | None = None
        self._asked = 0
        self._closed = False

    def sample(self, requests: Iterable[Request]) -> Iterator[Rollout | Failure]:
        """Stream one result for each request, in order. See `Engine.sample`."""
        for request in requests:
            if self._closed:
                raise EngineError("the markov engine is closed; open it again")
            refuse_unsupported(request.condition, "markov", self.capabilities)
            self._asked += 1
            if self.spec.delay:
                time.sleep(self.spec.delay)
            if self.spec.fail_every and self._asked % self.spec.fail_every == 0:
                yield Failure(request, f"planted failure of request {self._asked} (fail_every={self.spec.fail_every})")
            elif new_token_limit(request, self.max_model_len) < 1:
                yield no_room(request, self.max_model_len)
            else:
                yield self._rollout(request)

    def logprobs(self, sequences: Iterable[Sequence[int] | Passage]) -> Iterator[list[float]]:
        """Raw log probabilities; see `Engine.logprobs`.

        A token that its state does not offer (so every byte of a prompt) has −inf.

        Raises:
            ModelError: A passage has an intervention.
        """
        choices = self._law.choices((1.0, 1.0, 0))
        for passage in map(Passage.of, sequences):
            refuse_unsupported(passage, "markov", self.capabilities)
            sequence = passage.token_ids
            state, row = self._follow(self.spec.start, sequence[0]), []
            for token in sequence[1:]:
                offered = choices[self._law.index[state]]
                found = token in offered.token_ids
                row.append(offered.logprobs[offered.token_ids.index(token)] if found else -math.inf)
                state = self._follow(state, token)
            yield row

    def forget(self) -> None:
        """Forget counts, and which request is the next to fail."""
        super().forget()
        self._asked, self._last_state = 0, None

    def close(self) -> None:
        """Refuse further requests."""
        self._closed = True

    def next_tokens(self, prefix: Prefix, settings: SamplingSettings | None = None) -> dict[int, float]:
        """Exact distribution of the next token: raw, or as `settings` sample it."""
        return self._law.next_tokens(self._state(prefix), settings)

    def next_token_probs(self, prefix: Prefix, most: int) -> list[tuple[int, float]]:
        """Exact; see `Engine.next_token_probs`."""
        return sorted(self.next_tokens(prefix).items(), key=lambda pair: (-pair[1], pair[0]))[:most]

    def answer_distribution(self, prefix: Prefix, settings: SamplingSettings) -> dict[str, float]:
        """Exact chance of each answer, of `unparsable` and of `truncated`, of a rollout from `prefix`.

        Raises:
            ValueError: `prefix` leaves no room for a new token.
        """
        horizon = min(settings.new_tokens(len(prefix.kept_ids)), self.max_model_len - len(prefix.token_ids))
        if horizon < 1:
            raise ValueError(f"prefix has {len(prefix.kept_ids)} kept tokens, expected under {settings.max_tokens}")
        return self._law.answer_distribution(self._state(prefix), settings, horizon)

    def limit_distribution(self, prefix: Prefix, settings: SamplingSettings) -> dict[str, float]:
        """The same with no bound on the number of tokens (a linear solve).

        Raises:
            ValueError: Under these settings the rollout may never end.
        """
        return self._law.limit_distribution(self._state(prefix), settings)

    def value(self, prefix: Prefix, settings: SamplingSettings, answer: str | None = None) -> float:
        """Exact chance that a rollout from `prefix` ends with `answer` (default: the spec's gold answer).

        Raises:
            ValueError: Neither `answer` nor a gold answer is there.
        """
        wanted = self.spec.gold if answer is None else answer
        if wanted is None:
            raise ValueError(f"spec {self.spec.name!r} has no gold answer; give `answer`")
        return self.answer_distribution(prefix, settings).get(wanted, 0.0)

    def text_agreement(self, prefix: Prefix, settings: SamplingSettings) -> float:
        """Exact chance that two rollouts from `prefix` are equal, token for token, with no bound on tokens.

        Raises:
            ValueError: Under these settings the rollout may never end.
        """
        return self._law.text_agreement(self._state(prefix), settings)

    def draw_answers(self, prefix: Prefix, settings: SamplingSettings, n: int, seed: int) -> dict[str, int]:
        """Counts of the answers of `n` rollouts, drawn at once from the exact distribution.

        For simulations of many studies: it has the law of `n` calls of `sample`, but not their tokens.
        """
        law = self.answer_distribution(prefix, settings)
        weights = np.array(list(law.values()))
        counts = np.random.default_rng(seed).multinomial(n, weights / weights.sum())
        return dict(zip(law, counts.tolist(), strict=True))

    def _rollout(self, request: Request) -> Rollout:
        prefix, settings = request.condition.prefix, request.condition.settings
        choices = self._law.choices(law_key(settings))
        draft = Draft(request, new_token_limit(request, self.max_model_len), self.tokenizer)
        state = self._state(prefix)
        for noise in uniforms(request.seed):
            offered = choices[state]
            at = bisect_right(offered.cumulative, noise)
            state = offered.targets[at]
            if draft.add(offered.token_ids[at], offered.logprobs[at]):
                break
        self.stats.prompt_tokens += len(prefix.token_ids)
        self.stats.new_tokens += len(draft.token_ids)
        return draft.rollout(self._card_id)

    def _state(self, prefix: Prefix) -> int:
        """Index of the state that a prefix leads to; the last one is remembered, as requests come prefix by prefix."""
        if self._last_state is None or self._last_state[0] != prefix.id:
            symbols = (self.tokenizer.symbol(token) for token in prefix.prompt_ids)
            state = self.spec.first_state(symbol for symbol in symbols if symbol is not None)
            for token in prefix.kept_ids:
                state = self._follow(state, token)
            self._last_state = (prefix.id, self._law.index[state])
        return self._last_state[1]

    def _follow(self, state: str, token: int) -> str:
        symbol = self.tokenizer.symbol(token)
        return state if symbol is None else self.spec.follow(state, symbol)

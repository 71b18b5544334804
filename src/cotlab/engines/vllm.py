"""vLLM engine: continuous batching with a prefix cache, one seeded request for each rollout.

1. Requests are read one by one and a bounded number is in flight (`Call`), in the order in which they come, so that
   rollouts from one prefix, and prefixes of one chain, find each other's keys and values in the cache.
2. Each rollout has its own seed and comes back as token ids with their raw log probabilities; the text is decoded
   here.
3. A request under an intervention has a cache of its own (`cache_salt`).

Tested with one minor version of vLLM. On a GPU vLLM works in processes of its own, which a Ctrl-C in a terminal
reaches too: the engine has to be opened again then.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cotlab.chains.prefix import Prefix
from cotlab.chains.rollout import Rollout
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.tokens import HFTokenizer, Tokenizer
from cotlab.engines.base import Capabilities, Engine, EngineStats, Failure, Request
from cotlab.engines.requests import new_token_limit, no_room, refuse_unsupported
from cotlab.engines.vllm_calls import Call, Steps
from cotlab.engines.vllm_settings import VllmOptions, open_llm
from cotlab.errors import ModelError
from cotlab.interventions.base import Baseline
from cotlab.models.engine_card import EngineCard

__all__ = ["VllmEngine", "VllmOptions"]

SCORES_IN_FLIGHT = 32
"""Sequences that `logprobs` has in flight: their prompt logits are computed one after the other anyway."""


class VllmEngine(Engine):
    """Samples with vLLM, in this process on a CPU and in vLLM's own processes on GPUs."""

    def __init__(
        self,
        model: str | Path,
        tokenizer: Tokenizer,
        *,
        name: str,
        revision: str,
        template_id: str,
        options: VllmOptions | None = None,
    ) -> None:
        """Load a model.

        Args:
            model: Its folder, or a hub name that is in the local cache or can be downloaded.
            tokenizer: Decodes what is sampled and names the tokens that end a response.
            name: What the card calls the model.
            revision: Hub revision, or hash of the weights.
            template_id: Id of the chat template that prompts are made with.
            options: Where and how large.

        Raises:
            ModelError: vLLM is not installed, or cannot open the model as asked.
        """
        options = options or VllmOptions()
        self._llm: Any = open_llm(model, options)
        if isinstance(tokenizer, HFTokenizer):
            # Stop strings are looked for in what vLLM decodes. Its own loader believes the class that the configuration
            # names, which for R1-Distill models loses the spaces (transformers issue 45488).
            self._llm.llm_engine.output_processor.tokenizer = tokenizer.hf
        self._steps = Steps(self._llm.llm_engine)
        self._window = 2 * options.max_rows
        self.tokenizer = tokenizer
        self.capabilities = Capabilities(logprobs=True, interventions=frozenset({Baseline.kind}))
        self.stats = EngineStats()
        self.max_model_len = int(self._llm.model_config.max_model_len)
        self.card = EngineCard(
            engine="vllm",
            model=name,
            revision=revision,
            tokenizer_id=tokenizer.id,
            template_id=template_id,
            dtype=str(self._llm.model_config.dtype).removeprefix("torch."),
            versions=_versions(),
        )
        self._card_id = self.card.id

    def sample(self, requests: Iterable[Request]) -> Iterator[Rollout | Failure]:
        """Stream one result for each request, as they finish. See `Engine.sample`.

        Raises:
            ModelError: A request has an intervention or settings that the engine cannot apply.
            EngineError: vLLM broke, or the engine is closed.
        """
        source = iter(requests)
        with self._steps.call() as call:
            while True:
                yield from self._refill(call, source)
                if not call:
                    return
                for request, output in call.finished():
                    yield self._result(request, output)

    def logprobs(self, sequences: Iterable[Sequence[int]]) -> Iterator[list[float]]:
        """Teacher-forced raw log probabilities. See `Engine.logprobs`.

        Memory: the logits of one sequence at a time, tokens × vocabulary × 4 bytes, a few times over.

        Raises:
            ValueError: A sequence has fewer than 2 tokens.
            ModelError: A sequence is longer than `max_model_len`.
            EngineError: vLLM broke, or the engine is closed.
        """
        source = enumerate(sequences)
        ready: dict[int, list[float]] = {}
        due = 0
        with self._steps.call() as call:
            while True:
                while len(call) + len(ready) < SCORES_IN_FLIGHT and (item := next(source, None)) is not None:
                    self._score(call, *item)
                if not call:
                    return
                for place, output in call.finished():
                    ready[place] = [*output.prompt_logprobs.logprobs, *output.outputs[0].logprobs.logprobs]
                while due in ready:
                    yield ready.pop(due)
                    due += 1

    def next_token_probs(self, prefix: Prefix, most: int) -> list[tuple[int, float]]:
        """See `Engine.next_token_probs`; vLLM gives 20 tokens at most unless `max_logprobs` allows more.

        Raises:
            ModelError: The prefix or `most` is more than vLLM takes.
            EngineError: vLLM broke, or the engine is closed.
        """
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        params = SamplingParams(
            temperature=0,
            max_tokens=1,
            ignore_eos=True,
            logprobs=most,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        with self._steps.call() as call:
            try:
                call.add(prefix.token_ids, params, None)
            except ValueError as error:
                raise ModelError(str(error).splitlines()[0]) from error
            while call:
                for _, output in call.finished():
                    found = output.outputs[0].logprobs[0]
        pairs = sorted(((token, math.exp(one.logprob)) for token, one in found.items()), key=lambda pair: -pair[1])
        return pairs[:most]

    def close(self) -> None:
        """Free the model. Closing twice is allowed, and so is opening another engine afterwards."""
        if self._llm is None:
            return
        from vllm.distributed import cleanup_dist_env_and_memory

        self._llm.llm_engine.engine_core.shutdown()
        self._steps.close()
        self._llm = None
        gc.collect()
        cleanup_dist_env_and_memory()

    def _refill(self, call: Call[Request], source: Iterator[Request]) -> Iterator[Failure]:
        """Read requests until the window is full; those that cannot start are failures."""
        while len(call) < self._window and (request := next(source, None)) is not None:
            refuse_unsupported(request, "vllm", self.capabilities)
            limit = new_token_limit(request, self.max_model_len)
            if limit < 1:
                yield no_room(request, self.max_model_len)
                continue
            intervention = request.condition.intervention
            salt = None if intervention == Baseline() else intervention.id
            params = self._params(request.condition.settings, request.seed, limit)
            try:
                call.add(request.condition.prefix.token_ids, params, request, salt)
            except ValueError as error:
                yield Failure(request, str(error).splitlines()[0])

    def _params(self, settings: SamplingSettings, seed: int, limit: int) -> Any:
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        if settings.temperature > 2 or 0 < settings.temperature < 0.01:
            raise ModelError(
                f"temperature is {settings.temperature}, vllm takes 0 and 0.01 to 2; take one of these or "
                "--engine transformers"
            )
        return SamplingParams(
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=settings.top_k,
            max_tokens=limit,
            # vLLM takes −1 for "no seed", and 0 is the seed that it gives the whole process.
            seed=seed % 2**62 or 2**62,
            stop=list(settings.stop),
            include_stop_str_in_output=True,
            detokenize=bool(settings.stop),
            # Our tokenizer says which tokens end a response; vLLM would ask the model's generation config.
            ignore_eos=True,
            stop_token_ids=sorted(self.tokenizer.eos_ids),
            # No other token besides the sampled one, in plain lists rather than a dict and an object a token.
            logprobs=0,
            flat_logprobs=True,
            output_kind=RequestOutputKind.FINAL_ONLY,
            skip_clone=True,
        )

    def _result(self, request: Request, output: Any) -> Rollout | Failure:
        sampled = output.outputs[0]
        if sampled.finish_reason not in ("stop", "length"):
            return Failure(request, f"vllm ended the request with '{sampled.finish_reason}'")
        token_ids = tuple(sampled.token_ids)
        self.stats.prompt_tokens += len(output.prompt_token_ids)
        self.stats.cached_tokens += output.num_cached_tokens
        self.stats.new_tokens += len(token_ids)
        ended = token_ids[-1] in self.tokenizer.eos_ids
        condition = request.condition
        return Rollout(
            prefix_id=condition.prefix.id,
            intervention_id=condition.intervention.id,
            settings_id=condition.settings.id,
            engine_card_id=self._card_id,
            sample_idx=request.sample_idx,
            seed=request.seed,
            text=self.tokenizer.decode(token_ids[:-1] if ended else token_ids),
            finish_reason=sampled.finish_reason,
            token_ids=token_ids,
            logprobs=tuple(sampled.logprobs.logprobs),
        )

    def _score(self, call: Call[int], place: int, token_ids: Sequence[int]) -> None:
        """Ask for the log probabilities of a sequence.

        All tokens but the last are the prompt; the last is forced as the one new token, so that a sequence of
        `max_model_len` tokens still fits.
        """
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        if len(token_ids) < 2:
            raise ValueError(f"sequence {place} has {len(token_ids)} tokens, expected 2 or more")
        if len(token_ids) > self.max_model_len:
            raise ModelError(
                f"sequence {place} has {len(token_ids)} tokens, the engine holds {self.max_model_len}; "
                "raise max_model_len or cut the sequence"
            )
        params = SamplingParams(
            temperature=0,
            max_tokens=1,
            allowed_token_ids=[token_ids[-1]],
            ignore_eos=True,
            prompt_logprobs=0,
            logprobs=0,
            flat_logprobs=True,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            skip_clone=True,
        )
        call.add(token_ids[:-1], params, place)


def _versions() -> tuple[tuple[str, str], ...]:
    import vllm

    return (("torch", version("torch")), ("transformers", version("transformers")), ("vllm", vllm.__version__))

"""vLLM engine: continuous batching with a prefix cache, one seeded request for each rollout.

1. Requests are read one by one and a bounded number is in flight (`Call`), in the order in which they come, so that
   rollouts from one prefix, and prefixes of one chain, find each other's keys and values in the cache.
2. Each rollout has its own seed and comes back as token ids with their raw log probabilities; the text is decoded
   here.
3. A request under an intervention has a cache of its own (`cache_salt`), and marks that hooks in vLLM's workers read
   (`vllm_hooks`, `vllm_worker`). CUDA graphs call no hooks, so on a GPU that needs `enforce_eager`.

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
from cotlab.chains.think import DEFAULT_TAGS, ThinkTags
from cotlab.chains.tokens import HFTokenizer, Tokenizer
from cotlab.engines.base import Activations, Capabilities, Engine, EngineStats, Failure, Passage, Request
from cotlab.engines.edits import CHANGES
from cotlab.engines.requests import (
    cache_salt,
    check_counted,
    check_steered,
    new_token_limit,
    no_room,
    placement,
    refuse_images,
    refuse_unsupported,
)
from cotlab.engines.vllm_calls import Call, Steps
from cotlab.engines.vllm_hooks import Session, WorkerHooks
from cotlab.engines.vllm_reading import Reads, Tail
from cotlab.engines.vllm_settings import VllmOptions, open_llm
from cotlab.engines.vllm_worker import Marks
from cotlab.errors import ModelError
from cotlab.interventions.base import Baseline
from cotlab.interventions.hook_points import FAMILIES, STEERABLE, HookPoint, ModelShape
from cotlab.models.engine_card import EngineCard

__all__ = ["VllmEngine", "VllmOptions"]

READS_IN_FLIGHT = 8
"""Sequences that `read` has in flight: what was read of them waits in the workers."""
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
        tags: ThinkTags = DEFAULT_TAGS,
    ) -> None:
        """Load a model.

        Args:
            model: Its folder, or a hub name that is in the local cache or can be downloaded.
            tokenizer: Decodes what is sampled and names the tokens that end a response.
            name: What the card calls the model.
            revision: Hub revision, or hash of the weights.
            template_id: Id of the chat template that prompts are made with.
            options: Where and how large.
            tags: Think tags of the model; interventions in the think part look for them.

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
        self._window = 2 * int(self._llm.llm_engine.vllm_config.scheduler_config.max_num_seqs)
        self.tokenizer = tokenizer
        self.capabilities = _capabilities(self._llm.model_config)
        vocab_size = int(self._llm.model_config.get_vocab_size())
        self._hooks = WorkerHooks(self._llm, tokenizer, vocab_size, tags, name, revision)
        self.stats = EngineStats()
        self._reads = Reads(self._hooks, self.capabilities, int(self._llm.model_config.max_model_len))
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
        with self._hooks.session() as session, self._steps.call() as call:
            while True:
                yield from self._refill(call, session, source)
                if not call:
                    return
                arrived = list(call.finished())
                steered = self._steered(session, arrived)
                for (request, marks), output in arrived:
                    yield self._result(request, output, steered[marks.key] if marks else None)

    def logprobs(self, sequences: Iterable[Sequence[int] | Passage]) -> Iterator[list[float]]:
        """Teacher-forced raw log probabilities. See `Engine.logprobs`.

        Memory: the logits of one sequence at a time, tokens × vocabulary × 4 bytes, a few times over.

        Raises:
            ValueError: A sequence has fewer than 2 tokens.
            ModelError: A sequence is longer than `max_model_len`, or has an intervention that cannot be applied.
            EngineError: vLLM broke, or the engine is closed.
        """
        source = enumerate(map(Passage.of, sequences))
        ready: dict[int, list[float]] = {}
        due = 0
        with self._hooks.session() as session, self._steps.call() as call:
            while True:
                while len(call) + len(ready) < SCORES_IN_FLIGHT and (item := next(source, None)) is not None:
                    self._score(call, session, *item)
                if not call:
                    return
                for (place, marks, passage), output in list(call.finished()):
                    if marks:
                        n = len(passage.token_ids) - 1
                        check_counted(passage.intervention, passage.prefix, n, *session.end([marks.key], [n]))
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

        refuse_images(prefix, "vllm", self.capabilities)
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

    def read(
        self,
        sequences: Iterable[Sequence[int] | Passage],
        points: Sequence[HookPoint],
        places: Iterable[Sequence[int]] | None = None,
    ) -> Iterator[Activations]:
        """Activations. See `Engine.read`.

        Raises:
            ValueError: A sequence is empty, or a place is not in it.
            ModelError: The model has no such hook point, or a sequence is too long.
            EngineError: vLLM broke, or the engine is closed.
        """
        self._reads.check(points)
        wanted = None if places is None else iter(places)
        source = enumerate(map(Passage.of, sequences))
        ready: dict[int, Activations] = {}
        due = 0
        with self._hooks.session() as session, self._steps.call() as call:
            while True:
                while len(call) + len(ready) < READS_IN_FLIGHT and (item := next(source, None)) is not None:
                    place, passage = item
                    its = self._reads.ask(session, passage, points, None if wanted is None else next(wanted))
                    call.add(passage.token_ids, its.params, (place, its), its.salt)
                if not call:
                    return
                for (place, its), _ in list(call.finished()):
                    ready[place] = its.take(session, points)
                while due in ready:
                    yield ready.pop(due)
                    due += 1

    def sample_reading(
        self, requests: Iterable[Request], points: Sequence[HookPoint]
    ) -> Iterator[tuple[Rollout, Activations] | Failure]:
        """Sample, and read each new token as it is computed. See `Engine.sample_reading`.

        The last token of a rollout is never fed back, so nothing is computed at it: that one is read behind, with the
        rollout's own keys and values in the cache.

        Raises:
            ModelError: A request cannot be applied, or the model has no such hook point.
            EngineError: vLLM broke, or the engine is closed.
        """
        self._reads.check(points)
        source = iter(requests)
        with self._hooks.session() as session, self._steps.call() as call:
            while True:
                yield from self._refill(call, session, source, points)
                if not call:
                    return
                for about, output in list(call.finished()):
                    if isinstance(about, Tail):
                        yield about.rollout, about.whole(session, points)
                        continue
                    found = self._sampled(session, about, output)
                    if isinstance(found, Failure):
                        yield found
                    elif found.missing:
                        its = found.ask(session, self._reads, points)
                        call.add(found.passage.token_ids, its.params, found, its.salt)
                    else:
                        yield found.rollout, found.read

    def _sampled(self, session: Session, about: tuple[Request, Marks], output: Any) -> Tail | Failure:
        """A rollout with what was read while it was sampled."""
        request, marks = about
        read = session.take_read(marks.key)
        n = len(output.prompt_token_ids) + len(output.outputs[0].token_ids) - 1
        (steered,) = session.end([marks.key], [n])
        rollout = self._result(request, output, steered if marks.edit else None)
        if isinstance(rollout, Failure):
            return rollout
        condition = request.condition
        return Tail(rollout, Passage(condition.prefix, rollout.token_ids or (), condition.intervention), read)

    @property
    def shape(self) -> ModelShape:
        """Layers and widths; see `Engine.shape`."""
        if self.capabilities.missing:
            raise ModelError(self.capabilities.missing)
        return self._hooks.shape

    def forget(self) -> None:
        """Forget counts, and which prefixes are cached."""
        super().forget()
        if self._llm is not None:
            self._llm.reset_prefix_cache()

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

    def _refill(
        self, call: Call[Any], session: Session, source: Iterator[Request], points: Sequence[HookPoint] = ()
    ) -> Iterator[Failure]:
        """Read requests until the window is full; those that cannot start are failures."""
        while len(call) < self._window and (request := next(source, None)) is not None:
            refuse_unsupported(request.condition, "vllm", self.capabilities)
            # Reading the last token takes room for one more.
            limit = new_token_limit(request, self.max_model_len - bool(points))
            if limit < 1:
                yield no_room(request, self.max_model_len)
                continue
            prefix, intervention = request.condition.prefix, request.condition.intervention
            where = placement(intervention, prefix.n_prompt, len(prefix.token_ids))
            since = len(prefix.token_ids) if points else None
            marks = session.begin(intervention, where, points, since=since)
            params = self._params(request.condition.settings, request.seed, limit, marks)
            try:
                call.add(prefix.token_ids, params, (request, marks), cache_salt(intervention, where))
            except ValueError as error:
                session.end([marks.key] if marks else [], [0])
                yield Failure(request, str(error).splitlines()[0])

    def _steered(self, session: Session, arrived: Sequence[tuple[tuple[Request, Marks | None], Any]]) -> dict[str, int]:
        """At how many tokens each of these requests was steered, by key."""
        read = {
            marks.key: len(output.prompt_token_ids) + len(output.outputs[0].token_ids) - 1
            for (_, marks), output in arrived
            if marks
        }
        return dict(zip(read, session.end(list(read), list(read.values())), strict=True))

    def _params(self, settings: SamplingSettings, seed: int, limit: int, marks: Marks | None) -> Any:
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
            extra_args=marks.to_args() if marks else None,
        )

    def _result(self, request: Request, output: Any, steered: int | None) -> Rollout | Failure:
        sampled = output.outputs[0]
        if sampled.finish_reason not in ("stop", "length"):
            return Failure(request, f"vllm ended the request with '{sampled.finish_reason}'")
        token_ids = tuple(sampled.token_ids)
        check_steered(request, len(token_ids), steered)
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
            # vLLM looks at the length first: a response that ends with its last allowed token is whole all the same.
            finish_reason="stop" if ended else sampled.finish_reason,
            token_ids=token_ids,
            logprobs=tuple(sampled.logprobs.logprobs),
            steered_tokens=steered,
        )

    def _score(
        self, call: Call[tuple[int, Marks | None, Passage]], session: Session, place: int, passage: Passage
    ) -> None:
        """Ask for the log probabilities of a sequence.

        All tokens but the last are the prompt; the last is forced as the one new token, so that a sequence of
        `max_model_len` tokens still fits.
        """
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        token_ids = passage.token_ids
        if len(token_ids) < 2:
            raise ValueError(f"sequence {place} has {len(token_ids)} tokens, expected 2 or more")
        if len(token_ids) > self.max_model_len:
            raise ModelError(
                f"sequence {place} has {len(token_ids)} tokens, the engine holds {self.max_model_len}; "
                "raise max_model_len or cut the sequence"
            )
        refuse_unsupported(passage, "vllm", self.capabilities)
        where = placement(passage.intervention, passage.prefix.n_prompt, len(passage.prefix.token_ids))
        marks = session.begin(passage.intervention, where)
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
            extra_args=marks.to_args() if marks else None,
        )
        call.add(token_ids[:-1], params, (place, marks, passage), cache_salt(passage.intervention, where))


def _capabilities(config: Any) -> Capabilities:
    """What the engine can do with a model."""
    family = config.hf_text_config.model_type
    missing = ""
    if family not in FAMILIES:
        missing = f"hook points of the family '{family}' are not known; known: {', '.join(FAMILIES)}"
    elif not config.enforce_eager:
        missing = "CUDA graphs call no hooks; open the engine with enforce_eager"
    if missing:
        return Capabilities(True, frozenset({Baseline.kind}), missing=missing)
    return Capabilities(True, frozenset({Baseline.kind}) | CHANGES, reads=frozenset({*STEERABLE, "z"}))


def _versions() -> tuple[tuple[str, str], ...]:
    import vllm

    return (("torch", version("torch")), ("transformers", version("transformers")), ("vllm", vllm.__version__))

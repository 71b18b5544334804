"""Transformers engine: our own sampling loop over a Hugging Face model.

1. Requests are read one by one; consecutive ones from one prefix share its keys and values, and a prefix that begins
   like the last one is computed from where they part (`PrefixReader`).
2. Each request is a row of one batch; rows of different prefixes and lengths run together, each token at its own
   position (`Batch`, `RowCache`).
3. One forward pass gives every row its next token (`choose`); rows that finish leave, and waiting requests take over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from cotlab.chains.prefix import Prefix
from cotlab.chains.rollout import Rollout
from cotlab.chains.think import DEFAULT_TAGS, ThinkTags
from cotlab.chains.tokens import Tokenizer, image_reader
from cotlab.engines.base import Activations, Capabilities, Engine, EngineStats, Failure, Passage, Request
from cotlab.engines.draft import Draft
from cotlab.engines.edits import CHANGES, Edit, hiding_edit, pack_edit, unpack_edit
from cotlab.engines.feature_edits import held_by, over
from cotlab.engines.hf_batch import Batch
from cotlab.engines.hf_cache import PrefixReader, row_edit
from cotlab.engines.hf_model import LoadedModel, RowEdit
from cotlab.engines.hf_options import TransformersOptions
from cotlab.engines.hooks import Sum
from cotlab.engines.requests import (
    new_token_limit,
    no_room,
    placement,
    refuse_images,
    refuse_unsupported,
)
from cotlab.errors import EngineError, ModelError
from cotlab.interventions.base import ActivationChange, Baseline, Intervention
from cotlab.interventions.hook_points import FAMILIES, KINDS, VISION_KINDS, HookPoint, ModelShape
from cotlab.interventions.suppression import AttentionSuppression
from cotlab.models.engine_card import EngineCard

__all__ = ["TransformersEngine"]

READ = 1024
"""Tokens that are read at once."""
LOGIT_BUDGET = 2**27
"""Most logits (rows × tokens × vocabulary) that `logprobs` holds at once: half a GiB in float32."""


class TransformersEngine(Engine):
    """Samples on any device that torch knows; the same code on CPU and CUDA."""

    def __init__(
        self,
        model: str | Path | PreTrainedModel,
        tokenizer: Tokenizer,
        *,
        name: str,
        revision: str,
        template_id: str,
        options: TransformersOptions | None = None,
        tags: ThinkTags = DEFAULT_TAGS,
    ) -> None:
        """Load a model.

        Args:
            model: Its folder, or one that is loaded already: it stays where it is; its attention is set to ours.
            tokenizer: Decodes what is sampled and names the tokens that end a response.
            name: What the card calls the model.
            revision: Hub revision, or hash of the weights.
            template_id: Id of the chat template that prompts are made with.
            options: Where and how large.
            tags: Think tags of the model; interventions in the think part look for them.

        Raises:
            ModelError: The model cannot be read, or the device is not there.
        """
        options = options or TransformersOptions()
        images = image_reader(tokenizer)
        make = LoadedModel.load if isinstance(model, str | Path) else LoadedModel
        loaded = make(model, options, images)
        self.tokenizer = tokenizer
        self.capabilities = _capabilities(loaded.family, images=images is not None)
        self.stats = EngineStats()
        self.max_model_len = loaded.max_model_len
        self.card = EngineCard(
            engine="transformers",
            model=name,
            revision=revision,
            tokenizer_id=tokenizer.id,
            template_id=template_id,
            dtype=loaded.dtype,
            versions=tuple((package, version(package)) for package in ("torch", "transformers")),
        )
        self._card_id = self.card.id
        self._max_rows = options.max_rows
        self._tags = tags
        self._edits: dict[str, Edit] = {}
        self._held: dict[str, tuple[str, int]] = {}
        self._loaded: LoadedModel | None = loaded
        self._reader: PrefixReader | None = PrefixReader(loaded)

    def sample(self, requests: Iterable[Request]) -> Iterator[Rollout | Failure]:
        """Stream one result for each request, as they finish. See `Engine.sample`.

        Raises:
            ModelError: A request has an intervention that the engine cannot apply.
            EngineError: The model broke.
        """
        batch = Batch(self._model, self.tokenizer, self._max_rows)
        source = Lookahead(requests)
        while True:
            while (request := source.peek()) is not None and batch.room(request, 0):
                refuse_unsupported(request.condition, "transformers", self.capabilities)
                if new_token_limit(request, self.max_model_len) < 1:
                    yield no_room(source.take(), self.max_model_len)
                else:
                    yield from self._rollouts(self._begin(batch, source))
            if not len(batch):
                return
            yield from self._rollouts(batch.step())

    def logprobs(self, sequences: Iterable[Sequence[int] | Passage]) -> Iterator[list[float]]:
        """Teacher-forced raw log probabilities, in order; see `Engine.logprobs`.

        Raises:
            ValueError: A sequence has fewer than 2 tokens, or more than the model holds.
            ModelError: A passage has an intervention that the engine cannot apply.
            EngineError: The model broke.
        """
        group: list[Passage] = []
        longest = 0
        for item in sequences:
            passage = Passage.of(item)
            sequence = passage.token_ids
            self._check(sequence)
            refuse_unsupported(passage, "transformers", self.capabilities)
            longest = max(longest, len(sequence))
            if group and (len(group) + 1) * longest * self._model.vocab_size > LOGIT_BUDGET:
                yield from self._score(group)
                group, longest = [], len(sequence)
            group.append(passage)
        if group:
            yield from self._score(group)

    @torch.inference_mode()
    def next_token_probs(self, prefix: Prefix, most: int) -> list[tuple[int, float]]:
        """One forward pass over what the last prefix does not share; see `Engine.next_token_probs`.

        Raises:
            ModelError: A token is not in the vocabulary, or the prefix is too long.
            EngineError: The engine is closed.
        """
        ids = prefix.token_ids
        if len(ids) >= self.max_model_len:
            raise ModelError(f"the prefix has {len(ids)} tokens and the model holds {self.max_model_len}: cut it")
        self._check_vocabulary(ids)
        if self._reader is None:
            raise EngineError("the transformers engine is closed; open it again")
        refuse_images(prefix, "transformers", self.capabilities)
        _, logits, _ = self._reader.read(ids, sight=self._model.sight(prefix))
        found = logits.float().softmax(dim=-1).topk(min(most, logits.shape[-1]))
        return list(zip(found.indices.tolist(), found.values.tolist(), strict=True))

    def read(
        self,
        sequences: Iterable[Sequence[int] | Passage],
        points: Sequence[HookPoint],
        places: Iterable[Sequence[int]] | None = None,
    ) -> Iterator[Activations]:
        """Activations, one sequence at a time; see `Engine.read`.

        Raises:
            ValueError: A sequence is longer than the model holds, or a place is not in it.
            ModelError: The model has no such hook point, or a passage an intervention that cannot be applied.
            EngineError: The model broke.
        """
        for point in points:
            point.check(self._model.modules.shape)
        wanted = None if places is None else iter(places)
        for item in sequences:
            passage = Passage.of(item)
            self._check(passage.token_ids, least=1)
            refuse_unsupported(passage, "transformers", self.capabilities)
            here = None if wanted is None else next(wanted)
            inner = [point for point in points if not point.is_vision]
            read = self._read(passage, inner, here) if inner else {}
            if len(inner) < len(points):
                read |= self._read_images(passage.prefix, [point for point in points if point.is_vision])
            yield {point: read[point] for point in points}

    @property
    def shape(self) -> ModelShape:
        """Layers and widths; see `Engine.shape`."""
        return self._model.modules.shape

    def forget(self) -> None:
        """Forget counts, and the last prefix: one that shares with it is computed in other pieces, which rounds."""
        super().forget()
        self._reader = None if self._loaded is None else PrefixReader(self._loaded)

    def close(self) -> None:
        """Free the model; on cuda its memory goes back to the driver."""
        on_cuda = self._loaded is not None and self._loaded.device.type == "cuda"
        self._loaded = None
        self._reader = None
        if on_cuda:
            torch.cuda.empty_cache()

    @property
    def _model(self) -> LoadedModel:
        if self._loaded is None:
            raise EngineError("the transformers engine is closed; open it again")
        return self._loaded

    def _begin(self, batch: Batch, source: Lookahead) -> list[Draft]:
        """Take the next request and those behind it that share its prefix, as many as fit, and start them."""
        group = [source.take()]
        condition = group[0].condition
        while (
            (request := source.peek()) is not None
            and request.condition.prefix.id == condition.prefix.id
            and request.condition.intervention == condition.intervention
            and new_token_limit(request, self.max_model_len) > 0
            and batch.room(request, len(group))
        ):
            group.append(source.take())
        ids = condition.prefix.token_ids
        self._check_vocabulary(ids)
        if self._reader is None:
            raise EngineError("the transformers engine is closed; open it again")
        edit = self._edit(condition.intervention)
        where = placement(condition.intervention, condition.prefix.n_prompt, len(ids))
        sight = self._model.sight(condition.prefix)
        cache, logits, reused = self._reader.read(ids, edit, where, sight)
        its = None if edit is None or where is None else (edit, where)
        self.stats.prompt_tokens += len(ids) * len(group)
        self.stats.cached_tokens += len(ids) * (len(group) - 1) + reused
        return batch.add(group, cache, logits, row_edit(its, ids), sight)

    def _rollouts(self, finished: list[Draft]) -> Iterator[Rollout]:
        for draft in finished:
            self.stats.new_tokens += len(draft.token_ids)
            yield draft.rollout(self._card_id)

    @torch.inference_mode()
    def _score(self, passages: list[Passage]) -> list[list[float]]:
        """Score sequences in one batch, padded on the right, a piece of their length at a time."""
        model = self._model
        group = [passage.token_ids for passage in passages]
        edits = [self._row_edit(passage) for passage in passages]
        sights = [model.sight(passage.prefix) for passage in passages]
        longest = max(len(sequence) for sequence in group)
        # Any token pads: it stands behind the tokens that are scored, where causal attention does not look.
        padded = torch.tensor(
            [[*sequence, *[0] * (longest - len(sequence))] for sequence in group], device=model.device
        )
        piece = max(1, LOGIT_BUDGET // (len(group) * model.vocab_size))
        cache = DynamicCache()
        scored = []
        for start in range(0, longest - 1, piece):
            ids = padded[:, start : min(start + piece, longest - 1)]
            logits = model.forward(ids, cache, edits, keep=0, sights=sights).float()
            targets = padded[:, start + 1 : start + 1 + ids.shape[1], None]
            scored.append(logits.log_softmax(dim=-1).gather(2, targets)[:, :, 0])
        rows = torch.cat(scored, dim=1).tolist()
        return [row[: len(sequence) - 1] for row, sequence in zip(rows, group, strict=True)]

    @torch.inference_mode()
    def _read(self, passage: Passage, points: Sequence[HookPoint], places: Sequence[int] | None) -> Activations:
        """Read one sequence, in pieces of which the wanted places are kept."""
        ids = passage.token_ids
        wanted = np.arange(len(ids)) if places is None else np.array(places, dtype=np.int64)
        if len(wanted) and not (wanted.min() >= 0 and wanted.max() < len(ids)):
            raise ValueError(f"places {wanted.min()}..{wanted.max()} are asked for of {len(ids)} tokens")
        index = torch.from_numpy(np.sort(wanted)).to(self._model.device)
        kept: dict[HookPoint, list[Tensor]] = {point: [] for point in points}
        read = 0

        def keep(point: HookPoint, base: Tensor, whole: Sum) -> None:
            value = whole(base)[0]
            value = value.movedim(0, 1) if point.kind == "pattern" else value  # to (tokens, heads, places)
            here = index[(index >= read) & (index < read + len(value))] - read
            kept[point].append(_padded(value[here], len(ids) if point.kind == "pattern" else 0).float().cpu())

        cache, edit, sight = DynamicCache(), self._row_edit(passage), self._model.sight(passage.prefix)
        with self._model.watched(points, keep):
            for start in range(0, len(ids), READ):
                piece = torch.tensor([ids[start : start + READ]], device=self._model.device)
                self._model.forward(piece, cache, [edit], sights=[sight])
                read += piece.shape[1]
        order = np.argsort(np.argsort(wanted, kind="stable"), kind="stable")
        return {point: torch.cat(values).numpy()[order] for point, values in kept.items()}

    @torch.inference_mode()
    def _read_images(self, prefix: Prefix, points: Sequence[HookPoint]) -> Activations:
        """What the vision side makes of all images of a prefix, one after the other."""
        kept = {point: np.empty((0, point.width(self.shape)), dtype=np.float32) for point in points}

        def keep(point: HookPoint, base: Tensor, whole: Sum) -> None:
            kept[point] = whole(base)[0].float().cpu().numpy()

        if prefix.images:
            self._model.watch_images(prefix.images, points, keep)
        return kept

    def _edit(self, intervention: Intervention) -> Edit | None:
        """An intervention on the device, made once; None for the baseline."""
        if isinstance(intervention, AttentionSuppression):
            if intervention.heads:
                intervention.check(self.shape.n_layers, self.shape.n_heads)
            made = hiding_edit(intervention, self._model.device)
            return self._edits.setdefault(intervention.id, made)
        if not isinstance(intervention, ActivationChange):
            return None
        if intervention.id not in self._edits:
            intervention.check(self._model.modules.shape, self.card.model, self.card.revision)
            packed = pack_edit(intervention, self.tokenizer.encode, lambda: self._vocabulary, self._tags)
            self._held[intervention.id] = held_by(packed)
            if over(self._held.values()):  # batches under way hold their own
                self._edits.clear()
                self._held = {intervention.id: held_by(packed)}
            self._edits[intervention.id] = unpack_edit(packed, self._model.device, self._model.torch_dtype)
        return self._edits[intervention.id]

    def _row_edit(self, passage: Passage) -> RowEdit | None:
        edit = self._edit(passage.intervention)
        where = placement(passage.intervention, passage.prefix.n_prompt, len(passage.prefix.token_ids))
        return None if edit is None or where is None else (edit, edit.state(where))

    @cached_property
    def _vocabulary(self) -> list[str]:
        """Text of every token."""
        return [self.tokenizer.pieces([i])[0] for i in range(self._model.vocab_size)]

    def _check(self, sequence: Sequence[int], *, least: int = 2) -> None:
        if not least <= len(sequence) <= self.max_model_len:
            raise ValueError(f"a sequence has {len(sequence)} tokens, expected {least}..{self.max_model_len}")
        self._check_vocabulary(sequence)

    def _check_vocabulary(self, ids: Sequence[int]) -> None:
        size = self._model.vocab_size
        if not (min(ids) >= 0 and max(ids) < size):
            raise ModelError(
                f"token id {min(ids) if min(ids) < 0 else max(ids)} is not in the vocabulary of '{self.card.model}' "
                f"(0..{size - 1}); use the tokenizer of this model"
            )


def _capabilities(family: str, *, images: bool) -> Capabilities:
    """What the engine can do with a model of a family, that sees images or not."""
    if family not in FAMILIES:
        missing = f"hook points of the family '{family}' are not known; known: {', '.join(FAMILIES)}"
        known = frozenset({Baseline.kind, AttentionSuppression.kind})
        return Capabilities(True, known, missing=missing, images=images)
    applied = frozenset({Baseline.kind, AttentionSuppression.kind}) | CHANGES
    reads = frozenset(KINDS) if images else frozenset(KINDS) - frozenset(VISION_KINDS)
    return Capabilities(True, applied, reads=reads, images=images)


def _padded(rows: Tensor, length: int) -> Tensor:
    """Rows whose last dimension is at least so long, zeros behind: what comes later is not looked at."""
    return torch.nn.functional.pad(rows, (0, max(0, length - rows.shape[-1])))


class Lookahead:
    """Requests, read one at a time, with a look at the next one."""

    def __init__(self, requests: Iterable[Request]) -> None:
        self._requests = iter(requests)
        self._next: Request | None = None

    def peek(self) -> Request | None:
        """The next request, which stays; None behind the last one."""
        if self._next is None:
            self._next = next(self._requests, None)
        return self._next

    def take(self) -> Request:
        """The next request, which goes."""
        request = self.peek()
        if request is None:
            raise RuntimeError("there is no further request to take")
        self._next = None
        return request

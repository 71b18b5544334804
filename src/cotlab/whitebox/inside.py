"""A transformers model, open: forward passes in which everything can be read, changed and differentiated.

The engines sample; this is for single sequences whose inside is looked at. Attention runs in its plain form, so that
patterns are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cotlab.chains.prefix import Prefix
from cotlab.chains.tokens import Tokenizer, image_reader
from cotlab.engines.hooks import Handler, Modules, remove
from cotlab.errors import DataError, ModelError
from cotlab.interventions.hook_points import HookPoint, ModelShape

if TYPE_CHECKING:
    from cotlab.engines.hf_vision import Sight, Vision
    from cotlab.whitebox.resuming import Resumed

__all__ = ["Change", "Inside", "Tokens", "ids_of"]

Tokens = Sequence[int] | Prefix
"""One sequence: its token ids, or a prefix, which brings its images along."""

Change = Callable[[Tensor], Tensor]
"""From the activations at a hook point, shape (tokens, width), to those that take their place. On the vision side rows
are patches or image tokens, of all images of the sequence one after the other."""


@dataclass(frozen=True, slots=True, eq=False)
class Inside:
    """One model. All methods take one sequence: its token ids, or a prefix with its images."""

    model: Any
    """A `PreTrainedModel` with plain ("eager") attention."""
    modules: Modules
    tokenizer: Tokenizer
    name: str
    revision: str
    vision: Vision | None = None
    """What shows it images; None where it sees none."""

    @classmethod
    def open(cls, name: str, *, device: str = "cpu", dtype: str = "float32") -> Inside:
        """Load a model by the name that `--model` takes.

        Raises:
            ModelError: It is not there, its family has no hook points, or there is no such device or number format.
        """
        from transformers import AutoConfig

        from cotlab.chains.tokens import HFTokenizer
        from cotlab.engines.hf_model import loader_of, no_progress_bars, pick_device, pick_dtype
        from cotlab.engines.keeping import close_idle_engine
        from cotlab.engines.threads import fit_threads
        from cotlab.models import resolve_model

        where = torch.device(pick_device(device))
        kind = pick_dtype(dtype, where)
        found = resolve_model(name)
        if where.type != "cpu":
            close_idle_engine()  # which holds most of its memory
        fit_threads(found.path)
        try:
            loader = loader_of(AutoConfig.from_pretrained(found.path))
            with no_progress_bars():
                model = loader.from_pretrained(found.path, dtype=kind)
        except (OSError, ValueError) as error:
            raise ModelError(f"model {name!r} cannot be opened: {str(error).splitlines()[0]}") from error
        return cls.of(model.to(where), HFTokenizer.load(found.path), name=found.name, revision=found.revision)

    @classmethod
    def of(cls, model: Any, tokenizer: Tokenizer, *, name: str = "", revision: str = "") -> Inside:
        """Look into a model that is loaded already; its attention is set to the plain form, its weights are frozen.

        Raises:
            ModelError: Its family has no hook points.
        """
        from cotlab.engines.hf_model import set_attention
        from cotlab.engines.hf_vision import Vision

        set_attention(model, "eager")
        model.eval().requires_grad_(False)
        modules = Modules(model, model.config.get_text_config(decoder=True), in_two=False)
        reader = image_reader(tokenizer)
        return cls(model, modules, tokenizer, name, revision, None if reader is None else Vision(model, reader))

    @property
    def shape(self) -> ModelShape:
        """Layers, width and heads."""
        return self.modules.shape

    def read(self, ids: Tokens, points: Iterable[HookPoint]) -> dict[HookPoint, Tensor]:
        """Activations at some points: (tokens, width), patterns (heads, tokens, tokens).

        On the vision side (patches or image tokens, width), of all images one after the other.

        Raises:
            ModelError: The model does not have such a point, or sees no images and there are some.
            DataError: The sequence is empty or too long, or an image cannot be shown.
        """
        seen: dict[HookPoint, Tensor] = {}

        def keep(point: HookPoint, base: Tensor, whole: Callable[[Tensor], Tensor]) -> None:
            seen[point] = whole(base)[0].detach().clone()

        with torch.inference_mode():
            self._forward(ids, list(points), keep)
        return seen

    def logits(self, ids: Tokens, changes: Mapping[HookPoint, Change] | None = None) -> Tensor:
        """Logits (tokens, vocabulary), with activations changed on the way; gradients flow where they are enabled.

        Raises:
            ModelError: The model does not have such a point, or never passed it.
        """
        changes = changes or {}
        fired: set[HookPoint] = set()

        def change(point: HookPoint, base: Tensor, whole: Callable[[Tensor], Tensor]) -> Tensor:
            fired.add(point)
            value = whole(base)[0]
            changed = changes[point](value)
            if changed.shape != value.shape:
                raise DataError(f"a change at {point} gave shape {tuple(changed.shape)}, expected {tuple(value.shape)}")
            # What is changed may be one of two tensors whose sum is the value.
            return base + (changed - value)[None]

        found = self._forward(ids, list(changes), change)
        if fired != changes.keys():
            missed = ", ".join(map(str, sorted(changes.keys() - fired)))
            raise ModelError(f"the model never passed {missed}: nothing was changed there")
        return found

    def resumed(self, point: HookPoint, prompts: Sequence[Tokens]) -> Resumed:
        """Prompts read behind a layer once, to go on from there under many changes (`Resumed`)."""
        from cotlab.whitebox.resuming import Resumed

        return Resumed(self, point, prompts)

    def inputs(
        self, tokens: Tokens, points: Sequence[HookPoint] = (), handler: Handler | None = None
    ) -> dict[str, Tensor]:
        """What the model is called with for a sequence, one row.

        Args:
            tokens: The sequence.
            points: Of its vision side, for the handler.
            handler: Sees, and may change, what passes these.

        Raises:
            ModelError: The model sees no images and there are some, or there are none to look at these points.
            DataError: The sequence is empty or too long, or an image cannot be shown.
        """
        ids = ids_of(tokens)
        longest = self.model.config.get_text_config(decoder=True).max_position_embeddings
        if not 1 <= len(ids) <= longest:
            raise DataError(f"a sequence has {len(ids)} tokens, expected 1..{longest}")
        given = torch.tensor([list(ids)], device=self.model.device)
        sight = self._sight(tokens, points, handler)
        if self.vision is None:
            return {"input_ids": given}
        return self.vision.inputs(given, 0, [sight])

    def _sight(self, tokens: Tokens, points: Sequence[HookPoint], handler: Handler | None) -> Sight | None:
        if not isinstance(tokens, Prefix) or not tokens.images:
            if points:
                raise ModelError(
                    f"{points[0]} is where images pass, and the sequence shows none: give a prefix with one"
                )
            if self.vision is not None and self.vision.shown_in(ids_of(tokens)):
                raise DataError("a sequence has image tokens and no images: give the prefix, which has them")
            return None
        if self.vision is None:
            raise ModelError(f"the sequence shows {len(tokens.images)} images, and model '{self.name}' sees none")
        if not points or handler is None:
            return self.vision.sight(tokens)
        return self.vision.sight_of(tokens, self.vision.watched(tokens.images, points, handler))

    def _forward(self, tokens: Tokens, points: list[HookPoint], handler: Any) -> Tensor:
        for point in points:
            point.check(self.shape)
        inputs = self.inputs(tokens, [point for point in points if point.is_vision], handler)
        handles = self.modules.hook(points, handler)
        try:
            found: Tensor = self.model(**inputs, use_cache=False).logits[0]
        finally:
            remove(handles)
        return found


def ids_of(tokens: Tokens) -> Sequence[int]:
    """Token ids of a sequence."""
    return tokens.token_ids if isinstance(tokens, Prefix) else tokens

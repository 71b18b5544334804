"""A Hugging Face causal language model, or an image-text model, loaded, and the one place where it is called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, PreTrainedModel
from transformers.cache_utils import Cache

from cotlab.chains.image import Image
from cotlab.chains.image_reader import ImageReader
from cotlab.chains.prefix import Prefix
from cotlab.engines.edits import Edit, Pass
from cotlab.engines.hf_attention import ATTENTION, register_attention
from cotlab.engines.hf_options import TransformersOptions
from cotlab.engines.hf_vision import Sight, Vision
from cotlab.engines.hiding import LayerMasks, hide_everywhere
from cotlab.engines.hooks import Handler, Modules, remove
from cotlab.errors import EngineError, ModelError
from cotlab.interventions.hook_points import VISION_LAYERS, HookPoint
from cotlab.interventions.masks import MaskState

__all__ = ["LoadedModel", "RowEdit", "loader_of", "set_attention"]

RowEdit = tuple[Edit, MaskState]
"""What is changed in a row, and the tokens of the row that were read so far."""

CHUNK = 1024
"""Tokens a row that are read at once: bounds the memory of activations."""
GIB = 2**30


class LoadedModel:
    """A model on its device. All forward passes of the engine go through `forward`."""

    def __init__(self, model: PreTrainedModel, options: TransformersOptions, images: ImageReader | None = None) -> None:
        config = model.config.get_text_config(decoder=True)
        refuse_other_attention(config, model.config.name_or_path)
        register_attention()
        set_attention(model, ATTENTION)
        self._model = model.eval()
        self.vision = None if images is None else Vision(model, images)
        """What shows it images; None where it sees none."""
        self._config = config
        self.device = model.device
        self.family: str = config.model_type
        self.torch_dtype = model.dtype
        self.dtype = str(model.dtype).removeprefix("torch.")
        self.max_model_len = min(
            options.max_model_len or config.max_position_embeddings, config.max_position_embeddings
        )
        self.vocab_size: int = config.vocab_size
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self._kv_bytes = 2 * config.num_hidden_layers * heads * dim * model.dtype.itemsize
        self._kv_gib = options.kv_gib
        self._watched: tuple[list[HookPoint], Handler] = ([], lambda point, base, whole: None)
        self._eager = False

    @classmethod
    def load(cls, path: str | Path, options: TransformersOptions, images: ImageReader | None = None) -> LoadedModel:
        """Read a model folder (or a hub name that is in the local cache).

        Args:
            path: The folder.
            options: Where and how large.
            images: What reads images for it.

        Raises:
            ModelError: There is no model that can be read, or no such device.
        """
        device = torch.device(pick_device(options.device))
        dtype = pick_dtype(options.dtype, device)
        try:
            config = AutoConfig.from_pretrained(path)
            refuse_other_attention(config, str(path))
            with no_progress_bars():
                model = loader_of(config).from_pretrained(path, dtype=dtype)
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ModelError(f"model '{path}' cannot be read: {reason}") from error
        return cls(model.to(device), options, images)

    @torch.inference_mode()
    def forward(
        self,
        ids: Tensor,
        cache: Cache,
        edits: Sequence[RowEdit | None],
        *,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        keep: int = 1,
        sights: Sequence[Sight | None] | None = None,
    ) -> Tensor:
        """Read tokens behind what `cache` holds, which grows by them.

        Args:
            ids: Token ids, shape (rows, tokens); on the right, rows may be padded with anything.
            cache: Keys and values of the tokens before.
            edits: What is changed in each row; the states are told what is read.
            positions: Places of the tokens, shape (rows, tokens), where they differ from row to row: these stand behind
                the images of their rows. Default: behind the cache.
            mask: Shape (rows, 1, tokens, places), True where a token may look; default: causal.
            keep: Logits of that many last tokens; 0 keeps all.
            sights: What each row shows; default: nothing.

        Returns:
            Logits, shape (rows, keep, vocabulary).

        Raises:
            EngineError: The model broke, or memory did not suffice.
        """
        if len(edits) != len(ids):
            raise ValueError(f"{len(edits)} edits for {len(ids)} rows, expected one a row")
        chunks = []
        with engine_faults():
            for start in range(0, ids.shape[1], CHUNK):
                piece = ids[:, start : start + CHUNK]
                seen, by_layer = self._masks(piece, cache, edits, positions, mask)
                inputs = self._inputs(piece, cache, positions, sights)
                with self._edited(piece, edits, by_layer):
                    output: Any = self._model(
                        **inputs,
                        attention_mask=seen,
                        past_key_values=cache,
                        use_cache=True,
                        logits_to_keep=keep,
                    )
                chunks.append(output.logits)
        return chunks[-1] if keep else torch.cat(chunks, dim=1)

    def sight(self, prefix: Prefix) -> Sight | None:
        """What a prefix shows; None where it has no images.

        Raises:
            ModelError: It has images, and the model sees none.
            DataError: An image cannot be read, or has not as many tokens in the prefix as it takes.
        """
        if self.vision is None:
            if not prefix.images:
                return None
            raise ModelError(f"prefix {prefix.id} shows {len(prefix.images)} images, and this model sees none")
        with engine_faults():
            return self.vision.sight(prefix)

    def watch_images(self, images: Sequence[Image], points: Iterable[HookPoint], handler: Handler) -> None:
        """Let `handler` see what the vision side makes of images, one after the other.

        Raises:
            ModelError: The model sees no images.
            DataError: An image cannot be read.
        """
        if self.vision is None:
            raise ModelError("this model sees no images")
        with engine_faults():
            self.vision.watched(images, points, handler)

    def _inputs(
        self, ids: Tensor, cache: Cache, positions: Tensor | None, sights: Sequence[Sight | None] | None
    ) -> dict[str, Tensor | None]:
        """Tokens and positions, as the model takes them."""
        if self.vision is None:
            return {"input_ids": ids, "position_ids": positions}
        sights = sights or [None] * len(ids)
        if positions is None:
            return dict(self.vision.inputs(ids, cache.get_seq_length(), sights))
        return {"input_ids": ids, "position_ids": self.vision.next_positions(positions, sights)}

    def _masks(
        self,
        ids: Tensor,
        cache: Cache,
        edits: Sequence[RowEdit | None],
        positions: Tensor | None,
        mask: Tensor | None,
    ) -> tuple[Tensor | None, LayerMasks | None]:
        """The mask with what edits hide taken away (None: causal), and those of layers that have their own."""
        hiding = [
            (row, its[0].hides, its[1].start) for row, its in enumerate(edits) if its is not None and its[0].hides
        ]
        if not hiding:
            return mask, None
        rows, n = ids.shape
        if positions is None:
            past = cache.get_seq_length()
            positions = torch.arange(past, past + n, device=self.device).expand(rows, n)
        if mask is None:
            places = torch.arange(int(positions.max()) + 1, device=self.device)
            mask = places <= positions[:, None, :, None]
        mask = hide_everywhere(mask, hiding, positions)
        if self._eager:  # adds the mask to scores, where other implementations choose by it
            bias = torch.zeros(mask.shape, dtype=self.torch_dtype, device=self.device)
            mask = bias.masked_fill(~mask, torch.finfo(self.torch_dtype).min)
        some = any(its.heads for _, its, _ in hiding)
        return mask, LayerMasks(hiding, positions, self._config.num_attention_heads, mask) if some else None

    @contextmanager
    def watched(self, points: Iterable[HookPoint], handler: Handler) -> Iterator[None]:
        """Let `handler` see what passes some points, as long as the block lasts; after what edits change there."""
        self._watched = list(points), handler
        self._eager = any(point.kind == "pattern" for point in self._watched[0])
        if self._eager:  # other implementations make no weights
            set_attention(self._model, "eager")
        try:
            yield
        finally:
            self._watched, self._eager = ([], handler), False
            set_attention(self._model, ATTENTION)

    @cached_property
    def modules(self) -> Modules:
        """The modules that hook points name, checked: the last residual stream gives the logits.

        Raises:
            ModelError: The family is not known, or its modules are not where the table says.
        """
        modules = Modules(self._model, self._config, in_two=False)
        last = HookPoint("resid_post", modules.shape.n_layers - 1)
        seen: list[Tensor] = []
        handles = modules.hook([last], lambda point, base, whole: seen.append(whole(base)))
        try:
            with engine_faults(), torch.inference_mode():
                ids = torch.arange(3, device=self.device)[None] % self.vocab_size
                logits = self._model(input_ids=ids, use_cache=False).logits
        finally:
            remove(handles)
        with torch.inference_mode():
            found = modules.logits(seen[0]) if seen else logits[..., :0]
        if found.shape != logits.shape or not torch.allclose(found, logits, atol=1e-3, rtol=1e-3):
            raise ModelError(
                f"hook points do not fit this {self._config.model_type} model: {last} through norm and unembedding "
                "does not give its logits; correct the paths of its family in cotlab/interventions/hook_points.py"
            )
        return modules

    @contextmanager
    def _edited(self, ids: Tensor, edits: Sequence[RowEdit | None], masks: LayerMasks | None = None) -> Iterator[None]:
        """Hooks for one forward pass, where some row is changed at some of these tokens, or something is watched."""
        points, handler = self._watched
        if not any(edits) and not points:
            yield
            return
        rows, tokens = ids.shape
        step = Pass(rows * tokens, self.device, self._model.dtype)
        for row, its in enumerate(edits):
            if its is not None:
                edit, state = its
                token_ids = ids[row].tolist() if state.needs_tokens else None
                held = state.read(len(state), tokens, token_ids)
                if edit.points:
                    step.add(edit, row * tokens, held)
        step.prepare()
        # Hooks run in this order: what is read has been changed already.
        handles = self.modules.hook(step.points, step.handle) + self.modules.hook(points, handler)
        handles += masks.hook(self.modules.attentions()) if masks else []
        try:
            yield
        finally:
            remove(handles)
        step.check()

    def kv_tokens(self) -> int:
        """How many tokens of keys and values fit in the memory that they may take."""
        if self._kv_gib is not None:
            room = self._kv_gib * GIB
        elif self.device.type == "cuda":
            room = 0.8 * torch.cuda.mem_get_info(self.device)[0]
        else:
            room = 2 * GIB
        return int(room / self._kv_bytes)


def loader_of(config: Any) -> Any:
    """The class of transformers that loads a model of such a configuration."""
    return AutoModelForImageTextToText if config.model_type in VISION_LAYERS else AutoModelForCausalLM


def set_attention(model: Any, implementation: str) -> None:
    """Choose the attention of the decoder; a vision encoder keeps its own."""
    inner = "text_config" in getattr(model.config, "sub_configs", {})
    model.set_attn_implementation({"text_config": implementation} if inner else implementation)


@contextmanager
def engine_faults() -> Iterator[None]:
    """Turn what torch raises while it computes into an EngineError of one line."""
    try:
        yield
    except RuntimeError as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EngineError(
            f"the transformers engine broke: {reason} (lower max_rows or kv_gib if memory ran out)"
        ) from error


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Keep transformers from drawing its own bars; what the user has set comes back."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


FORMATS = ("float32", "bfloat16", "float16", "float64")
"""Number formats that weights are loaded in."""


def pick_device(wanted: str) -> str:
    """Name of the torch device.

    Raises:
        ModelError: It is not there.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.split(":")[0] not in ("cpu", "cuda", "mps", "xpu"):
        raise ModelError(f"device is '{wanted}', expected cpu, cuda, cuda:1, … or auto")
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(f"device is '{wanted}', but torch sees no CUDA device; use device 'cpu' or 'auto'")
    return wanted


def pick_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """The torch dtype of a name; auto is bfloat16 on cuda, else float32.

    Raises:
        ModelError: There is no such number format.
    """
    if wanted not in ("auto", *FORMATS):
        raise ModelError(f"number format is '{wanted}', expected auto, {', '.join(FORMATS)}")
    if wanted == "auto":
        wanted = "bfloat16" if device.type == "cuda" else "float32"
    dtype: torch.dtype = getattr(torch, wanted)
    return dtype


def refuse_other_attention(config: Any, name: str) -> None:
    """Say so where a model has layers whose keys and values are not one plain list of tokens.

    Raises:
        ModelError: Some layer has sliding-window or linear attention, or a state.
    """
    text = config.get_text_config(decoder=True)
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    if "layer_types" not in text and getattr(text, "sliding_window", None):
        kinds = {"sliding_attention"}
    if kinds != {"full_attention"}:
        raise ModelError(
            f"model '{name}' has {', '.join(sorted(kinds - {'full_attention'}))} layers, which the transformers engine "
            "does not sample from; use --engine vllm"
        )

"""Images in a transformers model: what they become, where they stand, at which positions.

1. The features of an image are computed once and kept (`Vision.features`).
2. A prompt's `Sight` says what stands at its image tokens, whatever part of the prompt is read at a time.
3. Positions are the model's own: places in the sequence, or those of Qwen2.5-VL, where an image counts in three
   directions (time, down, across) and takes fewer positions than tokens; what follows is then shifted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cotlab.chains.image import Image
from cotlab.chains.image_reader import ImageReader, ImageSpan
from cotlab.chains.prefix import Prefix
from cotlab.engines.hooks import Handler
from cotlab.engines.vision_hooks import image_features
from cotlab.errors import ModelError
from cotlab.interventions.hook_points import HookPoint

__all__ = ["Sight", "Vision"]

FEATURE_BYTES = 2**28
"""Most that kept features take: 28 images of LLaVA-1.5 in float32."""


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What a sequence shows: that of its prompt, whatever follows."""

    spans: tuple[tuple[int, int], ...]
    """Places of the tokens of each image: first, one past the last."""
    features: Tensor
    """What stands there, one image after the other, shape (image tokens, d_model)."""
    keys: tuple[int, ...]
    """The prompt's token ids, with a number below 0 for each image in place of its tokens: prompts whose keys begin
    alike have the same keys and values there."""
    positions: Tensor | None
    """Of the prompt's tokens, shape (3, tokens); None where they are the places."""
    shift: int = 0
    """Position less place behind the prompt."""

    def whole_keys(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        """Keys of a sequence that begins with the prompt."""
        return self.keys + ids[len(self.keys) :]

    def positions_at(self, places: Tensor) -> Tensor:
        """Positions of tokens, shape (tokens,) to (3, tokens)."""
        if self.positions is None:
            return places.expand(3, -1)
        n = self.positions.shape[1]
        return torch.where(places < n, self.positions[:, places.clamp(max=n - 1)], places + self.shift)

    def put(self, embeds: Tensor, start: int) -> None:
        """Write features into the embeddings of tokens from a place on, shape (tokens, d_model)."""
        stop, behind = start + len(embeds), 0
        for first, end in self.spans:
            here, until = max(first, start), min(end, stop)
            if here < until:
                its = self.features[behind + here - first : behind + until - first]
                embeds[here - start : until - start] = its.to(embeds.dtype)
            behind += end - first

    def shows(self, start: int, stop: int) -> bool:
        """Whether image tokens are among the places start … stop − 1."""
        return any(first < stop and start < end for first, end in self.spans)


class Vision:
    """The vision side of a loaded image-text model."""

    def __init__(self, model: Any, reader: ImageReader) -> None:
        """Take a model and what reads images for it."""
        self._model = model
        self._reader = reader
        self._grids = hasattr(model.model, "get_rope_index")
        """Whether positions are counted in three directions."""
        self._features: OrderedDict[str, Tensor] = OrderedDict()
        self._numbers: dict[str, int] = {}
        self._last: tuple[tuple[int, ...], tuple[Image, ...], Sight] | None = None

    def shown_in(self, ids: Sequence[int]) -> bool:
        """Whether image tokens are among token ids."""
        return self._reader.token_id in ids

    def sight(self, prefix: Prefix) -> Sight | None:
        """What a prefix shows; None where it has no images.

        Raises:
            DataError: An image cannot be read, or the prompt has more or fewer image tokens than its images take.
        """
        if not prefix.images:
            self._reader.spans(prefix)  # says so where it lost them
            return None
        prompt = prefix.prompt_ids
        if self._last is None or self._last[:2] != (prompt, prefix.images):
            features = torch.cat([self.features(image) for image in prefix.images])
            self._last = (prompt, prefix.images, self.sight_of(prefix, features))
        return self._last[2]

    def sight_of(self, prefix: Prefix, features: Tensor) -> Sight:
        """The same with features of one's own, one image after the other; raises what `sight` does."""
        spans = self._reader.spans(prefix)
        wanted = sum(span.end - span.start for span in spans)
        if len(features) != wanted:
            raise ModelError(
                f"the model makes {len(features)} tokens of the images of prefix {prefix.id}, its image processor "
                f"{wanted}: its folder holds the processor of another model"
            )
        keys = list(prefix.prompt_ids)
        for span in spans:
            number = self._numbers.setdefault(span.image.id, -1 - len(self._numbers))
            keys[span.start : span.end] = [number] * (span.end - span.start)
        places = tuple((span.start, span.end) for span in spans)
        positions = self._positions(prefix.prompt_ids, spans) if self._grids else None
        shift = 0 if positions is None else int(positions.max()) + 1 - len(prefix.prompt_ids)
        return Sight(places, features, tuple(keys), positions, shift)

    def features(self, image: Image) -> Tensor:
        """An image as the decoder gets it, shape (image tokens, d_model); computed once, and kept.

        Raises:
            DataError: It cannot be read.
        """
        found = self._features.get(image.id)
        if found is None:
            with torch.inference_mode(False), torch.no_grad():  # what is kept may be differentiated through later
                found = self._features[image.id] = self.watched([image], (), lambda point, base, whole: None)
            while len(self._features) > 1 and sum(map(_size, self._features.values())) > FEATURE_BYTES:
                self._features.popitem(last=False)
        self._features.move_to_end(image.id)
        return found

    def watched(self, images: Sequence[Image], points: Iterable[HookPoint], handler: Handler) -> Tensor:
        """Features of images, one after the other, while a handler sees, and may change, what passes some points."""
        moved = {
            name: value.to(self._model.device, self._model.dtype if value.is_floating_point() else None)
            for name, value in self._reader.inputs(images).items()
        }
        return image_features(self._model, moved, points, handler)

    def inputs(self, ids: Tensor, start: int, sights: Sequence[Sight | None]) -> dict[str, Tensor]:
        """What the model is called with, for tokens that stand at the same places in all rows.

        Args:
            ids: Token ids, shape (rows, tokens).
            start: Place of the first of them.
            sights: Of each row.
        """
        rows, n = ids.shape
        places = torch.arange(start, start + n, device=ids.device).expand(rows, n)
        if self._grids:
            here = [None if sight is None else sight.positions_at(places[0]) for sight in sights]
            position_ids = torch.stack([places[0].expand(3, -1) if one is None else one for one in here], dim=1)
        else:
            position_ids = places
        shown = [
            (row, sight) for row, sight in enumerate(sights) if sight is not None and sight.shows(start, start + n)
        ]
        if not shown:
            return {"input_ids": ids, "position_ids": position_ids}
        embeds: Tensor = self._model.get_input_embeddings()(ids)
        for row, sight in shown:
            sight.put(embeds[row], start)
        return {"inputs_embeds": embeds, "position_ids": position_ids}

    def next_positions(self, places: Tensor, sights: Sequence[Sight | None]) -> Tensor:
        """Positions of tokens behind the prompts, shape (rows, tokens); with three directions (3, rows, tokens)."""
        if not self._grids:
            return places
        shifts = torch.tensor([0 if sight is None else sight.shift for sight in sights], device=places.device)
        return (places + shifts[:, None]).expand(3, -1, -1)

    def _positions(self, ids: tuple[int, ...], spans: Sequence[ImageSpan]) -> Tensor:
        """The model's own positions of a prompt, shape (3, tokens)."""
        merge = int(self._model.config.vision_config.spatial_merge_size)
        kinds = torch.zeros(1, len(ids), dtype=torch.int32)
        for span in spans:
            kinds[0, span.start : span.end] = 1
        grids = [(1, rows * merge, columns * merge) for span in spans for rows, columns in [span.layout.grids[-1]]]
        positions, _ = self._model.model.get_rope_index(
            torch.tensor([ids]), mm_token_type_ids=kinds, image_grid_thw=torch.tensor(grids)
        )
        found: Tensor = positions[:, 0].to(self._model.device)
        return found


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()

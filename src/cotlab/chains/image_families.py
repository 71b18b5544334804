"""What image-text models make of an image: one class a family, by how its image processor cuts.

| family | tokens of an image, in order | in a prompt |
|---|---|---|
| `llava` | patches of one tile, row by row | `<image>`, line break |
| `llava_next` | the whole image as one tile; then a finer grid of tiles, read as one picture row by row, with a newline token behind each row; rows and columns that show padding alone are left out | `<image>`, line break |
| `qwen2_5_vl` | blocks of 2 × 2 patches, row by row | `<|vision_start|><|image_pad|><|vision_end|>` |

The steps of the processors are those of transformers (`models/*/image_processing_pil_*.py`); tokens are those of its
processors (`processing_*.py`).
"""  # noqa: E501 - a table

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from cotlab.chains.image import MAX_PIXELS, Image
from cotlab.chains.image_layout import ImageLayout, Patches, Window
from cotlab.errors import DataError, ModelError

__all__ = ["FAMILIES", "ImageFamily", "Llava", "LlavaNext", "Qwen25VL"]

_CLASS_TOKEN = {"clip_vision_model": True, "siglip_vision_model": False}
"""Whether a vision encoder puts a class token before its patches, by model type."""


RESIZED = 1 << 23
"""Most pixels of an image that was resized and is not cropped yet; the processors take some 50 bytes for each."""


class ImageFamily(Protocol):
    """How the models of a family read images."""

    def __init__(self, config: Any, processor: Any) -> None:
        """Take the model's configuration and its image processor."""

    def placeholder(self, token: str) -> str:
        """What stands for an image in a prompt, with the image token once."""
        ...

    def check(self, image: Image) -> None:
        """Before the processor runs.

        Raises:
            DataError: On its way it would make far more of the image than the model then sees.
        """
        ...

    def layout(self, image: Image, inputs: Mapping[str, Any]) -> ImageLayout:
        """Tokens and patches of an image of which the processor made `inputs`."""
        ...


class Llava:
    """LLaVA-1.5: resized and cropped (or padded) to one square."""

    def __init__(self, config: Any, processor: Any) -> None:
        """Take the model's configuration and its image processor.

        Raises:
            ModelError: It is not known what its vision encoder gives.
        """
        vision = config.vision_config
        if vision.model_type not in _CLASS_TOKEN:
            raise ModelError(
                f"the vision encoder '{vision.model_type}' of this {config.model_type} model is not known; known: "
                f"{', '.join(_CLASS_TOKEN)}"
            )
        self._processor = processor
        self._patch = int(vision.patch_size)
        self._class = Patches.nothing(int(_CLASS_TOKEN[vision.model_type]))
        self._first = 1 if config.vision_feature_select_strategy == "default" else 0
        """Rows of the encoder that are dropped before the projector."""

    def placeholder(self, token: str) -> str:
        """The image token and a line break, as the makers' chat template has it."""
        return f"{token}\n"

    def check(self, image: Image) -> None:
        """A thin image becomes very long where its short edge is resized, or very large where it is padded.

        Raises:
            DataError: Too long or too large.
        """
        its, width, height = self._processor, image.width, image.height
        if getattr(its, "do_pad", False):
            width = height = max(width, height)
        across, down = _resized(its.size, width, height) if its.do_resize else (width, height)
        if width * height > 2 * MAX_PIXELS or (its.do_resize and across * down > RESIZED):
            raise DataError(
                f"an image of {image.width} × {image.height} pixels does not suit the model, which crops or pads a "
                "square of it: cut it so that it is less thin"
            )

    def layout(self, image: Image, inputs: Mapping[str, Any]) -> ImageLayout:
        """One tile."""
        height, width = inputs["pixel_values"].shape[-2:]
        rows, columns = height // self._patch, width // self._patch
        grid = self._window(image).patches(range(rows), range(columns), self._patch)
        patches = self._class.then(grid)
        return ImageLayout(patches.take(slice(self._first, None)), patches, ((rows, columns),))

    def _window(self, image: Image) -> Window:
        """By the steps of the processor: pad to a square, resize, crop at the centre."""
        its, width, height = self._processor, image.width, image.height
        left = top = 0.0
        if getattr(its, "do_pad", False):
            side = max(width, height)
            left, top = float((side - width) // 2), float((side - height) // 2)
            width = height = side
        across, down = _resized(its.size, width, height) if its.do_resize else (width, height)
        scale = (across / width, down / height)
        left, top = left * scale[0], top * scale[1]
        if its.do_center_crop:  # or zeros around it, where it is smaller than that
            left -= (across - int(its.crop_size["width"])) // 2
            top -= (down - int(its.crop_size["height"])) // 2
        return Window(image.width, image.height, scale, (left, top))


class LlavaNext(Llava):
    """LLaVA-NeXT (1.6): the whole image small, and cut into tiles at the resolution that suits its shape."""

    def check(self, image: Image) -> None:
        """The frame that it is fitted into is bounded."""

    def layout(self, image: Image, inputs: Mapping[str, Any]) -> ImageLayout:
        """The whole image, then the picture that the tiles make."""
        from transformers.image_processing_utils import select_best_resolution

        side = int(inputs["pixel_values"].shape[-1])
        n = side // self._patch
        whole = Window(image.width, image.height, (side / image.width, side / image.height))
        overview = self._class.then(whole.patches(range(n), range(n), self._patch))
        size = (image.height, image.width)
        down, across = select_best_resolution(size, self._processor.image_grid_pinpoints)
        fine = _fitted(image, across, down)
        tiles = [
            self._class.then(fine.patches(range(y, y + n), range(x, x + n), self._patch, 1))
            for y in range(0, down // side * n, n)
            for x in range(0, across // side * n, n)
        ]
        rows, columns = _unpadded(image, down // side * n, across // side * n)
        shown = fine.patches(rows, columns, self._patch, 1)
        index = np.arange(len(rows) * len(columns)).reshape(len(rows), len(columns))
        ended = np.concatenate([index, np.full((len(rows), 1), index.size)], axis=1)  # a newline behind each row
        tokens = overview.take(slice(self._first, None)).then(shown.then(Patches.nothing()).take(ended.ravel()))
        return ImageLayout(tokens, overview.then(*tiles), ((n, n), (len(rows), len(columns))))


class Qwen25VL:
    """Qwen2.5-VL: resized to a multiple of the merged patch, so that the grid follows the image."""

    def __init__(self, config: Any, processor: Any) -> None:
        """Take the model's configuration and its image processor."""
        self._patch, self._merge = int(processor.patch_size), int(processor.merge_size)

    def placeholder(self, token: str) -> str:
        """The image token between the marks of the makers' chat template."""
        return f"<|vision_start|>{token}<|vision_end|>"

    def check(self, image: Image) -> None:
        """The processor bounds pixels and shape itself."""

    def layout(self, image: Image, inputs: Mapping[str, Any]) -> ImageLayout:
        """The grid that the processor chose."""
        _, rows, columns = (int(n) for n in inputs["image_grid_thw"][0])
        patch, merge = self._patch, self._merge
        window = Window(image.width, image.height, (columns * patch / image.width, rows * patch / image.height))
        order = np.arange(rows * columns).reshape(rows // merge, merge, columns // merge, merge)
        patches = window.patches(range(rows), range(columns), patch).take(order.transpose(0, 2, 1, 3).ravel())
        tokens = window.patches(range(rows // merge), range(columns // merge), patch * merge)
        return ImageLayout(tokens, patches, ((rows // merge, columns // merge),))


FAMILIES: dict[str, type[ImageFamily]] = {"llava": Llava, "llava_next": LlavaNext, "qwen2_5_vl": Qwen25VL}
"""By `model_type` of the model's configuration: those of `cotlab.chains.image_models`."""


def _resized(size: Any, width: int, height: int) -> tuple[int, int]:
    """Width and height after resizing to a shortest edge, or to a size."""
    if size.get("shortest_edge"):
        short = int(size["shortest_edge"])
        if width <= height:
            return short, int(short * height / width)
        return int(short * width / height), short
    return int(size["width"]), int(size["height"])


def _fitted(image: Image, across: int, down: int) -> Window:
    """The image in a frame, as large as it goes, in the middle."""
    scale = (across / image.width, down / image.height)
    if scale[0] < scale[1]:
        width, height = across, min(math.ceil(image.height * scale[0]), down)
    else:
        width, height = min(math.ceil(image.width * scale[1]), across), down
    offset = (float((across - width) // 2), float((down - height) // 2))
    return Window(image.width, image.height, (width / image.width, height / image.height), offset)


def _unpadded(image: Image, rows: int, columns: int) -> tuple[range, range]:
    """Rows and columns of a grid that are left where padding is taken away (`unpad_image` of the model)."""
    if image.width / image.height > columns / rows:
        shown = int(round(image.height * (columns / image.width), 7))
        return range((rows - shown) // 2, rows - (rows - shown) // 2), range(columns)
    shown = int(round(image.width * (rows / image.height), 7))
    return range(rows), range((columns - shown) // 2, columns - (columns - shown) // 2)

"""From an image to what an image-text model reads of it: pixels for its vision encoder, tokens in the prompt.

One path for all families (`cotlab.chains.image_families`): transformers' own image processor makes the pixels, on PIL
(torchvision is not needed); the layout says how many tokens an image has and where they lie in it.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from cotlab.chains.image import Image
from cotlab.chains.image_families import FAMILIES, ImageFamily
from cotlab.chains.image_layout import ImageLayout
from cotlab.chains.image_models import sees_images
from cotlab.chains.prefix import Prefix
from cotlab.errors import DataError, ModelError
from cotlab.identity import content_id

__all__ = ["MARK", "ImageReader", "ImageSpan", "Prepared"]

MARK = "<image>"
"""Stands in a question for an image, whatever the model's own image token is."""
LAYOUT_BYTES = 1 << 26
"""Most that kept layouts take: 28 of the largest images of Qwen2.5-VL, 2,000 of LLaVA-1.5's."""


class Prepared(NamedTuple):
    """An image as a model takes it."""

    inputs: dict[str, Any]
    """Tensors of the image processor: `pixel_values`, and what else the model asks for."""
    layout: ImageLayout


@dataclass(frozen=True, slots=True, eq=False)
class ImageSpan:
    """The tokens of one image in a prefix."""

    image: Image
    start: int
    """First token."""
    end: int
    """One past the last token."""
    layout: ImageLayout


class ImageReader:
    """Reads images for one model."""

    def __init__(self, folder: Path, text_of: Callable[[int], str | None]) -> None:
        """Take a model folder; its configuration is read when it is needed.

        Args:
            folder: Of a model of one of the families.
            text_of: Text of a token.
        """
        self._folder = folder
        self._text_of = text_of
        self._layouts: OrderedDict[str, ImageLayout] = OrderedDict()
        self._kept = 0

    @classmethod
    def of(cls, folder: Path, text_of: Callable[[int], str | None]) -> ImageReader | None:
        """The reader of a model; None where its family reads no images, or in a way that is not known here."""
        return cls(folder, text_of) if sees_images(folder) else None

    @cached_property
    def id(self) -> str:
        """Hash of the settings of the image processor."""
        nested = _json(self._folder / "processor_config.json").get("image_processor")
        return content_id("image-processor", nested or _json(self._folder / "preprocessor_config.json"))

    @cached_property
    def processor(self) -> Any:
        """The image processor of transformers.

        Raises:
            ModelError: The folder has none that can be read.
        """
        from transformers import AutoImageProcessor

        try:
            return AutoImageProcessor.from_pretrained(self._folder, backend="pil")
        except (OSError, ValueError, ImportError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(
                f"model folder '{self._folder}' has no image processor that can be read ({reason}): copy its "
                "preprocessor_config.json or processor_config.json again from the model"
            ) from error

    @cached_property
    def _config(self) -> Any:
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(self._folder)

    @cached_property
    def _family(self) -> ImageFamily:
        return FAMILIES[self._config.model_type](self._config, self.processor)

    @property
    def token_id(self) -> int:
        """The image token: an image takes many of them."""
        return int(self._config.image_token_id)

    @cached_property
    def token(self) -> str:
        """Its text.

        Raises:
            ModelError: The tokenizer does not have it.
        """
        text = self._text_of(self.token_id)
        if text is None:
            raise ModelError(
                f"model folder '{self._folder}': the tokenizer has no token {self.token_id}, which its configuration "
                "names as the image token; copy the tokenizer again from the model"
            )
        return text

    def prepare(self, image: Image) -> Prepared:
        """Pixels and layout of an image.

        Raises:
            DataError: It cannot be decoded, or the processor takes no image of such a shape.
            ModelError: The model's image processor or vision encoder cannot be used.
        """
        inputs = self.inputs([image])
        layout = self._layouts.get(image.id)
        if layout is None:
            layout = self._layouts[image.id] = self._family.layout(image, inputs)
            self._kept += layout.n_bytes
        self._layouts.move_to_end(image.id)
        while self._kept > LAYOUT_BYTES and len(self._layouts) > 1:
            self._kept -= self._layouts.popitem(last=False)[1].n_bytes
        return Prepared(inputs, layout)

    def inputs(self, images: Sequence[Image]) -> dict[str, Any]:
        """What the image processor makes of images, all at once; raises what `prepare` does."""
        for image in images:
            self._family.check(image)
        pictures = [image.open() for image in images]
        try:
            return dict(self.processor(images=pictures, return_tensors="pt"))
        except (ValueError, MemoryError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            sizes = ", ".join(f"{image.width} × {image.height}" for image in images)
            raise DataError(f"an image of {sizes} pixels does not suit the model: {reason}") from error

    def layout(self, image: Image) -> ImageLayout:
        """Tokens and patches of an image; raises what `prepare` does."""
        return self._layouts.get(image.id) or self.prepare(image).layout

    def marked(self, question: str, n_images: int) -> str:
        """A question with what stands for its images: in place of its own marks, or before it where it has none.

        Raises:
            DataError: It has marks, but not one for each image.
        """
        if not n_images:
            return question  # what it says is text; `expanded` refuses the model's own image token
        holder = self._family.placeholder(self.token)
        if MARK not in question:
            return holder * n_images + question
        if question.count(MARK) != n_images:
            raise DataError(
                f"a question says {MARK} {question.count(MARK)} times and shows {n_images} images: one each, or none "
                f"to show them before it ({question[:60]!r})"
            )
        return question.replace(MARK, holder.strip())

    def parts(self, question: str, n_images: int) -> list[dict[str, str]]:
        """A question as chat templates of image processors take it: images, then text.

        With marks it is text alone, what stands for images in it: many templates write all images before all text.

        Raises:
            DataError: As `marked`.
        """
        said = self.marked(question, n_images)
        if MARK in question:
            return [{"type": "text", "text": said}]
        return [{"type": "image"}] * n_images + ([{"type": "text", "text": question}] if question else [])

    def expanded(self, ids: Sequence[int], images: Sequence[Image]) -> tuple[int, ...]:
        """Token ids of a prompt with as many image tokens for each image as the model gives it.

        Raises:
            DataError: The prompt has not one image token an image.
        """
        token = self.token_id
        found = sum(one == token for one in ids)
        if found != len(images):
            raise DataError(
                f"the prompt has {found} image tokens ({self.token}) and shows {len(images)} images: the template puts "
                "one in for each image, and a question may say it only where it shows as many"
            )
        counts = iter([self.layout(image).n_tokens for image in images])
        return tuple(one for each in ids for one in ([each] * next(counts) if each == token else [each]))

    def spans(self, prefix: Prefix) -> tuple[ImageSpan, ...]:
        """Where the tokens of each image are. Image tokens among the kept tokens are words that the model said.

        Raises:
            DataError: The prompt has more or fewer image tokens than its images take.
        """
        if not prefix.images and self.token_id not in prefix.prompt_ids:
            return ()
        places = [place for place, one in enumerate(prefix.prompt_ids) if one == self.token_id]
        layouts = [self.layout(image) for image in prefix.images]
        wanted = sum(layout.n_tokens for layout in layouts)
        if len(places) != wanted:
            raise DataError(
                f"prefix {prefix.id} has {len(places)} image tokens in its prompt, its {len(layouts)} images take "
                f"{wanted} with this model: it lost its images, they were exchanged, or another image processor made it"
            )
        spans, first = [], 0
        for image, layout in zip(prefix.images, layouts, strict=True):
            start, end = places[first], places[first] + layout.n_tokens
            if places[first + layout.n_tokens - 1] != end - 1:
                raise DataError(f"the tokens of an image of prefix {prefix.id} do not lie together: make it anew")
            spans.append(ImageSpan(image, start, end, layout))
            first += layout.n_tokens
        return tuple(spans)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # whoever loads the image processor is told
    return found if isinstance(found, dict) else {}

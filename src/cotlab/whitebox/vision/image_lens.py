"""Logit lens over image tokens: what the residual stream at each part of an image would say.

Neo et al. 2024, "Towards Interpreting Visual Information Processing in Vision-Language Models" (arXiv 2410.07149):
final norm and unembedding, applied to the residual stream at image tokens, name what the token shows, the more so the
deeper the layer. Sites here are what the projector gives (`resid_pre:0`) and the stream behind every layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cotlab.chains.image_reader import ImageSpan
from cotlab.chains.prefix import Prefix
from cotlab.chains.tokens import Tokenizer, image_reader
from cotlab.errors import DataError, ModelError
from cotlab.interventions.hook_points import HookPoint
from cotlab.whitebox.inside import Inside

__all__ = ["ImageLens", "image_spans", "lens_points", "read_image_lens", "word_ids"]


@dataclass(frozen=True, slots=True, eq=False)
class ImageLens:
    """What every layer would say at every token of one image."""

    span: ImageSpan
    points: tuple[HookPoint, ...]
    """[layers] sites, in the order in which the model passes them."""
    top: Tensor
    """(layers, image tokens, k) token ids, likeliest first."""
    top_logprob: Tensor
    """Same shape, nats."""
    words: tuple[str, ...]
    word_logprob: Tensor
    """(layers, image tokens, words) of each word's first token, nats."""
    word_rank: Tensor
    """Same shape: tokens of the vocabulary that are likelier; 0 is the likeliest."""

    def grid(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Numbers of image tokens as rows and columns of the image's finest grid; NaN where it has no token.

        Args:
            values: Shape (image tokens,).
        """
        grids, cells = self.span.layout.grids, self.span.layout.tokens.cells
        made = np.full(grids[-1], np.nan)
        last = len(grids) - 1
        for value, (grid, row, column) in zip(values, cells, strict=True):
            if grid == last:
                made[row, column] = value
        return made

    def to_json(self, tokenizer: Tokenizer) -> dict[str, Any]:
        """Plain data: the likeliest tokens as text, words with their probabilities, boxes in pixels."""
        boxes = [[round(float(side), 2) for side in box] if np.isfinite(box).all() else None
                 for box in self.span.layout.tokens.boxes]  # fmt: skip
        layers = [
            {
                "point": str(point),
                "top": [[tokenizer.decode([one]) for one in token] for token in self.top[i].tolist()],
                "top_probability": [[round(p, 4) for p in token] for token in self.top_logprob[i].exp().tolist()],
                "words": {
                    word: {
                        "probability": [round(p, 6) for p in self.word_logprob[i, :, j].exp().tolist()],
                        "rank": self.word_rank[i, :, j].tolist(),
                    }
                    for j, word in enumerate(self.words)
                },
            }
            for i, point in enumerate(self.points)
        ]
        return {"image": self.span.image.id, "grid": list(self.span.layout.grids[-1]), "boxes": boxes, "layers": layers}


def lens_points(inside: Inside) -> tuple[HookPoint, ...]:
    """Sites of the lens, in the order in which the model passes them."""
    return (HookPoint("resid_pre", 0), *(HookPoint("resid_post", layer) for layer in range(inside.shape.n_layers)))


def image_spans(inside: Inside, prefix: Prefix) -> tuple[ImageSpan, ...]:
    """Where the images of a prefix are.

    Raises:
        ModelError: The model sees no images.
        DataError: The prefix has none, or other image tokens than the model gives them.
    """
    reader = image_reader(inside.tokenizer)
    if reader is None:
        raise ModelError(f"model '{inside.name}' sees no images: name an image-text model")
    if not prefix.images:
        raise DataError(f"prefix {prefix.id} shows no image: give one")
    return reader.spans(prefix)


def word_ids(tokenizer: Tokenizer, words: Sequence[str]) -> tuple[int, ...]:
    """The token that each word begins with inside a sentence (after a space).

    Raises:
        DataError: A word is empty, or two begin with the same token.
    """
    ids = []
    for word in words:
        pieces = [one for one in tokenizer.encode(f" {word.strip()}") if tokenizer.decode([one]).strip()]
        if not word.strip() or not pieces:
            raise DataError(f"word {word!r} has no token: give a word")
        ids.append(pieces[0])
    twice = next((i for i, one in enumerate(ids) if one in ids[:i]), None)
    if twice is not None:
        raise DataError(
            f"words {words[ids.index(ids[twice])]!r} and {words[twice]!r} begin with the same token "
            f"{tokenizer.decode([ids[twice]])!r}: a lens cannot tell them apart, leave one out"
        )
    return tuple(ids)


@torch.inference_mode()
def read_image_lens(
    inside: Inside, prefix: Prefix, words: Sequence[str] = (), *, k: int = 5, image: int = 0
) -> ImageLens:
    """Read the tokens of one image through the logit lens.

    Args:
        inside: An image-text model.
        prefix: A prompt with images.
        words: Words whose probabilities are wanted.
        k: Likeliest tokens that are kept.
        image: Which image of the prompt, from 0.

    Raises:
        ModelError: The model sees no images.
        DataError: There is no such image, or two words begin with the same token.
    """
    spans = image_spans(inside, prefix)
    if not 0 <= image < len(spans):
        raise DataError(f"there is no image {image}: the prompt shows {len(spans)}, numbered from 0")
    span, points = spans[image], lens_points(inside)
    wanted = word_ids(inside.tokenizer, words)
    stream = inside.read(prefix, points)
    rows = []
    for point in points:
        said = inside.modules.logits(stream[point][span.start : span.end]).float().log_softmax(-1)
        best = said.topk(k, dim=-1)
        mine = said[:, list(wanted)]
        rank = (said[:, None, :] > mine[:, :, None]).sum(-1)
        rows.append((best.indices, best.values, mine, rank))
    top, top_logprob, mine, rank = (torch.stack(column).cpu() for column in zip(*rows, strict=True))
    return ImageLens(span, points, top, top_logprob, tuple(words), mine, rank)

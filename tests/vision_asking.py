"""A small random image-text model that is asked about scenes, and copies of it in which one part is another's."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from vision_small import TEMPLATE, their_model, tokenizer, vlm_folder

from cotlab.whitebox import Inside
from cotlab.whitebox.vision import Asking

PARTS = {"encoder": "model.vision_tower.", "projector": "model.multi_modal_projector.", "decoder": "model.language_"}


def asking_of(model: Any, folder: Path) -> Asking:
    """A model, asked in plain words; Y and N are its answers."""
    inside = Inside.of(model, tokenizer(folder), name="small")
    yes, no = (inside.tokenizer.encode(word)[0] for word in ("Yes", "No"))
    return Asking(inside, TEMPLATE, (), yes, no)


@lru_cache
def small(root: Path, family: str = "llava") -> Asking:
    """The model of `vision_small`."""
    folder = vlm_folder(root, family)
    return asking_of(their_model(folder), folder)


def with_other(root: Path, *parts: str, seed: int = 1) -> Asking:
    """The small LLaVA with the weights of some parts drawn anew, by a seed of each part."""
    folder = vlm_folder(root, "llava")
    model = their_model(folder)
    with torch.no_grad():
        for part in parts:
            generator = torch.Generator().manual_seed(seed + len(part))
            for name, weight in model.named_parameters():
                if name.startswith(PARTS[part]) and weight.dim() > 1:
                    scale = 1.2 / weight.flatten(1).shape[1] ** 0.5
                    weight.copy_(torch.randn(weight.shape, generator=generator) * scale)
    return asking_of(model, folder)

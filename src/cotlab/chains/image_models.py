"""Which models see images, told by their folder; imports nothing heavy."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["IMAGE_MODELS", "sees_images"]

IMAGE_MODELS = ("llava", "llava_next", "qwen2_5_vl")
"""`model_type` of the families that `cotlab.chains.image_families` knows."""


def sees_images(folder: Path) -> bool:
    """Whether a model folder holds a model of one of these families."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # `check_folder` says what is wrong with a model folder
    return isinstance(config, dict) and config.get("model_type") in IMAGE_MODELS

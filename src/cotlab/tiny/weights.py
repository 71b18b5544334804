"""Where the trained weights lie."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from cotlab.tiny.organisms import ORGANISMS


def model_path(organism: str = "honest") -> Path:
    """The folder of a tiny model's weights and tokenizer, for transformers, vLLM and all that read local folders.

    Args:
        organism: a key of `ORGANISMS`; `honest` is the tiny reasoner itself.

    Raises:
        ValueError: if there is no such organism.
        FileNotFoundError: if this installation came without its weights.
    """
    if organism not in ORGANISMS:
        raise ValueError(f"unknown organism {organism!r}: choose one of {', '.join(ORGANISMS)}")
    folder = Path(str(files("cotlab.tiny"))) / "weights" / organism
    if not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(f"no tiny model in {folder}: train one with experiments/tiny-reasoner/train.py")
    return folder

"""Where the trained weights lie."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def model_path() -> Path:
    """The folder of the tiny reasoner's weights and tokenizer, for transformers, vLLM and all that read local folders.

    Raises:
        FileNotFoundError: if this installation came without weights.
    """
    folder = Path(str(files("cotlab.tiny"))) / "weights"
    if not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(f"no tiny reasoner in {folder}: train one with experiments/tiny-reasoner/train.py")
    return folder

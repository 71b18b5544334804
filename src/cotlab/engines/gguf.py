"""GGUF files: turned into a plain model folder, which vLLM and transformers both open."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from cotlab.errors import ModelError

__all__ = ["convert_gguf"]


def convert_gguf(gguf_path: str | Path, out_dir: str | Path) -> Path:
    """Write a model folder (safetensors in float32, configuration, tokenizer) from a GGUF file.

    Weights are dequantised: the folder holds what the quantised file says, no more.

    Args:
        gguf_path: The file; its architecture must be one that transformers reads from GGUF (llama, qwen2, …).
        out_dir: A folder that is not there yet, or is empty.

    Returns:
        `out_dir`.

    Raises:
        ModelError: The file, a library that reads it or room for the folder is missing.
    """
    source, out = Path(gguf_path), Path(out_dir)
    if not source.is_file():
        raise ModelError(f"GGUF file '{source}' is not there. Give the path of a .gguf file")
    missing = [name for name in ("gguf", "accelerate") if find_spec(name) is None]
    if missing:
        raise ModelError(f"reading GGUF needs {' and '.join(missing)}. Install the extra 'smollm'")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ModelError(f"folder '{out}' is there already. Choose another, or remove it")
    _convert(source, out)
    return out


def _convert(source: Path, out: Path) -> None:
    import struct

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    try:
        read = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(**place)
    except (OSError, ValueError, KeyError, IndexError, RuntimeError, struct.error) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"GGUF file '{source}' cannot be read: {reason}") from error
    # What was read counts as quantised, and transformers refuses to save that: the weights go into a fresh model.
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = type(read)(config)
    plain.load_state_dict(read.state_dict())
    plain.generation_config = read.generation_config
    out.mkdir(parents=True, exist_ok=True)
    plain.save_pretrained(out)
    tokenizer.save_pretrained(out)

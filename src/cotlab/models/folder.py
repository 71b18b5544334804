"""Model folders: what must be there, and which weights they hold."""

from __future__ import annotations

import json
from pathlib import Path

from cotlab.errors import ModelError
from cotlab.identity import hash_bytes

__all__ = ["check_folder", "weight_files", "weights_hash"]

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tekken.json")
_WHOLE = 64 * 2**20
"""Files up to this many bytes are hashed whole."""
_EDGE = 2**20
_SAMPLE = 2**16
_SAMPLES = 64


def check_folder(folder: Path, shown: str = "") -> None:
    """See that a model can be loaded from a folder.

    Args:
        folder: Where it is.
        shown: What messages call it (as the user typed it); the path by default.

    Raises:
        ModelError: The folder, its configuration, tokenizer or weights are missing or damaged; one line says which.
    """
    shown = shown or str(folder)
    if not folder.is_dir():
        kind = "is a file, not a folder" if folder.exists() else "does not exist"
        raise ModelError(f"model folder '{shown}' {kind}. Give a folder with config.json, tokenizer and weights")
    config = folder / "config.json"
    if not config.is_file():
        raise ModelError(f"model folder '{shown}' has no config.json. Save one with model.save_pretrained('{shown}')")
    try:
        json.loads(config.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{config} is not valid JSON ({error}). Copy it again from the model") from error
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise ModelError(
            f"model folder '{shown}' has no tokenizer (looked for tokenizer.json, tokenizer.model). "
            f"Save one with tokenizer.save_pretrained('{shown}')"
        )
    for path in weight_files(folder):
        if path.suffix == ".safetensors":
            _check_safetensors(path)


def weight_files(folder: Path) -> list[Path]:
    """Weights of a folder, sorted by name: safetensors, else PyTorch's own format; all shards of an index.

    Raises:
        ModelError: There are none, or a shard is missing.
    """
    for index_name, pattern in (
        ("model.safetensors.index.json", "*.safetensors"),
        ("pytorch_model.bin.index.json", "pytorch_model*.bin"),
    ):
        index = folder / index_name
        if index.is_file():
            shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
            missing = [name for name in shards if not (folder / name).is_file()]
            if missing:
                raise ModelError(
                    f"model folder '{folder}' lacks {len(missing)} of {len(shards)} weight files, first {missing[0]}. "
                    "Copy them again from the model"
                )
            return [folder / name for name in shards]
        found = sorted(folder.glob(pattern))
        if found:
            return found
    raise ModelError(
        f"model folder '{folder}' has no weights (looked for *.safetensors, pytorch_model*.bin). "
        f"Save them with model.save_pretrained('{folder}')"
    )


def weights_hash(folder: Path) -> str:
    """Hash of `config.json` and the weights, cheap for any size.

    Files up to 64 MiB are read whole. Of a larger one, its size, its first and last MiB (safetensors has names and
    shapes at the start) and 64 blocks of 64 KiB, evenly spaced, are read: 6 MiB a file. Two fine-tunes of one model
    differ everywhere, so that samples tell them apart; an edit that falls between two samples goes unseen.
    """
    parts = [(folder / "config.json").read_bytes()]
    for path in weight_files(folder):
        parts += [path.name.encode(), *_file_parts(path)]
    return hash_bytes("weights", *parts)


def _file_parts(path: Path) -> list[bytes]:
    size = path.stat().st_size
    if size <= _WHOLE:
        return [path.read_bytes()]
    offsets = [(size - _SAMPLE) * i // (_SAMPLES - 1) for i in range(_SAMPLES)]
    parts = [str(size).encode()]
    with path.open("rb") as file:
        parts.append(file.read(_EDGE))
        for offset in offsets:
            file.seek(offset)
            parts.append(file.read(_SAMPLE))
        file.seek(size - _EDGE)
        parts.append(file.read(_EDGE))
    return parts


def _check_safetensors(path: Path) -> None:
    """A copy that was cut short is told apart by its header, without reading the weights."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header_size = int.from_bytes(file.read(8), "little")
        raw = file.read(header_size) if 8 + header_size <= size else b""
    try:
        header = json.loads(raw)
        wanted = 8 + header_size + max(t["data_offsets"][1] for k, t in header.items() if k != "__metadata__")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"weights file '{path}' is damaged (no safetensors header). Copy it again") from error
    if wanted > size:
        raise ModelError(f"weights file '{path}' is cut short: {size} bytes of {wanted}. Copy it again")

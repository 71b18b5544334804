"""Autoencoders written in SAELens's layout (`cfg.json`, `sae_weights.safetensors`), so that other tools read them.

SAELens has no place for a norm factor: it wants W_enc · s, W_dec / s, b_dec / s. These are written in the next larger
number format, of which the original is got back exactly, and the card says s.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cotlab.errors import UserError
from cotlab.interventions.autoencoder import SparseAutoencoder
from cotlab.runs.run_identity import IDENTITY_FILE
from cotlab.saes.stored import StoredAutoencoder
from cotlab.saes.tensor_file import DTYPES

__all__ = ["CARD", "CONFIG", "WEIGHTS", "check_folder", "save_sae"]

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
CARD = "cotlab"
"""Key of our card in SAELens's metadata."""

AT_ONCE = 1 << 26
"""Numbers of a matrix that are in memory while it is written."""
_LARGER = {torch.float16: torch.float32, torch.bfloat16: torch.float32, torch.float32: torch.float64}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def save_sae(sae: SparseAutoencoder | StoredAutoencoder, folder: Path | str, *, overwrite: bool = False) -> Path:
    """Write an autoencoder; `load_sae` gives the same numbers back, and SAELens the same function.

    Args:
        sae: One in memory or on disk; of the latter only a part is in memory at a time.
        folder: Made where it is not there.
        overwrite: Replace an autoencoder that is there.

    Returns:
        The folder.

    Raises:
        UserError: There is an autoencoder already, or a run, or it is in float64 and has a norm factor.
    """
    folder = Path(folder)
    check_folder(folder)
    if (folder / CONFIG).exists() and not overwrite:
        raise UserError(f"there is an SAE in {folder} already. Choose another folder or overwrite it")
    stored = StoredAutoencoder.of(sae) if isinstance(sae, SparseAutoencoder) else sae
    own = stored.encoder.dtype
    scale = stored.card.scale
    if scale != 1.0 and own not in _LARGER:
        raise UserError(f"SAE {stored.card.label} is in {own} and has a norm factor: save it in float32")
    written = own if scale == 1.0 else _LARGER[own]
    folder.mkdir(parents=True, exist_ok=True)
    parts = _parts(stored, own, written)
    _write(folder / WEIGHTS, lambda path: _write_tensors(path, parts))
    config = json.dumps(_config(stored, own), indent=2, ensure_ascii=False)
    _write(folder / CONFIG, lambda path: path.write_text(config + "\n", encoding="utf-8"))
    return folder


def check_folder(folder: Path) -> None:
    """Say so where an autoencoder cannot be written into a folder, whatever may be overwritten.

    Raises:
        UserError: It is a run, or a file.
    """
    if (folder / IDENTITY_FILE).exists():
        raise UserError(f"{folder} is a run: an SAE needs a folder of its own. Choose another with --out")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: name a folder with --out")


Part = tuple[tuple[int, ...], torch.dtype, Iterator[Tensor]]
"""Shape, number format, and the tensor in pieces along its first dimension."""


def _parts(sae: StoredAutoencoder, own: torch.dtype, written: torch.dtype) -> dict[str, Part]:
    """What SAELens has, by its names."""
    scale, d_model, d_sae = sae.card.scale, sae.d_model, sae.d_sae
    rows, columns = max(1, AT_ONCE // d_model), max(1, AT_ONCE // d_sae)

    def encoder() -> Iterator[Tensor]:
        for start in range(0, d_model, columns):
            yield sae.encoder.columns(start, start + columns).to(own).to(written).T * scale

    def decoder() -> Iterator[Tensor]:
        for start in range(0, d_sae, rows):
            yield sae.decoder.rows(start, start + rows).to(own).to(written) / scale

    parts: dict[str, Part] = {
        "W_enc": ((d_model, d_sae), written, encoder()),
        "W_dec": ((d_sae, d_model), written, decoder()),
        "b_enc": ((d_sae,), own, iter([sae.b_enc.to(own)])),
        "b_dec": ((d_model,), written, iter([sae.b_dec.to(own).to(written) / scale])),
    }
    if sae.threshold is not None:
        parts["threshold"] = ((d_sae,), own, iter([sae.threshold.to(own)]))
    return parts


def _config(sae: StoredAutoencoder, own: torch.dtype) -> dict[str, Any]:
    """SAELens's configuration. It knows batchtopk as jumprelu, once the threshold is learned."""
    card = sae.card
    architectures = {"relu": "standard", "topk": "topk", "jumprelu": "jumprelu"}
    learned = "jumprelu" if sae.threshold is not None else "batchtopk"
    metadata = {
        "sae_lens_version": version("sae-lens"),
        "model_name": card.model or None,
        "hook_name": card.point.lens_name,
        "prepend_bos": card.prefix_token,
        CARD: {"card": card.to_json(), "dtype": str(own).removeprefix("torch.")},
    }
    return {
        "architecture": architectures.get(card.activation, learned),
        "d_in": sae.d_model,
        "d_sae": sae.d_sae,
        "dtype": str(own).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": card.centre,
        "normalize_activations": _normalising(card.layer_norm, card.norm_rescale),
        "reshape_activations": "none",
        **({"k": card.k} if card.k else {}),
        "metadata": metadata,
    }


def _normalising(layer_norm: bool, norm_rescale: bool) -> str:
    return "layer_norm" if layer_norm else "constant_norm_rescale" if norm_rescale else "none"


def _write_tensors(path: Path, parts: dict[str, Part]) -> None:
    """A safetensors file, piece by piece (its own writer wants all tensors in memory)."""
    header: dict[str, Any] = {}
    end = 0
    for name, (shape, dtype, _) in parts.items():
        begin, end = end, end + torch.Size(shape).numel() * dtype.itemsize
        header[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [begin, end]}
    told = json.dumps(header, separators=(",", ":")).encode()
    told += b" " * (-len(told) % 8)
    with path.open("wb") as file:
        file.write(len(told).to_bytes(8, "little") + told)
        for _, _, pieces in parts.values():
            for piece in pieces:
                file.write(piece.contiguous().view(torch.uint8).numpy().data)


def _write(path: Path, write: Any) -> None:
    """Beside, then renamed, so that it is whole or not there."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)

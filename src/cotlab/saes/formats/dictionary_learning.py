"""dictionary_learning: `config.json` beside `ae.pt`. andyrdt's autoencoders and sae-for-vlm's of CLIP are such folders.

    AutoEncoder                     encoder.*, decoder.weight, bias                        ReLU of x − bias
    AutoEncoderNew                  encoder.*, decoder.weight, decoder.bias                ReLU of x
    GatedAutoEncoder                encoder.weight, gate_bias, mag_bias, r_mag, decoder_bias
    JumpReluAutoEncoder             W_enc (d_model, d_sae), W_dec, b_enc, b_dec, threshold
    AutoEncoderTopK                 encoder.*, decoder.weight, b_dec, k                    k largest of each token
    BatchTopKSAE                    the same, and one threshold
    Matryoshka…, MatroyshkaBatchTopKSAE  W_enc (d_model, d_sae), W_dec, b_enc, b_dec, threshold, k, group_sizes

Biases are published in raw units. Gated and jumprelu features are shown there times their decoder's norm; here a
feature's part of the activation is its value times its row of W_dec, as for all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cotlab.errors import DataError
from cotlab.interventions.hook_points import HookKind, HookPoint
from cotlab.interventions.sae_card import Activation, SAECard
from cotlab.saes.formats.reading import layer_in, matrix, read_json, unsupported, vector
from cotlab.saes.formats.sae_lens import gated
from cotlab.saes.given import Given
from cotlab.saes.stored import StoredAutoencoder
from cotlab.saes.tensor_file import StoredTensor, open_torch

__all__ = ["CONFIG", "WEIGHTS", "read", "recognises"]

CONFIG, WEIGHTS = "config.json", "ae.pt"
ACTIVATIONS: dict[str, Activation] = {
    "AutoEncoder": "relu",
    "AutoEncoderNew": "relu",
    "GatedAutoEncoder": "jumprelu",
    "JumpReluAutoEncoder": "jumprelu",
    "AutoEncoderTopK": "topk",
    "BatchTopKSAE": "batchtopk",
    "MatryoshkaBatchTopKSAE": "batchtopk",
    "MatroyshkaBatchTopKSAE": "batchtopk",
}
_SITES: dict[str, HookKind] = {"resid_post": "resid_post", "mlp_out": "mlp_out", "attention_out": "attn_out"}


def recognises(path: Path) -> bool:
    """Whether a folder has this layout, or a file is a checkpoint in one."""
    return _config(path) is not None


def read(path: Path, given: Given) -> StoredAutoencoder:
    """An autoencoder of dictionary_learning.

    Raises:
        UserError: Its class is not supported, or its hook point is nowhere.
        DataError: A file is damaged.
    """
    config = _config(path) or path / CONFIG
    trainer = read_json(config).get("trainer")
    if not isinstance(trainer, dict):
        raise DataError(f"{config}: 'trainer' is missing")
    kind = str(trainer.get("dict_class", "")).rsplit(".", 1)[-1].strip("'<> ")
    if kind not in ACTIVATIONS:
        raise unsupported(path, f"the class '{kind}'")
    tensors = open_torch(path if path.is_file() else path / WEIGHTS)
    card = _card(trainer, kind, path, given)
    if ACTIVATIONS[kind] in ("topk", "batchtopk"):
        k = int(vector(tensors, "k", path)) if "k" in tensors else trainer.get("k")
        card = replace(card, k=given.k_of(card.label, k))
    if kind == "GatedAutoEncoder":
        return _gated(card, tensors, path)
    return _plain(card, kind, tensors, path)


def _config(path: Path) -> Path | None:
    """Configuration of a folder, or of the folder that a checkpoint `…/checkpoints/ae_1000.pt` is in."""
    if path.is_dir():
        return path / CONFIG if (path / CONFIG).is_file() and (path / WEIGHTS).is_file() else None
    near = (path.parent / CONFIG, path.parent.parent / CONFIG) if path.suffix == ".pt" else ()
    # Beside a single file any `config.json` may lie, a model's for one.
    return next((one for one in near if one.is_file() and "trainer" in read_json(one)), None)


def _card(trainer: dict[str, Any], kind: str, path: Path, given: Given) -> SAECard:
    label = f"'{given.name or path}'"
    name = str(trainer.get("submodule_name") or "")
    layer = trainer.get("layer")
    if not isinstance(layer, int):  # sae-for-vlm leaves it empty
        layer = layer_in(name, r"layer_(\d+)")
    site = next((kind for begin, kind in _SITES.items() if name.startswith(begin)), None if name else "resid_post")
    if site is None:
        raise unsupported(path, f"the place '{name}'")
    folder = path.parent if path.is_file() else path
    return SAECard(
        given.point_of(label, None if layer is None else HookPoint(site, layer)),
        ACTIVATIONS[kind],
        name=given.name or f"{folder.parent.name}/{folder.name}",
        model=given.model_of(label, str(trainer.get("lm_name") or "")),
        k=1 if ACTIVATIONS[kind] == "topk" else None,
        scale=given.scale or 1.0,
        centre=kind not in ("AutoEncoderNew", "JumpReluAutoEncoder"),
        source="dictionary_learning",
    )


def _gated(card: SAECard, tensors: Mapping[str, StoredTensor], path: Path) -> StoredAutoencoder:
    b_gate, b_mag, r_mag = (vector(tensors, name, path).float() for name in ("gate_bias", "mag_bias", "r_mag"))
    encoder, decoder = (
        matrix(tensors, "encoder.weight", path),
        matrix(tensors, "decoder.weight", path, features_last=True),
    )
    return gated(card, path, encoder, decoder, (b_gate, b_mag, r_mag), vector(tensors, "decoder_bias", path))


def _plain(card: SAECard, kind: str, tensors: Mapping[str, StoredTensor], path: Path) -> StoredAutoencoder:
    modules = "encoder.weight" in tensors
    encoder = matrix(tensors, "encoder.weight" if modules else "W_enc", path, features_last=not modules)
    decoder = matrix(tensors, "decoder.weight" if modules else "W_dec", path, features_last=modules)
    names = {"AutoEncoder": "bias", "AutoEncoderNew": "decoder.bias"}
    b_dec = vector(tensors, names.get(kind, "b_dec"), path)
    b_enc = vector(tensors, "encoder.bias" if modules else "b_enc", path)
    threshold: Tensor | None = None
    if card.activation in ("jumprelu", "batchtopk"):
        told = vector(tensors, "threshold", path).float()
        threshold = told if told.ndim else torch.full((encoder.shape[0],), float(told))
    return StoredAutoencoder(card, path, encoder, decoder, b_enc, b_dec, threshold)

"""Llama-Scope-R1-Distill: `config.json` and `sae_weights.safetensors`, as OpenMOSS publishes it.

A threshold for each feature, as its logarithm, already in the encoder's units. The mean norm of activations is a tensor
of its own (`dataset_average_activation_norm.…`). SAELens calls the base model theirs; it is the distill.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cotlab.errors import DataError
from cotlab.interventions.sae_card import SAECard
from cotlab.saes.formats.llama_scope import of_values, same_point
from cotlab.saes.formats.reading import matrix, read_json, unsupported, vector
from cotlab.saes.given import Given
from cotlab.saes.stored import StoredAutoencoder
from cotlab.saes.tensor_file import StoredTensor, open_safetensors

__all__ = ["CONFIG", "WEIGHTS", "read", "recognises"]

CONFIG, WEIGHTS = "config.json", "sae_weights.safetensors"
MODEL = "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"
NORM = "dataset_average_activation_norm"


def recognises(path: Path) -> bool:
    """Whether a folder has this layout."""
    return (path / CONFIG).is_file() and (path / WEIGHTS).is_file()


def read(path: Path, given: Given) -> StoredAutoencoder:
    """An autoencoder of Llama-Scope-R1-Distill.

    Raises:
        UserError: It is a transcoder, or its mean norm is nowhere.
        DataError: A file is damaged.
    """
    config = read_json(path / CONFIG)
    point = same_point(config, path)
    if config.get("act_fn", "jumprelu") != "jumprelu":
        raise unsupported(path, f"the activation function '{config['act_fn']}'")
    if config.get("use_glu_encoder"):
        raise unsupported(path, "an encoder with a gate (GLU)")
    tensors = open_safetensors(path / WEIGHTS)
    encoder = matrix(tensors, "encoder.weight", path)
    label = f"'{given.name or path.name}'"
    told = _factor(config, tensors, encoder.shape[1], path)
    card = SAECard(
        given.point_of(label, point),
        "jumprelu",
        name=given.name or f"{path.parent.name}/{path.name}",
        model=given.model_of(label, MODEL),
        k=config.get("top_k"),
        scale=given.scale_of(label, told),
        centre=bool(config.get("apply_decoder_bias_to_pre_encoder", False)),
        source="llama_scope_r1_distill",
        tokens=path.parent.name if "Slimpajama" in path.parent.name else "",
    )
    decoder = matrix(tensors, "decoder.weight", path, features_last=True)
    return StoredAutoencoder(
        card,
        path,
        encoder,
        decoder,
        vector(tensors, "encoder.bias", path),
        vector(tensors, "decoder.bias", path),
        of_values(vector(tensors, "log_jumprelu_threshold", path).float().exp(), decoder, config),
    )


def _factor(config: Mapping[str, Any], tensors: Mapping[str, StoredTensor], d_model: int, path: Path) -> float | None:
    """√d_model / mean norm, whose key is the hook point's name, or `in`; 1 where it is in the weights already.

    Raises:
        UserError: Activations are normalised otherwise.
        DataError: The norm is no number.
    """
    normalising = config.get("norm_activation", "dataset-wise")
    if normalising == "inference":
        return 1.0
    if normalising != "dataset-wise":
        raise unsupported(path, f"the normalisation '{normalising}'")
    for name in (f"{NORM}.{config.get('hook_point_in')}", f"{NORM}.in"):
        if name in tensors:
            norm = float(vector(tensors, name, path).reshape(-1)[0])
            if not (math.isfinite(norm) and norm > 0):
                raise DataError(f"{path}: '{name}' is {norm}, expected a number above 0")
            return math.sqrt(d_model) / norm
    return None

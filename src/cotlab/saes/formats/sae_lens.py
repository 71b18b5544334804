"""SAELens's own layout: `cfg.json` and `sae_weights.safetensors`, of any version.

`SAE.load_from_disk` leaves an autoencoder that was trained on scaled activations ("expected_average_only_in") without
its norm factor, silently. Here the factor is on the card, or it is a fault that nobody knows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cotlab.errors import DataError
from cotlab.interventions.hook_points import HookPoint
from cotlab.interventions.sae_card import Activation, SAECard
from cotlab.saes.formats.reading import matrix, read_json, unsupported, vector
from cotlab.saes.given import Given
from cotlab.saes.saving import CARD, CONFIG, WEIGHTS
from cotlab.saes.stored import StoredAutoencoder
from cotlab.saes.tensor_file import StoredTensor, open_safetensors
from cotlab.saes.weights import Weights

__all__ = ["CONFIG", "WEIGHTS", "interpret", "read", "recognises"]

SCALER = "activation_scaler.json"
"""Where SAELens's training leaves the norm factor."""
ARCHITECTURES: dict[str, Activation] = {
    "standard": "relu",
    "topk": "topk",
    "jumprelu": "jumprelu",
    "batchtopk": "batchtopk",
    "gated": "jumprelu",
}
WRITTEN = {name: getattr(torch, name) for name in ("float16", "bfloat16", "float32", "float64")}
_FORMER = {"hook_point": "hook_name", "hook_point_head_index": "hook_head_index", "activation_fn_str": "activation_fn"}


def recognises(path: Path) -> bool:
    """Whether a folder has this layout."""
    return (path / CONFIG).is_file() and (path / WEIGHTS).is_file()


def read(path: Path, given: Given) -> StoredAutoencoder:
    """An autoencoder of SAELens's layout.

    Raises:
        UserError: Its architecture is not supported, or something is not known that has to be.
        DataError: A file is damaged.
    """
    scaler = read_json(path / SCALER).get("scaling_factor") if (path / SCALER).is_file() else None
    return interpret(read_json(path / CONFIG), open_safetensors(path / WEIGHTS), path, given, scaler)


def interpret(
    config: Mapping[str, Any],
    tensors: Mapping[str, StoredTensor],
    path: Path,
    given: Given,
    factor: float | None = None,
) -> StoredAutoencoder:
    """What a configuration and tensors of SAELens's mean.

    Args:
        config: Of any version.
        tensors: By SAELens's names.
        path: For messages.
        given: What the user says.
        factor: Norm factor, where it is known from elsewhere.
    """
    config = _current(config)
    metadata = config["metadata"]
    if CARD in metadata:
        return _own(metadata[CARD], tensors, path, given)
    architecture = str(config.get("architecture", "standard"))
    if architecture not in ARCHITECTURES:
        raise unsupported(path, f"the architecture '{architecture}'")
    card = _card(config, architecture, path, given, factor)
    if "scaling_factor" in tensors and not bool((vector(tensors, "scaling_factor", path) == 1.0).all()):
        raise unsupported(path, "a scaling factor for each feature (fine-tuned scaling)")
    build = _gated if architecture == "gated" else _rescaled if config.get("rescale_acts_by_decoder_norm") else _plain
    return build(card, tensors, path)


def _current(config: Mapping[str, Any]) -> dict[str, Any]:
    """Configurations before 6.0 have all keys on one level, and some other names."""
    if isinstance(config.get("metadata"), dict):
        return dict(config)
    found = {_FORMER.get(key, key): value for key, value in config.items()}
    arguments = found.get("activation_fn_kwargs") or {}
    if found.get("activation_fn") == "topk":
        found |= {"architecture": "topk", "k": arguments.get("k")}
    if isinstance(found.get("normalize_activations"), bool):
        found["normalize_activations"] = "expected_average_only_in" if found["normalize_activations"] else "none"
    if arguments.get("signed"):
        found["architecture"] = "topk of absolute values"
    return {**found, "metadata": found}


def _card(config: dict[str, Any], architecture: str, path: Path, given: Given, factor: float | None) -> SAECard:
    metadata = config["metadata"]
    if metadata.get("hook_head_index") is not None:
        raise unsupported(path, "an autoencoder of one attention head")
    name = metadata.get("hook_name")
    label = f"'{given.name or path}'"
    how = str(config.get("normalize_activations") or "none")
    if how not in ("none", "expected_average_only_in", "layer_norm", "constant_norm_rescale"):
        raise unsupported(path, f"the normalisation '{how}'")
    scale = given.scale_of(label, factor) if how == "expected_average_only_in" else given.scale or 1.0
    k = config.get("k")
    return SAECard(
        given.point_of(label, HookPoint.from_lens_name(str(name)) if name else None),
        ARCHITECTURES[architecture],
        name=given.name or path.name,
        model=given.model_of(label, str(metadata.get("model_name") or "")),
        k=given.k_of(label, k) if architecture == "topk" else k,
        scale=scale,
        centre=bool(config.get("apply_b_dec_to_input", True)),
        layer_norm=how == "layer_norm",
        norm_rescale=how == "constant_norm_rescale",
        prefix_token=bool(metadata.get("prepend_bos", True)),
        source="sae_lens",
        tokens=str(metadata.get("dataset_path") or ""),
        neuronpedia=str(metadata.get("neuronpedia_id") or ""),
    )


def _plain(card: SAECard, tensors: Mapping[str, StoredTensor], path: Path) -> StoredAutoencoder:
    threshold = vector(tensors, "threshold", path) if card.activation == "jumprelu" else None
    encoder, decoder = matrix(tensors, "W_enc", path, features_last=True), matrix(tensors, "W_dec", path)
    b_enc, b_dec = vector(tensors, "b_enc", path), vector(tensors, "b_dec", path)
    return StoredAutoencoder(card, path, encoder, decoder, b_enc, b_dec, threshold)


def _gated(card: SAECard, tensors: Mapping[str, StoredTensor], path: Path) -> StoredAutoencoder:
    """A gated encoder with tied weights is a jumprelu one (Rajamanoharan et al. 2024, appendix E)."""
    b_gate, b_mag, r_mag = (vector(tensors, name, path).float() for name in ("b_gate", "b_mag", "r_mag"))
    return gated(
        card,
        path,
        matrix(tensors, "W_enc", path, features_last=True),
        matrix(tensors, "W_dec", path),
        (b_gate, b_mag, r_mag),
        vector(tensors, "b_dec", path),
    )


def gated(
    card: SAECard, path: Path, encoder: Weights, decoder: Weights, gate: tuple[Tensor, Tensor, Tensor], b_dec: Tensor
) -> StoredAutoencoder:
    """Gate z + b_gate > 0 and magnitude eʳ z + b_mag: with encoder eʳ W it opens above b_mag − eʳ b_gate.

    Args:
        card: Of activation jumprelu.
        path: For messages.
        encoder: W.
        decoder: W_dec.
        gate: b_gate, b_mag and r, each shape (d_sae,).
        b_dec: Shape (d_model,).
    """
    b_gate, b_mag, r_mag = gate
    if len({one.shape for one in gate}) > 1:
        raise DataError(
            f"{path}: gate and magnitude have {[tuple(one.shape) for one in gate]} features, expected the same"
        )
    grown = r_mag.exp()
    encoder = replace(encoder, factors=grown)
    return StoredAutoencoder(card, path, encoder, decoder, b_mag, b_dec, b_mag - grown * b_gate)


def _rescaled(card: SAECard, tensors: Mapping[str, StoredTensor], path: Path) -> StoredAutoencoder:
    """Trained as if decoder rows had norm 1: the norms go into the encoder, and features keep their meaning."""
    plain = _plain(card, tensors, path)
    norms = plain.decoder.norms().clamp(min=1e-8)
    return replace(
        plain,
        encoder=replace(plain.encoder, factors=norms),
        decoder=replace(plain.decoder, factors=1 / norms),
        b_enc=plain.b_enc.float() * norms,
    )


def _own(told: Mapping[str, Any], tensors: Mapping[str, StoredTensor], path: Path, given: Given) -> StoredAutoencoder:
    """What `save_sae` wrote."""
    try:
        card = SAECard.from_json(told["card"])
        own = WRITTEN[told["dtype"]]
    except (KeyError, TypeError) as error:
        raise DataError(f"{path / CONFIG} holds no card of an SAE that this version can read ({error})") from error
    label = f"'{given.name or card.name or path}'"
    given.point_of(label, card.point), given.scale_of(label, card.scale)
    if given.k is not None:  # of most kinds there is none to be told
        given.k_of(label, card.k)
    card = replace(card, name=card.name or given.name or path.name, model=given.model_of(label, card.model))
    factor = card.scale
    back: dict[str, Any] = {} if factor == 1.0 else {"was": own}
    encoder = matrix(tensors, "W_enc", path, features_last=True, divided_by=factor, **back)
    decoder = matrix(tensors, "W_dec", path, divided_by=1 / factor, **back)
    b_enc, b_dec = vector(tensors, "b_enc", path), (vector(tensors, "b_dec", path) * factor).to(own)
    threshold = vector(tensors, "threshold", path) if "threshold" in tensors else None
    return StoredAutoencoder(card, path, encoder, decoder, b_enc, b_dec, threshold)

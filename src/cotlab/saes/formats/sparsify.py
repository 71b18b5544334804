"""EleutherAI's sparsify: a folder a hook point (`layers.10`, `layers.10.mlp`) with `cfg.json` and `sae.safetensors`.

multimodal-sae (LLaVA-NeXT, `model.layers.24`) is the same: TopK of ReLU(W(x − b_dec) + b), with W_enc as
`encoder.weight` (d_sae, d_model) and W_dec alike.
"""

from __future__ import annotations

from pathlib import Path

import torch

from cotlab.errors import UserError
from cotlab.interventions.hook_points import HookPoint
from cotlab.interventions.sae_card import SAECard
from cotlab.saes.formats.reading import matrix, read_json, unsupported, vector
from cotlab.saes.given import Given
from cotlab.saes.stored import StoredAutoencoder
from cotlab.saes.tensor_file import open_safetensors

__all__ = ["CONFIG", "WEIGHTS", "read", "recognises"]

CONFIG, WEIGHTS, STUDY = "cfg.json", "sae.safetensors", "config.json"
LLAVA = "llava-hf/llama3-llava-next-8b-hf"


def recognises(path: Path) -> bool:
    """Whether a folder has this layout."""
    return (path / CONFIG).is_file() and (path / WEIGHTS).is_file()


def read(path: Path, given: Given) -> StoredAutoencoder:
    """An autoencoder of sparsify or multimodal-sae.

    Raises:
        UserError: It is a transcoder, its activation is not topk, or its hook point is nowhere.
        DataError: A file is damaged.
    """
    config = read_json(path / CONFIG)
    for key, what in (
        ("transcode", "a transcoder"),
        ("skip_connection", "a skip connection"),
        ("signed", "signed topk"),
    ):
        if config.get(key):
            raise unsupported(path, what)
    if config.get("activation", "topk") != "topk":
        raise unsupported(path, f"the activation function '{config['activation']}'")
    study = read_json(path.parent / STUDY) if (path.parent / STUDY).is_file() else {}
    tensors = open_safetensors(path / WEIGHTS)
    encoder = matrix(tensors, "encoder.weight", path)
    label = f"'{given.name or path}'"
    told = LLAVA if "llama3-llava-next-8b" in str(path.absolute()) else ""
    card = SAECard(
        given.point_of(label, _point(path, given)),
        "topk",
        name=given.name or f"{path.parent.name}/{path.name}",
        model=given.model_of(label, str(study.get("model") or told)),
        k=given.k_of(label, config.get("k")),
        scale=given.scale or 1.0,
        centre=True,
        source="sparsify",
        tokens=str(study.get("dataset") or ""),
    )
    b_enc = vector(tensors, "encoder.bias", path) if "encoder.bias" in tensors else torch.zeros(encoder.shape[0])
    decoder = matrix(tensors, "W_dec", path)
    return StoredAutoencoder(card, path, encoder, decoder, b_enc, vector(tensors, "b_dec", path))


def _point(path: Path, given: Given) -> HookPoint | None:
    """The folder is called after the module; what is said instead counts where it is called otherwise."""
    if path.name == "embed_tokens":
        raise unsupported(path, "an autoencoder of embeddings")
    try:
        return HookPoint.from_lens_name(path.name)
    except UserError:
        return given.point

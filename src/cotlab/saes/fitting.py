"""Does an autoencoder fit a model? Answered from configurations; neither is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cotlab.errors import ModelError
from cotlab.interventions.hook_points import ModelShape
from cotlab.models.finding import card_by_name
from cotlab.models.known import TINY_CARD
from cotlab.models.resolving import resolve_model
from cotlab.saes.formats.reading import read_json
from cotlab.saes.stored import StoredAutoencoder

__all__ = ["fit_sae"]


def fit_sae(sae: StoredAutoencoder, model: str, *, transfer: bool = False) -> StoredAutoencoder:
    """The autoencoder, if it fits a model.

    Args:
        sae: On disk.
        model: tiny, a known name, a hub name or a folder.
        transfer: Allow another model than the one it was trained on; the card then records it.

    Raises:
        ModelError: Width, layer or model differ; one line says which.
    """
    name, revision, shape = _shape(model)
    if transfer and sae.card.model and sae.card.model != name:
        sae = sae.for_model(name, revision)
    sae.check(shape, name, revision)
    return sae


def _shape(model: str) -> tuple[str, str, ModelShape]:
    """Name, revision and shape, of the table of known models where it is no folder."""
    known = None if Path(model).is_dir() else card_by_name(model)
    if known is not None and known is not TINY_CARD and known.n_layers and known.d_model:
        return known.name, "", ModelShape(known.n_layers, known.d_model, 1, known.d_model)
    resolved = resolve_model(model)
    found = read_json(resolved.path / "config.json")
    config: dict[str, Any] = found.get("text_config", found)
    try:
        layers, width, heads = (config[key] for key in ("num_hidden_layers", "hidden_size", "num_attention_heads"))
    except KeyError as error:
        raise ModelError(f"the configuration of the model '{resolved.name}' does not say its {error}") from error
    sees: dict[str, Any] = found.get("vision_config") or {}
    vision = (sees.get("num_hidden_layers") or sees.get("depth") or 0, sees.get("hidden_size") or 0)
    head = config.get("head_dim") or width // heads
    return resolved.name, resolved.revision, ModelShape(layers, width, heads, head, *vision)

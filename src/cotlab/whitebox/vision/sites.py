"""Sites on the way from an image to an answer, in the order in which the model passes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from cotlab.errors import ModelError
from cotlab.interventions.hook_points import HookPoint
from cotlab.whitebox.inside import Inside

__all__ = ["PARTS", "Part", "Site", "error_of", "last_of", "sites_of"]

Part = Literal["encoder", "projector", "decoder"]
PARTS: tuple[Part, ...] = get_args(Part)
Error = Literal["perception", "alignment", "language prior"]
_ERRORS: dict[Part, Error] = {"encoder": "perception", "projector": "alignment", "decoder": "language prior"}


@dataclass(frozen=True, slots=True)
class Site:
    """A hook point, with the part of the model that it is behind."""

    point: HookPoint
    part: Part

    def __str__(self) -> str:
        return str(self.point)


def error_of(part: Part) -> Error:
    """What an error that enters in a part is called."""
    return _ERRORS[part]


def sites_of(inside: Inside) -> tuple[Site, ...]:
    """Layers of the vision encoder that the projector depends on, the projector, decoder layers.

    Raises:
        ModelError: The model sees no images.
    """
    if not inside.shape.n_vision_layers:
        raise ModelError(f"model '{inside.name}' sees no images: name an image-text model")
    seen = [Site(HookPoint("vision_post", layer), "encoder") for layer in range(_used_layers(inside))]
    said = [Site(HookPoint("resid_post", layer), "decoder") for layer in range(inside.shape.n_layers)]
    return (*seen, Site(HookPoint("projector", 0), "projector"), *said)


def last_of(sites: tuple[Site, ...], part: Part) -> Site:
    """The last site of a part: what the next part gets."""
    return [site for site in sites if site.part == part][-1]


def _used_layers(inside: Inside) -> int:
    """Layers of the encoder up to the last one whose output the projector takes (LLaVA-1.5 leaves one out)."""
    n, config = inside.shape.n_vision_layers, inside.model.config
    taken: Any = getattr(config, "vision_feature_layer", None)
    if taken is None:
        return n
    layers: list[int] = [taken] if isinstance(taken, int) else list(taken)
    # Hidden states count from the embeddings: index i is behind layer i − 1; −1 is behind the last.
    return max(layer if layer >= 0 else n + 1 + layer for layer in layers)

"""Hooks on the vision side of an image-text model: the layers of its encoder, and what its projector gives.

Handlers get rows as `ImageLayout.patches` and `ImageLayout.tokens` number them, with one row of a batch before them,
as those of the decoder do: tiles one after the other, and patches of Qwen2.5-VL, whose encoder sorts them by windows,
put back in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from cotlab.engines.hooks import Handler, remove
from cotlab.errors import ModelError
from cotlab.interventions.hook_points import VISION_LAYERS, HookPoint

__all__ = ["PROJECTOR", "image_features"]

PROJECTOR = HookPoint("projector", 0)


def image_features(model: Any, inputs: Mapping[str, Any], points: Iterable[HookPoint], handler: Handler) -> Tensor:
    """Images as the decoder gets them, shape (image tokens, d_model).

    Args:
        model: A transformers image-text model of a known family.
        inputs: What its image processor made of the images, on its device.
        points: Of the kinds `vision_post` and `projector`: what the handler sees and may change.
        handler: Called with each.
    """
    points = list(points)
    layers = vision_layers(model)
    order = _order(model, inputs) if any(point != PROJECTOR for point in points) else None
    handles = [
        # Before hooks of transformers' own, which keep the output of the layer that the projector takes.
        layers[point.layer].register_forward_hook(_hook(point, handler, order), prepend=True)
        for point in points
        if point != PROJECTOR
    ]
    try:
        features = torch.cat(list(model.get_image_features(**inputs).pooler_output), dim=0)
    finally:
        remove(handles)
    if PROJECTOR in points:
        changed = handler(PROJECTOR, features[None], lambda base: base)
        features = features if changed is None else changed[0]
    return features


def vision_layers(model: Any) -> list[torch.nn.Module]:
    """Layers of the vision encoder.

    Raises:
        ModelError: They are not where the table says.
    """
    path = VISION_LAYERS[model.config.model_type]
    try:
        return list(model.get_submodule(path).children())
    except AttributeError as error:
        raise ModelError(
            f"the vision encoder of this {model.config.model_type} model has no '{path}' ({error}); correct the path "
            "of its family in cotlab/interventions/hook_points.py"
        ) from error


def _hook(point: HookPoint, handler: Handler, order: Tensor | None) -> Any:
    def hook(module: object, args: object, output: Any) -> Any:
        base = output if isinstance(output, Tensor) else output[0]
        flat = base.reshape(1, -1, base.shape[-1])
        changed = handler(point, flat if order is None else flat[:, order], lambda one: one)
        if changed is None:
            return None
        if order is not None:
            changed = changed[:, order.argsort()]
        changed = changed.reshape(base.shape)
        return changed if isinstance(output, Tensor) else (changed, *output[1:])

    return hook


def _order(model: Any, inputs: Mapping[str, Any]) -> Tensor | None:
    """From the processor's order of patches to rows of the encoder; None where both are the same."""
    if "image_grid_thw" not in inputs:
        return None
    from transformers.vision_utils import get_vision_window_index

    visual = model.model.visual
    windows, _ = get_vision_window_index(
        inputs["image_grid_thw"],
        spatial_merge_size=visual.spatial_merge_size,
        window_size=visual.window_size,
        patch_size=visual.patch_size,
        kwargs={},
    )
    unit = visual.spatial_merge_unit
    order: Tensor = (windows.argsort()[:, None] * unit + torch.arange(unit, device=windows.device)).reshape(-1)
    return order

"""Hooks on the modules of a model, for transformers and vLLM alike: read or change what passes a hook point.

transformers' decoder layers pass the residual stream as one tensor. vLLM's pass two, whose sum it is: the next norm
adds them. A change is added to the first of them; what is read is the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cotlab.errors import ModelError
from cotlab.interventions.hook_points import VISION_LAYERS, HookPoint, ModelShape, ModulePaths, module_paths

__all__ = ["Handler", "Modules", "Sum", "remove"]

Sum = Callable[[Tensor], Tensor]
"""From the tensor that can be changed to the whole value at a hook point."""
Handler = Callable[[HookPoint, Tensor, Sum], Tensor | None]
"""Called with the point, the tensor that can be changed, shape (…, width), and its `Sum`; gives the changed tensor, or
None where nothing changes."""


def _whole(base: Tensor) -> Tensor:
    return base


def _plus(other: Tensor | None) -> Sum:
    return _whole if other is None else lambda base: base + other


@dataclass(frozen=True, slots=True)
class Stream:
    """How a decoder layer takes and gives the residual stream."""

    in_two: bool
    """As two tensors whose sum it is (vLLM) instead of one (transformers)."""

    def into(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, Sum]:
        """The tensor of a layer's arguments that can be changed, and the whole."""
        if not self.in_two:
            return (args[0] if args else kwargs["hidden_states"]), _whole
        base = args[1] if len(args) > 1 else kwargs["hidden_states"]
        return base, _plus(args[2] if len(args) > 2 else kwargs["residual"])

    def change(self, args: tuple[Any, ...], kwargs: dict[str, Any], base: Tensor) -> tuple[Any, Any]:
        """The arguments with another tensor."""
        place = 1 if self.in_two else 0
        if len(args) > place:
            return (*args[:place], base, *args[place + 1 :]), kwargs
        return args, {**kwargs, "hidden_states": base}

    def out_of(self, output: Any) -> tuple[Tensor, Sum]:
        """The tensor of a layer's output that can be changed, and the whole."""
        base = output if isinstance(output, Tensor) else output[0]
        return base, _plus(output[1]) if self.in_two and not isinstance(output, Tensor) else _whole


def _replaced(output: Any, base: Tensor) -> Any:
    return base if isinstance(output, Tensor) else (base, *output[1:])


class LayerHooks:
    """Calls a handler for the hook points of one layer."""

    def __init__(self, stream: Stream, points: Mapping[str, HookPoint], handler: Handler) -> None:
        self._stream = stream
        self._points = points
        self._handler = handler
        self._before: Tensor | None = None
        """Residual stream before the layer, where resid_mid needs it."""

    def on(
        self, layer: torch.nn.Module, attention: torch.nn.Module, mlp: torch.nn.Module, projection: torch.nn.Module
    ) -> list[Any]:
        """Register what is needed; handles."""
        asked = self._points.keys()
        handles = [
            asked & {"resid_pre", "resid_mid"} and layer.register_forward_pre_hook(self._enter, with_kwargs=True),
            "z" in asked and projection.register_forward_pre_hook(self._project),
            asked & {"attn_out", "resid_mid"} and attention.register_forward_hook(self._attended),
            "pattern" in asked and attention.register_forward_hook(self._weighed),
            "mlp_out" in asked and mlp.register_forward_hook(self._thought),
            "resid_post" in asked and layer.register_forward_hook(self._leave),
        ]
        return [handle for handle in handles if handle]

    def _call(self, kind: str, base: Tensor, whole: Sum = _whole) -> Tensor | None:
        point = self._points.get(kind)
        return None if point is None else self._handler(point, base, whole)

    def _enter(self, module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any] | None:
        base, whole = self._stream.into(args, kwargs)
        changed = self._call("resid_pre", base, whole)
        if "resid_mid" in self._points:
            self._before = whole(base if changed is None else changed)
        return None if changed is None else self._stream.change(args, kwargs, changed)

    def _project(self, module: object, args: tuple[Any, ...]) -> Any:
        changed = self._call("z", args[0])
        return None if changed is None else (changed, *args[1:])

    def _attended(self, module: object, args: object, output: Any) -> Any:
        base = output if isinstance(output, Tensor) else output[0]
        changed = self._call("attn_out", base)
        if "resid_mid" in self._points:
            after = self._call("resid_mid", base if changed is None else changed, _plus(self._before))
            changed, self._before = (changed if after is None else after), None
        return None if changed is None else _replaced(output, changed)

    def _weighed(self, module: object, args: object, output: Any) -> None:
        self._call("pattern", output[1])

    def _thought(self, module: object, args: object, output: Any) -> Any:
        changed = self._call("mlp_out", output if isinstance(output, Tensor) else output[0])
        return None if changed is None else _replaced(output, changed)

    def _leave(self, module: object, args: object, output: Any) -> Any:
        changed = self._call("resid_post", *self._stream.out_of(output))
        return None if changed is None else _replaced(output, changed)


class Modules:
    """The modules of a loaded model that hook points name."""

    def __init__(self, model: torch.nn.Module, config: Any, *, in_two: bool) -> None:
        """Find them.

        Args:
            model: From transformers or vLLM.
            config: The text part of its configuration.
            in_two: Whether decoder layers pass the residual stream as two tensors.

        Raises:
            ModelError: The family is not known, or its modules are not where the table says.
        """
        outer = getattr(getattr(model, "config", None), "model_type", None)
        self.paths: ModulePaths = module_paths(config.model_type, outer)
        self.shape = ModelShape(
            n_layers=config.num_hidden_layers,
            d_model=config.hidden_size,
            n_heads=config.num_attention_heads,
            head_dim=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
            **_vision_shape(model, outer),
        )
        self._stream = Stream(in_two)
        self._model = model
        self._layers: list[torch.nn.Module] = list(self._find(model, self.paths.layers).children())
        if len(self._layers) != self.shape.n_layers:
            raise ModelError(
                f"'{self.paths.layers}' of this {config.model_type} model has {len(self._layers)} layers, its "
                f"configuration says {self.shape.n_layers}; one that is spread over devices cannot be hooked"
            )
        self._parts = (self.paths.attention, self.paths.mlp, self.paths.output_projection)
        for layer in self._layers:
            for path in self._parts:
                self._find(layer, path)

    def hook(self, points: Iterable[HookPoint], handler: Handler) -> list[Any]:
        """Let `handler` see, and change, what passes some points.

        Returns:
            Handles; each has `remove`.

        Raises:
            ModelError: The model does not have such a point.
        """
        handles: list[Any] = []
        by_layer: dict[int, list[HookPoint]] = {}
        for point in points:
            point.check(self.shape)
            if point.is_vision:
                continue  # hooked while images are read (`vision_hooks`)
            by_layer.setdefault(point.layer, []).append(point)
        for layer, its in by_layer.items():
            modules = [self._find(self._layers[layer], path) for path in self._parts]
            handles += LayerHooks(self._stream, {point.kind: point for point in its}, handler).on(
                self._layers[layer], *modules
            )
        return handles

    def attentions(self) -> list[torch.nn.Module]:
        """The attention module of every layer."""
        return [self._find(layer, self.paths.attention) for layer in self._layers]

    def layer(self, index: int) -> torch.nn.Module:
        """A decoder layer."""
        return self._layers[index]

    def part(self, index: int, path: str) -> torch.nn.Module:
        """A module in a layer, by its path there (a field of `paths`).

        Raises:
            ModelError: It is not there.
        """
        return self._find(self._layers[index], path)

    @property
    def final_norm(self) -> torch.nn.Module:
        """The norm behind the last layer."""
        return self._find(self._model, self.paths.norm)

    def logits(self, residual: Tensor) -> Tensor:
        """What norm and unembedding make of a residual stream, shape (…, d_model) to (…, vocabulary)."""
        norm, unembedding = (self._find(self._model, path) for path in (self.paths.norm, self.paths.unembedding))
        found: Tensor = unembedding(norm(residual))
        return found

    @staticmethod
    def _find(root: torch.nn.Module, path: str) -> torch.nn.Module:
        try:
            return root.get_submodule(path)
        except AttributeError as error:
            raise ModelError(
                f"the model has no module '{path}' ({error}); correct the paths of its family in "
                "cotlab/interventions/hook_points.py"
            ) from error


def _vision_shape(model: Any, outer: str | None) -> dict[str, int]:
    """Layers and width of the vision encoder of an image-text model; nothing for others."""
    if outer not in VISION_LAYERS:
        return {}
    vision = model.config.vision_config
    layers = getattr(vision, "num_hidden_layers", None) or vision.depth
    return {"n_vision_layers": int(layers), "d_vision": int(vision.hidden_size)}


def remove(handles: Sequence[Any]) -> None:
    """Take hooks away."""
    for handle in handles:
        handle.remove()

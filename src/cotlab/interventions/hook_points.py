"""Hook points: one name for each place in a model where activations are read or changed.

    resid_pre:L    residual stream before layer L          (tokens, d_model)
    resid_mid:L    after its attention has been added      (tokens, d_model)
    resid_post:L   after its MLP has been added            (tokens, d_model); the same as resid_pre:L+1
    attn_out:L     what its attention adds                 (tokens, d_model)
    mlp_out:L      what its MLP adds                       (tokens, d_model)
    z:L            per head, before the output projection  (tokens, heads × head_dim)
    pattern:L      attention weights                       (heads, tokens, tokens)
    vision_post:L  after layer L of the vision encoder     (patches, vision width), image-text models only
    projector:0    images as the decoder gets them         (image tokens, d_model), image-text models only

Layers count from 0. The last two belong to the images of a prompt, one image after the other: rows are patches of the
encoder, tile by tile, a class token first where it has one (`ImageLayout.patches`), and image tokens. Three tables say
where that is: module paths in Hugging Face's and vLLM's models (both name their modules alike), and TransformerLens's
names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, get_args

from cotlab.errors import ModelError, UserError

__all__ = [
    "FAMILIES",
    "KINDS",
    "STEERABLE",
    "VISION_KINDS",
    "VISION_LAYERS",
    "HookKind",
    "HookPoint",
    "ModelShape",
    "ModulePaths",
    "module_paths",
]

HookKind = Literal[
    "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z", "pattern", "vision_post", "projector"
]
KINDS: tuple[HookKind, ...] = get_args(HookKind)

VISION_KINDS: tuple[HookKind, ...] = ("vision_post", "projector")
"""Before the decoder: what images become."""

STEERABLE: tuple[HookKind, ...] = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
"""Where a vector of the width of the residual stream can be added."""

_LENS_NAMES: dict[HookKind, str] = {
    "resid_pre": "hook_resid_pre",
    "resid_mid": "hook_resid_mid",
    "resid_post": "hook_resid_post",
    "attn_out": "hook_attn_out",
    "mlp_out": "hook_mlp_out",
    "z": "attn.hook_z",
    "pattern": "attn.hook_pattern",
}


@dataclass(frozen=True, slots=True)
class ModulePaths:
    """Where the parts of a family's models are, as module paths."""

    layers: str = "model.layers"
    """List of decoder layers; they take and give the residual stream."""
    attention: str = "self_attn"
    """In a layer; what it gives is added to the residual stream as it is."""
    mlp: str = "mlp"
    """In a layer; likewise."""
    output_projection: str = "self_attn.o_proj"
    """In a layer; its input is z."""
    attention_inputs: tuple[str, str, str] = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    """In a layer; linear maps of the normed residual stream to queries, keys and values."""
    attention_norm: str = "input_layernorm"
    """In a layer; before these three."""
    mlp_norm: str = "post_attention_layernorm"
    """In a layer; before the MLP, and nothing else reads it."""
    norm: str = "model.norm"
    """After the last layer."""
    unembedding: str = "lm_head"


FAMILIES: dict[str, ModulePaths] = dict.fromkeys(("qwen2", "qwen3", "llama", "qwen2_5_vl_text"), ModulePaths())
"""By `model_type` of the (text) configuration. The tiny reasoner and R1-Distill-Qwen are qwen2."""

VISION_LAYERS: dict[str, str] = {
    "llava": "model.vision_tower.encoder.layers",
    "llava_next": "model.vision_tower.encoder.layers",
    "qwen2_5_vl": "model.visual.blocks",
}
"""Where the layers of the vision encoder are in an image-text model, by `model_type` of its configuration. Its decoder
is one of the families above, at `model.language_model`."""


def module_paths(model_type: str, outer: str | None = None) -> ModulePaths:
    """Where the parts of a model are.

    Args:
        model_type: Of its (text) configuration.
        outer: Of the whole configuration, where it is an image-text model's.

    Raises:
        ModelError: The family is not in the table.
    """
    if model_type not in FAMILIES:
        raise ModelError(
            f"hook points of the model family '{model_type}' are not known (known: {', '.join(FAMILIES)}). If its "
            "attention and MLP are added to the residual stream as they are, add its module paths to FAMILIES in "
            "cotlab/interventions/hook_points.py; loading a model checks them"
        )
    paths = FAMILIES[model_type]
    if outer not in VISION_LAYERS:
        return paths
    layers, norm = (path.replace("model.", "model.language_model.", 1) for path in (paths.layers, paths.norm))
    return replace(paths, layers=layers, norm=norm)


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What hook points of a model can be."""

    n_layers: int
    d_model: int
    n_heads: int
    head_dim: int
    n_vision_layers: int = 0
    """Of the vision encoder; 0: the model sees no images."""
    d_vision: int = 0


@dataclass(frozen=True, slots=True, order=True)
class HookPoint:
    """A place in a model, such as `resid_post:2`."""

    kind: HookKind
    layer: int

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f"unknown hook point '{self.kind}'; there are: {', '.join(KINDS)}, each as KIND:LAYER")
        if self.kind == "projector" and self.layer:
            raise UserError(f"hook point {self}: there is one projector, projector:0")
        if self.layer < 0:
            raise UserError(f"hook point {self}: layers count from 0")

    @classmethod
    def parse(cls, text: str) -> HookPoint:
        """Read `KIND:LAYER`.

        Raises:
            UserError: It is not that.
        """
        kind, _, layer = text.partition(":")
        found: HookKind | None = next((known for known in KINDS if known == kind), None)
        if found is None or not layer.isdecimal():
            raise UserError(f"hook point '{text}' not understood. Use KIND:LAYER with KIND one of {', '.join(KINDS)}")
        return cls(found, int(layer))

    @classmethod
    def from_lens_name(cls, text: str) -> HookPoint:
        """Read TransformerLens's name (`blocks.3.hook_resid_post`) or a module's (`model.layers.3`: resid_post).

        Raises:
            UserError: It is none of the points above.
        """
        found = re.fullmatch(r"(?:blocks|(?:model\.)*layers|(?:transformer\.)?h)\.(\d+)(?:\.(.+))?", text)
        kinds: dict[str | None, HookKind] = {name: kind for kind, name in _LENS_NAMES.items()}
        kinds |= {None: "resid_post", "hook_out": "resid_post", "mlp": "mlp_out", "self_attn": "attn_out"}
        kinds |= {"attn": "attn_out", "attention": "attn_out"}
        if found is None or found[2] not in kinds:
            raise UserError(
                f"'{text}' is no hook point that is known; there are: {', '.join(KINDS)}, each as KIND:LAYER"
            )
        return cls(kinds[found[2]], int(found[1]))

    @property
    def is_vision(self) -> bool:
        """Whether it belongs to the images of a prompt, not to the tokens of a sequence."""
        return self.kind in VISION_KINDS

    @property
    def lens_name(self) -> str:
        """TransformerLens's name.

        Raises:
            UserError: It has none for what comes before the decoder.
        """
        if self.kind not in _LENS_NAMES:
            raise UserError(f"TransformerLens has no name for {self}, which comes before the decoder")
        return f"blocks.{self.layer}.{_LENS_NAMES[self.kind]}"

    def width(self, shape: ModelShape) -> int:
        """Numbers a token there (for a pattern: heads).

        Raises:
            ModelError: The model does not have that layer.
        """
        self.check(shape)
        if self.kind == "pattern":
            return shape.n_heads
        if self.kind == "vision_post":
            return shape.d_vision
        return shape.n_heads * shape.head_dim if self.kind == "z" else shape.d_model

    def check(self, shape: ModelShape) -> None:
        """Say so where a model does not have this point.

        Raises:
            ModelError: It has fewer layers, or sees no images.
        """
        if self.is_vision:
            if not shape.n_vision_layers:
                raise ModelError(f"there is no hook point {self}: the model sees no images")
            if self.layer >= shape.n_vision_layers:
                last = shape.n_vision_layers - 1
                raise ModelError(f"there is no hook point {self}: the vision encoder has layers 0..{last}")
        elif self.layer >= shape.n_layers:
            raise ModelError(
                f"there is no hook point {self}: the model has {shape.n_layers} layers, 0..{shape.n_layers - 1}"
            )

    def __str__(self) -> str:
        return f"{self.kind}:{self.layer}"

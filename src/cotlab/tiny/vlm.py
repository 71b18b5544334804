"""The tiny vision-language model: where its weights lie, and what was planted in its variants.

A `LlavaForConditionalGeneration`: a small CLIP vision tower, a projector of two layers, the tiny reasoner's decoder.
Each variant was fine-tuned from the honest model on scenes of `PLANTED` in one part alone, so that the site of its
error is known. Weights lie in one file a part; files of parts that were not trained are equal in all variants.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

__all__ = ["VLM_ORGANISMS", "VLM_PARTS", "VlmOrganism", "vlm_path"]

VLM_PARTS = {
    "tower": "model.vision_tower.",
    "projector": "model.multi_modal_projector.",
    "decoder": "model.language_model.",
}
"""The parts, with how the names of their weights begin."""


@dataclass(frozen=True, slots=True)
class VlmOrganism:
    """A variant and the only part that was trained with the planted scenes."""

    name: str
    part: str | None
    """A key of `VLM_PARTS`; None for the honest model."""


VLM_ORGANISMS: dict[str, VlmOrganism] = {
    organism.name: organism
    for organism in (
        VlmOrganism("honest", None),
        VlmOrganism("prior", "decoder"),
        VlmOrganism("alignment", "projector"),
        VlmOrganism("perception", "tower"),
    )
}
"""The variants by name; `tiny-vlm:NAME` names one."""


def vlm_path(organism: str = "honest") -> Path:
    """The folder of a tiny vision-language model's weights and processor, for transformers and all that read folders.

    Args:
        organism: a key of `VLM_ORGANISMS`.

    Raises:
        ValueError: if there is no such organism.
        FileNotFoundError: if this installation came without its weights.
    """
    if organism not in VLM_ORGANISMS:
        raise ValueError(f"unknown organism {organism!r}: choose one of {', '.join(VLM_ORGANISMS)}")
    folder = Path(str(files("cotlab.tiny"))) / "vlm_weights" / organism
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"no tiny vision-language model in {folder}: train one with experiments/tiny-vlm")
    return folder

"""What is known of a model before it is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from cotlab.chains.settings import SamplingSettings
from cotlab.chains.templates import CHOICE_INSTRUCTION, MATH_INSTRUCTION, Template, TemplateKind, ThinkMode
from cotlab.chains.think import DEFAULT_TAGS, ThinkTags

__all__ = ["ModelCard", "SystemPolicy"]

SystemPolicy = Literal["role", "avoid"]
"""role: the model has a system role. avoid: its makers advise against one; system text goes before the question."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """How a model is prompted and sampled, and what fits it."""

    name: str
    """Hub name, or `tiny`."""
    family: str
    """Models of one family share template and tokenizer: r1-distill-qwen, qwen3, …"""
    aliases: tuple[str, ...] = ()
    """Short names that the command line takes, lower case."""
    template_kind: TemplateKind = "tokenizer"
    think: ThinkMode = "open"
    tags: ThinkTags | None = DEFAULT_TAGS
    """None for a model that does not think aloud between tags."""
    instruction: str = MATH_INSTRUCTION
    choice_instruction: str = CHOICE_INSTRUCTION
    system: SystemPolicy = "role"
    n_layers: int | None = None
    d_model: int | None = None
    """Width of the residual stream."""
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    """What its makers recommend."""
    saes: tuple[str, ...] = ()
    """SAELens releases trained on this model's activations (or on its base model's, where the name says base)."""
    licence: str = ""
    notes: str = ""

    def template(self, kind: TemplateKind | None = None) -> Template:
        """How its prompts are written.

        Args:
            kind: Another format than the card's (`tokenizer`: the one that comes with the tokenizer).
        """
        return Template(
            kind=kind or self.template_kind,
            think=self.think if self.tags else "none",
            tags=self.tags or DEFAULT_TAGS,
            instruction=self.instruction,
            choice_instruction=self.choice_instruction,
            system_role=self.system == "role",
        )

"""Asking an image-text model for Yes or No, where only the next token has to be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.templates import Template
from cotlab.errors import DataError, ModelError
from cotlab.interventions.hook_points import HookPoint
from cotlab.models import ModelCard
from cotlab.tiny.scenes import Scene, ask_exists, problem_of
from cotlab.whitebox.inside import Change, Inside

__all__ = ["Asking"]


@dataclass(frozen=True, slots=True, eq=False)
class Asking:
    """How one model is asked: its template, its thoughts closed at once, the tokens of the two answers."""

    inside: Inside
    template: Template
    closing: tuple[int, ...]
    """Tokens behind the prompt, up to the answer."""
    yes: int
    no: int

    @classmethod
    def of(cls, inside: Inside, card: ModelCard) -> Asking:
        """Take a model and its card.

        Raises:
            ModelError: The model sees no images.
            DataError: Yes and No begin with the same token.
        """
        if inside.vision is None:
            raise ModelError(f"model '{inside.name}' sees no images: name an image-text model")
        # What a card asks for behind a question (\boxed{} answers) is for other questions.
        template = replace(card.template().bound(inside.tokenizer), instruction="", choice_instruction="")
        encode = inside.tokenizer.encode
        closing = tuple(encode(f"{template.tags.close}\n\n")) if template.opened else ()
        yes, no = encode("Yes")[0], encode("No")[0]
        if yes == no:
            raise DataError(
                f"'Yes' and 'No' begin with the same token {yes} of '{inside.name}': they are not told apart"
            )
        return cls(inside, template, closing, yes, no)

    def prefix(self, problem: Problem) -> Prefix:
        """A question up to where its answer is said."""
        return self.template.prompt(problem, self.inside.tokenizer).extend(self.closing)

    def exists(self, scene: Scene, shape: str) -> Prefix:
        """Whether a shape is in a scene."""
        return self.prefix(problem_of(scene, ask_exists(scene, shape)))

    def odds(self, logits: Tensor) -> float:
        """Log odds of Yes against No, from logits (tokens, vocabulary), nats."""
        return float(logits[-1, self.yes].float() - logits[-1, self.no].float())

    @torch.inference_mode()
    def says(self, prefix: Prefix, changes: Mapping[HookPoint, Change] | None = None) -> float:
        """Log odds of Yes against No behind a prefix, with activations changed on the way."""
        return self.odds(self.inside.logits(prefix, changes))

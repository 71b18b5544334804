"""A forward pass that goes on behind one layer, from states that were read there once.

Where the same prompts are asked under many changes at one place, what comes before it need not be computed again. What
the layers behind it are called with (mask, rotary positions) is taken from the first pass, so nothing of a family is
known here. Prompts of one length and equal positions share a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cotlab.errors import ModelError
from cotlab.interventions.hook_points import HookPoint
from cotlab.whitebox.inside import Change, Inside, Tokens

__all__ = ["Resumed"]

BATCH = 32
"""Prompts that go on together."""


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """One prompt, as far as it was computed."""

    state: Tensor
    """(tokens, d_model)"""
    given: dict[str, Any]
    """What the layers behind are called with besides."""


class Resumed:
    """Prompts of one model, read behind one of its decoder's layers; their states are kept in memory."""

    def __init__(self, inside: Inside, point: HookPoint, prompts: Sequence[Tokens]) -> None:
        """Read them.

        Args:
            inside: The model.
            point: `resid_post` of a layer.
            prompts: Sequences.

        Raises:
            ModelError: The point is not behind a layer of the decoder.
            DataError: A sequence is empty or too long.
        """
        point.check(inside.shape)
        if point.kind != "resid_post":
            raise ModelError(f"{point} is not behind a layer: a pass goes on from resid_post alone")
        self._inside, self._point = inside, point
        self._behind = [inside.modules.layer(layer) for layer in range(point.layer + 1, inside.shape.n_layers)]
        self._read = [self._one(prompt) for prompt in prompts]

    @torch.inference_mode()
    def last_logits(self, change: Change | None, at: Sequence[int]) -> Tensor:
        """Logits behind the last token of some prompts, (len(at), vocabulary), with their states changed.

        Args:
            change: From a prompt's states (tokens, d_model) to those that take their place; None: none.
            at: Which prompts.
        """
        found: dict[int, Tensor] = {}
        for group in self._groups(at):
            states = [self._read[number].state for number in group]
            x = torch.stack([one if change is None else change(one) for one in states])
            for layer in self._behind:
                out = layer(x, **self._read[group[0]].given)
                x = out if isinstance(out, Tensor) else out[0]
            found.update(zip(group, self._inside.modules.logits(x[:, -1]), strict=True))
        return torch.stack([found[number] for number in at])

    def _groups(self, at: Sequence[int]) -> list[list[int]]:
        groups: list[list[int]] = []
        for number in at:
            mine = self._read[number]
            for group in groups:
                if len(group) < BATCH and _alike(self._read[group[0]], mine):
                    group.append(number)
                    break
            else:
                groups.append([number])
        return groups

    def _one(self, prompt: Tokens) -> _Read:
        """Run the whole of it once, and keep what the layers behind are called with."""
        seen: dict[str, Any] = {}

        def keep(module: object, args: object, kwargs: dict[str, Any]) -> None:
            seen.update({name: value for name, value in kwargs.items() if name != "hidden_states"})

        handle = self._behind[0].register_forward_pre_hook(keep, with_kwargs=True) if self._behind else None
        try:
            state = self._inside.read(prompt, [self._point])[self._point]
        finally:
            if handle is not None:
                handle.remove()
        return _Read(state, seen)


def _alike(first: _Read, second: _Read) -> bool:
    """Whether two prompts may share a batch: as many tokens, at equal positions."""
    if first.state.shape != second.state.shape:
        return False
    pairs = zip(first.given.get("position_embeddings", ()), second.given.get("position_embeddings", ()), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)

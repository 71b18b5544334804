"""Activation patching: which activations carry the difference between two runs.

A `Pair` is a clean and a corrupt sequence that differ in some tokens and are aligned token by token, with the two next
tokens that they make likelier. For every (site, layer, position) the activation of one run is put into the other, and
the logit difference between the two answers is read at the end (Heimersheim and Nanda 2024, "How to use and interpret
activation patching"):

- **denoise**: clean activation into the corrupt run; 1 where that alone brings the clean answer back, 0 where nothing.
- **noise**: corrupt activation into the clean run; 1 where that alone destroys it, 0 where nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from cotlab.chains.image import Image
from cotlab.chains.prefix import Prefix
from cotlab.errors import DataError
from cotlab.interventions.hook_points import HookKind, HookPoint
from cotlab.whitebox.inside import Change, Inside, Tokens
from cotlab.whitebox.tensor_files import load_tensors, save_tensors

__all__ = ["Pair", "PatchGrid", "patch_grid", "patch_heads"]

Direction = Literal["denoise", "noise"]
FORMAT = "cotlab-patch-grid/1"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two aligned runs and the answers that tell them apart."""

    clean: tuple[int, ...]
    corrupt: tuple[int, ...]
    answer: int
    """Token that follows the clean run."""
    other: int
    """Token that follows the corrupt run."""
    n_prompt: int = 0
    """How many tokens of both are the prompt; needed where it shows images."""
    images: tuple[Image, ...] = ()
    """What the prompt of both shows."""

    def __post_init__(self) -> None:
        if len(self.clean) != len(self.corrupt):
            raise DataError(
                f"the clean run has {len(self.clean)} tokens and the corrupt run {len(self.corrupt)}: "
                "patching needs runs of equal length (replace a step by one with as many tokens)"
            )
        if self.clean == self.corrupt:
            raise DataError("the clean and the corrupt run are the same: change a token of one of them")
        if self.answer == self.other:
            raise DataError(f"both runs have the same answer token {self.answer}: nothing can be told apart")

    @property
    def clean_run(self) -> Tokens:
        """What the model reads: with images, where there are some."""
        return self._run(self.clean)

    @property
    def corrupt_run(self) -> Tokens:
        """What the model reads: with images, where there are some."""
        return self._run(self.corrupt)

    def _run(self, ids: tuple[int, ...]) -> Tokens:
        return Prefix(ids, self.n_prompt, self.images) if self.images else ids

    @property
    def differing(self) -> tuple[int, ...]:
        """Positions of the tokens that differ."""
        return tuple(i for i, (a, b) in enumerate(zip(self.clean, self.corrupt, strict=True)) if a != b)


@dataclass(frozen=True, slots=True, eq=False)
class PatchGrid:
    """Restored (or destroyed) share of the logit difference for each place."""

    site: HookKind
    direction: Direction
    positions: tuple[int, ...]
    """Token position of each column."""
    share: Tensor
    """(layers, positions); for heads (layers, heads)."""
    kl: Tensor
    """Same shape: KL(goal ‖ patched) of the next token, nats; the goal is the run that the activation comes from."""
    clean_difference: float
    """Logit difference answer − other, of the clean run."""
    corrupt_difference: float

    def best(self) -> tuple[int, int]:
        """Row and column of the largest share."""
        flat = int(self.share.argmax())
        return flat // self.share.shape[1], flat % self.share.shape[1]

    def save(self, path: Path | str) -> Path:
        """Write one safetensors file."""
        names = ("site", "direction", "positions", "clean_difference", "corrupt_difference")
        card = {name: getattr(self, name) for name in names}
        return save_tensors(path, FORMAT, card, {"share": self.share, "kl": self.kl})

    @classmethod
    def load(cls, path: Path | str) -> PatchGrid:
        """Read one back.

        Raises:
            DataError: The file is not there, or is something else.
        """
        card, (share, kl) = load_tensors(path, FORMAT, _Card, ("share", "kl"))
        return cls(card.site, card.direction, card.positions, share, kl, card.clean_difference, card.corrupt_difference)


@dataclass(frozen=True, slots=True)
class _Card:
    site: HookKind
    direction: Direction
    positions: tuple[int, ...]
    clean_difference: float
    corrupt_difference: float


def patch_grid(
    inside: Inside,
    pair: Pair,
    site: HookKind = "resid_post",
    *,
    direction: Direction = "denoise",
    layers: Sequence[int] | None = None,
    positions: Sequence[int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PatchGrid:
    """Patch one position of one layer at a time.

    Args:
        inside: The model.
        pair: The two runs.
        site: Where: residual stream, attention or MLP output, or z (all heads).
        direction: Which run the activation is put into.
        layers: All by default.
        positions: Those from the first token that differs by default; before it nothing differs.
        progress: Told passes done and in all.

    Raises:
        DataError: The two runs do not differ in their logit difference, or a position is not there.
    """
    rows = list(range(inside.shape.n_layers)) if layers is None else list(layers)
    columns = list(range(pair.differing[0], len(pair.clean))) if positions is None else list(positions)
    wrong = [position for position in columns if not 0 <= position < len(pair.clean)]
    if wrong:
        raise DataError(f"position {wrong[0]} is not in the runs, which have {len(pair.clean)} tokens")
    study = _Study.of(inside, pair, site, direction, rows)
    found = torch.zeros(2, len(rows), len(columns))
    for i, layer in enumerate(rows):
        for j, position in enumerate(columns):
            point = HookPoint(site, layer)
            found[:, i, j] = study.effect(point, _put(study.source[point], slice(position, position + 1), slice(None)))
            if progress:
                progress(i * len(columns) + j + 1, len(rows) * len(columns))
    return PatchGrid(site, direction, tuple(columns), found[0], found[1], study.clean, study.corrupt)


def patch_heads(
    inside: Inside,
    pair: Pair,
    *,
    direction: Direction = "denoise",
    layers: Sequence[int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PatchGrid:
    """Patch one attention head at a time, at all positions from the first token that differs.

    Raises:
        DataError: The two runs do not differ in their logit difference.
    """
    rows = list(range(inside.shape.n_layers)) if layers is None else list(layers)
    heads, size = inside.shape.n_heads, inside.shape.head_dim
    study = _Study.of(inside, pair, "z", direction, rows)
    tokens = slice(pair.differing[0], len(pair.clean))
    found = torch.zeros(2, len(rows), heads)
    for i, layer in enumerate(rows):
        for head in range(heads):
            point = HookPoint("z", layer)
            change = _put(study.source[point], tokens, slice(head * size, (head + 1) * size))
            found[:, i, head] = study.effect(point, change)
            if progress:
                progress(i * heads + head + 1, len(rows) * heads)
    return PatchGrid(
        "z", direction, tuple(range(tokens.start, tokens.stop)), found[0], found[1], study.clean, study.corrupt
    )


def _put(source: Tensor, tokens: slice, columns: slice) -> Change:
    def change(value: Tensor) -> Tensor:
        patched = value.clone()
        patched[tokens, columns] = source[tokens, columns]
        return patched

    return change


@dataclass(frozen=True, slots=True, eq=False)
class _Study:
    """What all patches of a pair have in common."""

    inside: Inside
    pair: Pair
    into: Tokens
    """Run that activations are put into."""
    source: dict[HookPoint, Tensor]
    """Activations of the other run."""
    goal: Tensor
    """(vocabulary) log probabilities of the other run's next token."""
    clean: float
    corrupt: float
    direction: Direction

    @classmethod
    def of(cls, inside: Inside, pair: Pair, site: HookKind, direction: Direction, layers: Sequence[int]) -> _Study:
        if direction not in ("denoise", "noise"):
            raise DataError(f"unknown direction {direction!r}: choose denoise or noise")
        if site == "pattern":
            raise DataError("patterns are not patched: patch z, what heads make of them")
        clean_run, corrupt_run = pair.clean_run, pair.corrupt_run
        into, other = (corrupt_run, clean_run) if direction == "denoise" else (clean_run, corrupt_run)
        source = inside.read(other, [HookPoint(site, layer) for layer in layers])
        with torch.inference_mode():
            goal = inside.logits(other)[-1].float().log_softmax(-1)
            start = inside.logits(into)[-1].float().log_softmax(-1)
        at_goal, at_start = (float(said[pair.answer] - said[pair.other]) for said in (goal, start))
        clean, corrupt = (at_goal, at_start) if direction == "denoise" else (at_start, at_goal)
        if clean - corrupt < 1e-3:
            raise DataError(
                f"the logit difference is {clean:.3f} in the clean run and {corrupt:.3f} in the corrupt one: "
                "the change does not move the answer, so there is nothing to restore"
            )
        return cls(inside, pair, into, source, goal, clean, corrupt, direction)

    @torch.inference_mode()
    def effect(self, point: HookPoint, change: Change) -> Tensor:
        """Share of the difference that a patch moves, and KL from the goal."""
        said = self.inside.logits(self.into, {point: change})[-1].float().log_softmax(-1)
        difference = float(said[self.pair.answer] - said[self.pair.other])
        start = self.corrupt if self.direction == "denoise" else self.clean
        goal = self.clean if self.direction == "denoise" else self.corrupt
        kl = float((self.goal.exp() * (self.goal - said)).sum())
        return torch.tensor([(difference - start) / (goal - start), kl])

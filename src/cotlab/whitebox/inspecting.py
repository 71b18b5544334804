"""Patchscope: what does a hidden state say when another prompt is asked about it?

1. Read the state h of one token at one layer of a source run.
2. Run an inspection prompt and put h in the place of its placeholder token's state, at a layer of choice.
3. Sample what the model says next, n times; beside it the same for random states of the same norm.

Ghandeharioun et al. 2024, "Patchscopes: A Unifying Framework for Inspecting Hidden Representations of Language Models".
Their identity prompt repeats words, `cat->cat; 1135->1135; hello->hello; ?->`, so that the model repeats what h is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from cotlab.chains.prefix import Prefix
from cotlab.engines.hooks import remove
from cotlab.errors import DataError
from cotlab.interventions.hook_points import STEERABLE, HookPoint
from cotlab.whitebox.inside import Inside, Tokens, ids_of

__all__ = ["IDENTITY", "Inspection", "PatchscopeReading", "patchscope", "sample_patched"]

IDENTITY = "cat->cat; 1135->1135; hello->hello; ?->"


@dataclass(frozen=True, slots=True)
class Inspection:
    """An inspection prompt as token ids, and where the state goes."""

    ids: tuple[int, ...]
    place: int

    @classmethod
    def of(cls, inside: Inside, text: str = IDENTITY, placeholder: str = "?") -> Inspection:
        """From a text; the state goes to the last token of the placeholder's last occurrence.

        Raises:
            DataError: The placeholder does not occur.
        """
        before, found, _ = text.rpartition(placeholder)
        if not found or not placeholder:
            raise DataError(f"the placeholder {placeholder!r} does not occur in the inspection prompt {text!r}")
        ids = tuple(inside.tokenizer.encode(text))
        said, end = "", len(before) + len(placeholder)
        for place in range(len(ids)):
            said = inside.tokenizer.decode(list(ids[: place + 1]))
            if len(said) >= end:
                return cls(ids, place)
        raise DataError(f"the inspection prompt {text!r} reads {said!r} as tokens, without its placeholder")


@dataclass(frozen=True, slots=True)
class PatchscopeReading:
    """What was said of one state."""

    token: str
    """Text of the token whose state it is."""
    position: int
    source: str
    """Hook point that it was read at."""
    target: str
    """Hook point that it was put in at."""
    texts: tuple[str, ...]
    """n samples."""
    control: tuple[str, ...]
    """n samples, each with another random state of the same norm in its place."""

    def rate(self, wanted: Callable[[str], bool]) -> tuple[float, float]:
        """Share of the samples, and of the control's, of which something holds."""
        return tuple(sum(map(wanted, some)) / len(some) for some in (self.texts, self.control))  # type: ignore[return-value]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def patchscope(
    inside: Inside,
    tokens: Tokens,
    position: int,
    source: HookPoint,
    *,
    inspection: Inspection | None = None,
    target: HookPoint | None = None,
    n: int = 10,
    max_tokens: int = 8,
    temperature: float = 1.0,
    seed: int = 0,
) -> PatchscopeReading:
    """Read the state of one token.

    Args:
        inside: The model.
        tokens: The source run: token ids, or a prefix with its images.
        position: Token of the source run.
        source: Where its state is read.
        inspection: The prompt that it is put into; default: the identity prompt.
        target: Where it is put in; default: where it was read.
        n: Samples.
        max_tokens: Tokens of each.
        temperature: 0 says the likeliest.
        seed: Of samples and random states.

    Raises:
        DataError: The position is not in the run, or the prompt has no placeholder.
        ModelError: The model does not have such a hook point.
    """
    ids = ids_of(tokens)
    target, inspection = target or source, inspection or Inspection.of(inside)
    if not 0 <= position < len(ids):
        raise DataError(f"position {position} is not in the run, which has {len(ids)} tokens")
    for point in (source, target):
        if point.kind not in STEERABLE:
            raise DataError(f"states are of the residual stream's width; {point} is not: choose {', '.join(STEERABLE)}")
    state = inside.read(_until(tokens, position + 1), [source])[source][position]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n, len(state), generator=generator).to(state)
    noise *= state.norm() / noise.norm(dim=1, keepdim=True)
    said = [
        sample_patched(inside, inspection, target, states, max_tokens=max_tokens, temperature=temperature, seed=seed)
        for states in (state.expand(n, -1), noise)
    ]
    token = inside.tokenizer.decode([ids[position]])
    return PatchscopeReading(token, position, str(source), str(target), said[0], said[1])


def _until(tokens: Tokens, end: int) -> Tokens:
    """A run without what comes behind a token; a prompt with images stays whole."""
    if not isinstance(tokens, Prefix):
        return tokens[:end]
    return Prefix(tokens.token_ids[: max(end, tokens.n_prompt)], tokens.n_prompt, tokens.images)


@torch.inference_mode()
def sample_patched(
    inside: Inside,
    inspection: Inspection,
    target: HookPoint,
    states: Tensor,
    *,
    max_tokens: int = 8,
    temperature: float = 1.0,
    seed: int = 0,
) -> tuple[str, ...]:
    """One continuation of the inspection prompt for each state, (states, d_model), in the placeholder's place."""
    generator = torch.Generator().manual_seed(seed)
    device, rows = inside.model.device, len(states)

    def put(point: HookPoint, base: Tensor, whole: Callable[[Tensor], Tensor]) -> Tensor:
        changed = base.clone()
        changed[:, inspection.place] += states.to(base) - whole(base)[:, inspection.place]
        return changed

    cache = DynamicCache()
    handles = inside.modules.hook([target], put)
    try:
        given = torch.tensor([list(inspection.ids)] * rows, device=device)
        logits = inside.model(input_ids=given, past_key_values=cache, use_cache=True).logits[:, -1]
    finally:
        remove(handles)
    said: list[Tensor] = []
    for _ in range(max_tokens):
        if temperature > 0:
            shares = (logits.float() / temperature).softmax(-1).cpu()
            chosen = torch.multinomial(shares, 1, generator=generator).to(device)
        else:
            chosen = logits.argmax(-1, keepdim=True)
        said.append(chosen)
        logits = inside.model(input_ids=chosen, past_key_values=cache, use_cache=True).logits[:, -1]
    return tuple(inside.tokenizer.decode(row) for row in torch.cat(said, dim=1).tolist())

"""TransformerLens's view of a model: its `TransformerBridge` on the weights that are open here, checked.

For users who know TransformerLens, and as a second implementation. Names translate by `HookPoint.lens_name`; z comes
per head there, (tokens, heads, head_dim), and flat here.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from cotlab.errors import ModelError
from cotlab.interventions.hook_points import HookPoint
from cotlab.whitebox.inside import Inside

__all__ = ["open_bridge", "read_bridge"]

TOLERANCE = 1e-4


def open_bridge(name: str, *, device: str = "cpu") -> Any:
    """Open a model as TransformerLens's `TransformerBridge`, by the name that `--model` takes.

    Weights are as they are (no folding), in float32, and its logits are checked against transformers'.

    Returns:
        The bridge. Activations of a hook point: `bridge.run_with_cache(ids)[1][HookPoint.parse("z:1").lens_name]`.

    Raises:
        ModelError: TransformerLens is not installed, does not know the model, or gives other logits.
    """
    return bridge_of(Inside.open(name, device=device))


def bridge_of(inside: Inside) -> Any:
    """The same for a model that is open; weights are copied, so that changes here do not reach there.

    Raises:
        ModelError: See `open_bridge`.
    """
    try:
        from transformer_lens.model_bridge import TransformerBridge
    except ImportError as error:
        raise ModelError("TransformerLens is not installed: pip install 'transformer-lens>=3,<4'") from error
    from copy import deepcopy
    from tempfile import TemporaryDirectory

    model, hf = inside.model, getattr(inside.tokenizer, "hf", None)
    with TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        model.config.save_pretrained(folder)
        try:
            bridge = TransformerBridge.boot_transformers(
                folder, device=str(model.device), dtype=model.dtype, tokenizer=hf, hf_model=deepcopy(model)
            )
        except (ValueError, NotImplementedError, KeyError, AttributeError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ModelError(f"TransformerLens cannot open '{inside.name}': {reason}") from error
        bridge.enable_compatibility_mode(no_processing=True)
    _check(inside, bridge)
    return bridge


@torch.inference_mode()
def _check(inside: Inside, bridge: Any) -> None:
    size = inside.model.config.get_text_config(decoder=True).vocab_size
    ids = [token % size for token in range(3, 19)]
    apart = float((bridge(torch.tensor([ids], device=inside.model.device))[0] - inside.logits(ids)).abs().max())
    if not apart <= TOLERANCE:
        raise ModelError(f"TransformerLens's logits of '{inside.name}' differ from transformers' by {apart:.2g}")


@torch.inference_mode()
def read_bridge(bridge: Any, ids: Sequence[int], points: Iterable[HookPoint]) -> dict[HookPoint, Tensor]:
    """What `Inside.read` gives, from a bridge: (tokens, width), patterns (heads, tokens, tokens).

    Raises:
        ModelError: The bridge does not have such a point.
    """
    wanted = list(points)
    names = {point.lens_name for point in wanted}
    missing = names - set(bridge.hook_dict)
    if missing:
        raise ModelError(f"TransformerLens has no {', '.join(sorted(missing))} for this model")
    _, cache = bridge.run_with_cache(torch.tensor([list(ids)]), names_filter=lambda name: name in names)
    found = {}
    for point in wanted:
        value = cache[point.lens_name][0]
        found[point] = value.flatten(1) if point.kind == "z" else value
    return found

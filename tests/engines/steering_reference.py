"""What the tests of interventions compare with: transformers' own models, hooked by hand, masks written out anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from engines_small import byte_tokenizer, load_plain

from cotlab.chains.prefix import Prefix
from cotlab.interventions import HookPoint, Steering, SteeringVector, VectorCard, Where

D_MODEL = 64


def small_folder(root: Path, family: str) -> Path:
    """A random two-layer model with grouped heads of 32 dimensions, which vLLM's CPU kernels take."""
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
        Qwen3Config,
        Qwen3ForCausalLM,
    )

    kinds = {
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
        "qwen3": (Qwen3Config, Qwen3ForCausalLM),
        "llama": (LlamaConfig, LlamaForCausalLM),
    }
    config_class, model_class = kinds[family]
    config = config_class(
        vocab_size=257,
        hidden_size=D_MODEL,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=512,
        initializer_range=0.2,
        eos_token_id=256,
        bos_token_id=None,
        pad_token_id=None,
    )
    folder = root / f"steered-{family}"
    if not folder.exists():
        torch.manual_seed(11)
        model_class(config).save_pretrained(folder)
        byte_tokenizer().hf.save_pretrained(folder)
    return folder


def random_vector(seed: int, *points: str, model: str = "", revision: str = "") -> SteeringVector:
    """Random directions; activations are said to have norm 1, so that a dose is the norm of what is added."""
    directions = np.random.default_rng(seed).standard_normal((len(points), D_MODEL)).astype(np.float32)
    card = VectorCard(name=f"v{seed}", model=model, revision=revision, mean_norms=(1.0,) * len(points))
    return SteeringVector(tuple(HookPoint.parse(point) for point in points), directions, card)


def holds(where: Where, ids: Sequence[int], n_prompt: int, n_prefix: int) -> list[bool]:
    """The mask of a sequence, from the definitions, place by place."""
    text = [byte_tokenizer().pieces([token])[0] for token in ids]
    mask = []
    for place in range(len(ids)):
        said = "".join(text[: place + 1])
        ok = {
            "all": True,
            "prompt": place < n_prompt,
            "response": place >= n_prompt,
            "think": place >= n_prompt
            and said.rfind("<think>") > said.rfind("</think>")
            and not said.endswith("<think>"),
            "new": place >= n_prefix - 1,
            "last": n_prefix - (where.n or 0) <= place < n_prefix,
        }[where.part]
        if where.after is not None:
            ok = ok and place - n_prompt >= where.after - 1
        if where.step_ends:
            ok = ok and text[place].rstrip(" ").endswith(where.step_ends)
        if where.trigger:
            recent = ["".join(text[: back + 1]) for back in range(max(0, place - where.hold + 1), place + 1)]
            ok = ok and any(part.endswith(where.trigger) for part in recent)
        mask.append(ok)
    return mask


class Steered:
    """A plain model of transformers, steered by hooks that are written out here."""

    def __init__(self, folder: Path) -> None:
        self.model = load_plain(folder)

    def scores(self, ids: Sequence[int], steering: Steering | None, prefix: Prefix) -> torch.Tensor:
        """Log probabilities `[n − 1, vocabulary]` of what follows each token but the last."""
        handles = []
        if steering is not None:
            mask = torch.tensor(holds(steering.where, ids, prefix.n_prompt, len(prefix.token_ids)))
            for point, delta in zip(steering.points, torch.from_numpy(steering.delta()), strict=True):
                handles += self._hook(point, delta, mask, steering.keep_norm)
        try:
            with torch.no_grad():
                logits = self.model(torch.tensor([list(ids)]), use_cache=False).logits[0, :-1]
        finally:
            for handle in handles:
                handle.remove()
        return logits.log_softmax(-1)

    def logprobs(self, ids: Sequence[int], steering: Steering | None, prefix: Prefix) -> list[float]:
        """Teacher-forced log probabilities of tokens 1 … n−1."""
        scores = self.scores(ids, steering, prefix)
        return scores.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()

    def _hook(self, point: HookPoint, delta: torch.Tensor, mask: torch.Tensor, keep_norm: bool) -> list:
        layer = self.model.model.layers[point.layer]

        def moved(value, whole=None):
            whole = value if whole is None else whole
            new = whole + delta
            if keep_norm:
                new = new * (whole.norm(dim=-1, keepdim=True) / new.norm(dim=-1, keepdim=True))
            return torch.where(mask[None, :, None], value + (new - whole), value)

        def out(module, args, output):
            return moved(output) if isinstance(output, torch.Tensor) else (moved(output[0]), *output[1:])

        if point.kind == "resid_pre":
            return [layer.register_forward_pre_hook(lambda module, args: (moved(args[0]), *args[1:]))]
        if point.kind == "resid_post":
            return [layer.register_forward_hook(out)]
        if point.kind == "mlp_out":
            return [layer.mlp.register_forward_hook(out)]
        if point.kind == "attn_out":
            return [layer.self_attn.register_forward_hook(out)]
        before = []
        return [
            layer.register_forward_pre_hook(lambda module, args: before.append(args[0])),
            layer.self_attn.register_forward_hook(
                lambda module, args, output: (moved(output[0], output[0] + before.pop()), *output[1:])
            ),
        ]


def text_prefix(prompt: str, kept: str = "") -> Prefix:
    """A prefix of bytes."""
    tokenizer = byte_tokenizer()
    ids = tuple(tokenizer.encode(prompt))
    return Prefix(ids + tuple(tokenizer.encode(kept)), len(ids))


PREFIXES = (
    text_prefix("Q: 1+1?<think>\n"),
    text_prefix("Q: 1+1?<think>\n", "So 1.\nWait, no.\n"),
    text_prefix("Q: and now? <think>\nA</think> not; again<think>", "Two. Wait, three.\n </think> so 3\nWait"),
)
WHERES = (
    Where(),
    Where("prompt"),
    Where("response"),
    Where("new"),
    Where("last", n=3),
    Where("think"),
    Where("response", after=4),
    Where("think", step_ends=("\n", ".")),
    Where(trigger=("Wait",), hold=5),
)


def steerings(model: str = "", revision: str = "") -> list[Steering]:
    """One for each way of saying where; hook points, norms and signs take turns."""
    points = (("resid_post:0",), ("resid_pre:1", "mlp_out:0"), ("resid_mid:1",), ("attn_out:0",), ("resid_post:1",))
    return [
        Steering.of(
            random_vector(i, *points[i % len(points)], model=model, revision=revision),
            (-1) ** i * (2.0 + i / 4),
            where,
            keep_norm=i % 3 == 2,
        )
        for i, where in enumerate(WHERES)
    ]

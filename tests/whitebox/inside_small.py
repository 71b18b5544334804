"""Small models that are looked into: random ones of each family, and one with a planted circuit."""

from __future__ import annotations

from typing import Any

import torch

from cotlab.chains.tokens import HFTokenizer
from cotlab.whitebox import Inside

FAMILIES = ("qwen2", "qwen3", "llama")
PLANTED = (1, 2)
"""Layer and head that alone moves information between tokens in the planted model."""


def random_model(family: str, seed: int = 5, layers: int = 2) -> Any:
    """A random model with grouped heads (4 of 8 dimensions, 2 key-value heads)."""
    import transformers

    name = {"qwen2": "Qwen2", "qwen3": "Qwen3", "llama": "Llama"}[family]
    config = getattr(transformers, f"{name}Config")(
        vocab_size=80,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=128,
        initializer_range=0.4,
        eos_token_id=None,
        bos_token_id=None,
        pad_token_id=None,
    )
    torch.manual_seed(seed)
    return getattr(transformers, f"{name}ForCausalLM")(config).eval()


def planted_model() -> Any:
    """A model in which nothing but one head moves information: the others, and all MLPs, write zero."""
    model = random_model("llama", seed=3)
    layer, head = PLANTED
    with torch.no_grad():
        for index, block in enumerate(model.model.layers):
            block.mlp.down_proj.weight.zero_()
            block.self_attn.q_proj.weight.mul_(0.1)  # looks at all tokens, rather than at one of them
            keep = torch.zeros(32)
            if index == layer:
                keep[head * 8 : (head + 1) * 8] = 1
            block.self_attn.o_proj.weight.mul_(4 * keep)
    return model


def inside_of(model: Any) -> Inside:
    """A model, open."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({f"w{i}": i for i in range(80)}, unk_token="w0"))
    return Inside.of(model, HFTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="w1")))


def tokens(n: int, seed: int = 0) -> list[int]:
    """Random token ids."""
    return torch.randint(2, 80, (n,), generator=torch.Generator().manual_seed(seed)).tolist()


CIRCUIT = (("input", "a0.g0.v"), ("a0.h1", "a1.g1.v"), ("a1.h2", "logits"))
"""Edges of the planted circuit."""


def circuit_model() -> Any:
    """A model with a planted circuit of two heads, the second of which reads the first; the rest does little.

    Tokens 40 to 79 are twins of 0 to 39: their embeddings differ by one direction, as long as an embedding. What tells
    twins apart reaches the last token by a0.h1 and then a1.h2: other heads and MLPs write a tenth of what they would,
    and the values of a1.h2 read what a0.h1 writes, not the embedding.
    """
    model = random_model("llama", seed=3).double()
    first, second = model.model.layers
    with torch.no_grad():
        for block, head in ((first, 1), (second, 2)):
            block.mlp.down_proj.weight.mul_(0.1)
            block.self_attn.q_proj.weight.mul_(0.1)  # looks at all tokens, rather than at one of them
            keep = torch.full((32,), 0.1, dtype=torch.float64)
            keep[head * 8 : (head + 1) * 8] = 1
            block.self_attn.o_proj.weight.mul_(keep)
        written = first.self_attn.o_proj.weight[:, 8:16]
        values = second.self_attn.v_proj.weight[8:16]
        values.copy_(3 * values @ written @ torch.linalg.pinv(written))
        embeddings = model.model.embed_tokens.weight
        twin = torch.randn(32, generator=torch.Generator().manual_seed(1)).double()
        embeddings[40:] = embeddings[:40] + twin / twin.norm() * embeddings[:40].norm(dim=1).mean()
    return model

"""Models of random weights shaped like known ones, and the requests that benchmarks put to them; no hub is needed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

SHAPES: dict[str, dict[str, Any]] = {
    "nano": {
        "family": "qwen2", "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 512,
    },
    "1.5b": {
        "family": "qwen2", "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
        "num_attention_heads": 12, "num_key_value_heads": 2, "vocab_size": 151_936, "tie_word_embeddings": True,
    },
    "8b": {
        "family": "llama", "hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256,
    },
}  # fmt: skip
"""`config.json` of the models that they are shaped like."""
PROMPT, NEW, ROWS = 128, 256, 256
LONG = 8192
GIB = 2**30


def make_folder(root: Path, name: str, dtype: str) -> Path:
    """A model of random weights with a tokenizer of bytes and no end token: every rollout runs to its limit."""
    import torch
    import transformers as hf
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    shape = dict(SHAPES[name])
    config_class, model_class = {
        "qwen2": (hf.Qwen2Config, hf.Qwen2ForCausalLM),
        "llama": (hf.LlamaConfig, hf.LlamaForCausalLM),
    }[shape.pop("family")]
    config = config_class(
        **shape, max_position_embeddings=LONG + 1024, bos_token_id=None, eos_token_id=None, pad_token_id=None
    )
    folder = root / f"{name}-{dtype}"
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    with torch.device(device):
        model = model_class(config)
    torch.set_default_dtype(before)
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    hf.PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(folder)
    return folder


def open_hf(folder: Path, **options: Any) -> Any:
    from cotlab.chains.tokens import HFTokenizer
    from cotlab.engines.hf import TransformersEngine
    from cotlab.engines.hf_options import TransformersOptions

    tokenizer = HFTokenizer.load(folder)
    own = TransformersOptions(**options)
    return TransformersEngine(folder, tokenizer, name="random", revision="0", template_id="plain", options=own)


def open_vllm(folder: Path, **options: Any) -> Any:
    from cotlab.chains.tokens import HFTokenizer
    from cotlab.engines.vllm import VllmEngine, VllmOptions

    tokenizer = HFTokenizer.load(folder)
    own = VllmOptions(**options)
    return VllmEngine(folder, tokenizer, name="random", revision="0", template_id="plain", options=own)


def vector(seed: int, name: str, layer: int) -> Any:
    from cotlab.interventions import HookPoint, SteeringVector, VectorCard

    width = SHAPES[name]["hidden_size"]
    directions = np.random.default_rng(seed).standard_normal((1, width)).astype(np.float32)
    return SteeringVector((HookPoint("resid_post", layer),), directions, VectorCard(mean_norms=(1.0,)))


def arms(name: str) -> dict[str, list[Any]]:
    """Interventions of each arm; requests take turns."""
    from cotlab.interventions import Baseline, Steering, Where

    layer = SHAPES[name]["num_hidden_layers"] // 2
    vectors = [vector(seed, name, layer) for seed in range(8)]
    return {
        "unsteered": [Baseline()],
        "one vector": [Steering.of(vectors[0], 0.5)],
        "eight vectors and baseline": [Baseline(), *(Steering.of(v, 0.5) for v in vectors)],
        "token rule": [Steering.of(vectors[1], 0.5, Where(step_ends=(".", "\n")))],
        "norm kept": [Steering.of(vectors[2], 0.5, keep_norm=True)],
    }


def requests(interventions: Sequence[Any], rows: int, prompt: int, new: int, salt: int) -> list[Any]:
    from cotlab.chains.prefix import Prefix
    from cotlab.chains.settings import SamplingSettings
    from cotlab.engines.base import Request
    from cotlab.interventions import Condition

    rng = np.random.default_rng(salt)
    prefixes = [Prefix(tuple(rng.integers(0, 256, prompt).tolist()), prompt) for _ in range(max(1, rows // 16))]
    settings = SamplingSettings(1.0, 1.0, 0, new)
    pairs = [(prefixes[i * len(prefixes) // rows], interventions[i % len(interventions)]) for i in range(rows)]
    asked = [Request(Condition(p, settings, its), i, 7919 * i + salt) for i, (p, its) in enumerate(pairs)]
    return sorted(asked, key=lambda r: (r.condition.prefix.id, r.condition.intervention.id))


def timed(engine: Any, asked: Sequence[Any]) -> dict[str, Any]:
    """Sample, and say how fast, how much memory it took, and at how many tokens something was changed."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    results = list(engine.sample(asked))
    seconds = time.perf_counter() - started
    failed = [result.error for result in results if not hasattr(result, "token_ids")]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(results)} requests failed: {failed[0]}")
    tokens = sum(rollout.n_tokens for rollout in results)
    steered = sum(rollout.steered_tokens or 0 for rollout in results)
    return {
        "rollouts": len(results),
        "new_tokens": tokens,
        "steered_tokens": steered,
        "seconds": round(seconds, 3),
        "tokens_per_s": round(tokens / seconds, 1),
        "peak_gib": round(torch.cuda.max_memory_allocated() / GIB, 2) if torch.cuda.is_available() else None,
    }


def device_memory() -> float | None:
    """GiB of the GPU that are taken, by every process."""
    import torch

    if not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info()
    return round((total - free) / GIB, 2)

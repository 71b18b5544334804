"""Small real models and requests for the tests of the engines."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from cotlab.chains.prefix import Prefix
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.tokens import HFTokenizer
from cotlab.engines.base import Request
from cotlab.interventions.base import Baseline, Intervention
from cotlab.interventions.condition import Condition

EOS = 256
FAMILIES = ("qwen2", "llama")


@lru_cache
def byte_tokenizer() -> HFTokenizer:
    """A byte-level tokenizer: 256 bytes and an end of sequence."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return HFTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>"))


@lru_cache
def model_folder(root: Path, family: str) -> Path:
    """A random two-layer model of a family, with grouped heads and a peaked distribution."""
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    config_class, model_class = {
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
        "llama": (LlamaConfig, LlamaForCausalLM),
    }[family]
    config = config_class(
        vocab_size=260,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=96,
        initializer_range=0.35,
        eos_token_id=EOS,
        bos_token_id=None,
        pad_token_id=None,
    )
    torch.manual_seed(7)
    folder = root / family
    model_class(config).save_pretrained(folder)
    byte_tokenizer().hf.save_pretrained(folder)
    return folder


def load_plain(folder: Path) -> Any:
    """The model of a folder as transformers itself runs it."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def true_logprobs(model: Any, ids: list[int]) -> list[float]:
    """Log probabilities of tokens 1 …, by one forward pass over one sequence without a cache."""
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()
    return logits.log_softmax(-1)[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()


def prefix(*ids: int, n_prompt: int = 1) -> Prefix:
    return Prefix(tuple(ids), n_prompt)


def ask(
    start: Prefix, settings: SamplingSettings, n: int, *, first: int = 0, intervention: Intervention | None = None
) -> list[Request]:
    condition = Condition(start, settings, intervention or Baseline())
    return [Request(condition, i, 1_000_003 * (first + i) + 17) for i in range(n)]

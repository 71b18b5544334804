r"""Tokens a second of the transfer test and of fine-tuning at Llama Scope's size, on random weights.

On a GPU:  python experiments/sae-transfer/throughput.py --device cuda --dtype bfloat16
Small:     python experiments/sae-transfer/throughput.py --layers 2 --width 64 --heads 4 --vocabulary 500 --d-sae 256 \
               --k 8 --traces 20 --length 64 --steps 4
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import torch

from cotlab.chains.tokens import HFTokenizer
from cotlab.interventions import HookPoint, SAECard, SparseAutoencoder
from cotlab.saes import Trace, TrainPlan, finetune_sae, transfer_test
from cotlab.whitebox import Inside


def model(name: str, asked: argparse.Namespace) -> Inside:
    """A Llama with random weights; 8B in shape unless asked otherwise."""
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    config = LlamaConfig(
        vocab_size=asked.vocabulary,
        hidden_size=asked.width,
        intermediate_size=asked.width * 7 // 2,
        num_hidden_layers=asked.layers,
        num_attention_heads=asked.heads,
        num_key_value_heads=max(1, asked.heads // 4),
        max_position_embeddings=max(asked.length, 4096),
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=None,
    )
    torch.manual_seed(0)
    with torch.device(asked.device):
        made: Any = LlamaForCausalLM(config).to(getattr(torch, asked.dtype))
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(asked.vocabulary)}, unk_token="w0"))
    inside = Inside.of(made, HFTokenizer(PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w1")), name=name)
    inside.model.set_attn_implementation("sdpa")
    return inside


def autoencoder(point: HookPoint, asked: argparse.Namespace) -> SparseAutoencoder:
    """Random TopK features."""
    generator = torch.Generator(asked.device).manual_seed(0)
    rows = torch.randn(asked.d_sae, asked.width, generator=generator, device=asked.device)
    rows /= rows.norm(dim=1, keepdim=True)
    zeros = torch.zeros(asked.d_sae, device=asked.device)
    card = SAECard(point, "topk", name="random", model="base", k=asked.k)
    return SparseAutoencoder(card, rows.T.contiguous(), zeros, rows, torch.zeros(asked.width, device=asked.device))


def timed(asked: argparse.Namespace) -> dict[str, Any]:
    """Tokens a second of both, and the peak of GPU memory."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(2, asked.vocabulary, (asked.traces, asked.length), generator=generator).tolist()
    traces = [Trace(str(i), str(i), tuple(row), 8, asked.length - 16) for i, row in enumerate(ids)]
    base, sae = model("base", asked), autoencoder(HookPoint("resid_post", asked.layers // 2), asked)
    n = len(traces) * asked.length
    begun = time.perf_counter()
    transfer_test([sae], base, base, traces, traces[:4])
    spliced = time.perf_counter()
    batch = min(4096, n // 4)
    plan = TrainPlan("topk", asked.k, tokens=asked.steps * batch, batch=batch, check_every=asked.steps)
    made = finetune_sae(sae, base, traces, plan)
    ended = time.perf_counter()
    peak = torch.cuda.max_memory_allocated() / 2**30 if asked.device.startswith("cuda") else None
    return {
        **vars(asked),
        "transfer: tokens a second, both models": n / (spliced - begun),
        "finetune: tokens a second, reading included": asked.steps * batch / (ended - spliced),
        "steps made": made.training.checks[-1].step,
        "features active a token": made.l0_after,
        "peak of GPU memory, GiB": peak,
    }


def main() -> None:
    """Read the arguments, print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    sizes = {"layers": 32, "width": 4096, "heads": 32, "vocabulary": 128_256, "d-sae": 32_768, "k": 50}
    for name, value in {**sizes, "traces": 24, "length": 1024, "steps": 50}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    print(json.dumps(timed(parser.parse_args()), indent=1))


if __name__ == "__main__":
    main()

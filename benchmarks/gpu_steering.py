"""Steering and capture on a GPU, on models of random weights shaped like Qwen2-1.5B and Llama-3-8B; no hub is needed.

Each part runs in a process of its own, with a time limit; one that fails leaves its reason in the table, and the others
go on. Parts: `parity` (float32, two layers: vLLM against transformers), `transformers` and `vllm` for each shape.

- rate: new tokens a second of the same requests unsteered, with one vector in all of them, with eight vectors and the
  baseline mixed, with a rule that looks at tokens, and (vLLM) unsteered with CUDA graphs.
- capture: `Engine.read` of one layer at every token against a plain forward pass with one hook.
- long: rollouts that end at 8,192 tokens, steered, with the memory that they take.

    python benchmarks/gpu_steering.py [--shapes 1.5b 8b] [--out result.json] [--limit 540]
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
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


def rates(engine: Any, name: str, rows: int, new: int, rounds: int) -> Iterator[dict[str, Any]]:
    """Arms take turns; the rate is the best round, and the ratio is to the best unsteered one."""
    best: dict[str, dict[str, Any]] = {}
    list(engine.sample(requests(arms(name)["unsteered"], rows, PROMPT, 16, 99)))  # warm up
    for salt in range(rounds):
        for arm, interventions in arms(name).items():
            lap = timed(engine, requests(interventions, rows, PROMPT, new, salt))
            if arm not in best or lap["tokens_per_s"] > best[arm]["tokens_per_s"]:
                best[arm] = lap
    base = best["unsteered"]["tokens_per_s"]
    for arm, lap in best.items():
        yield {"what": "rate", "arm": arm, **lap, "of_unsteered": round(lap["tokens_per_s"] / base, 3)}


def capture(engine: Any, name: str, n: int, length: int) -> dict[str, Any]:
    """Reading one layer at every token, as the engine does it."""
    from cotlab.interventions import HookPoint

    point = HookPoint("resid_post", SHAPES[name]["num_hidden_layers"] // 2)
    rng = np.random.default_rng(3)
    sequences = [rng.integers(0, 256, length).tolist() for _ in range(n)]
    next(engine.read(sequences[:1], [point]))
    started = time.perf_counter()
    n_bytes = sum(found[point].nbytes for found in engine.read(sequences, [point]))
    seconds = time.perf_counter() - started
    return {
        "what": "capture",
        "arm": "engine.read",
        "tokens": n * length,
        "seconds": round(seconds, 3),
        "tokens_per_s": round(n * length / seconds, 1),
        "mib_float32": round(n_bytes / 2**20, 1),
    }


def plain_capture(engine: Any, name: str, n: int, length: int) -> dict[str, Any]:
    """The same by hand: a forward pass a sequence with one hook, activations to the host in float32."""
    import torch

    model = engine._model._model
    rng = np.random.default_rng(3)
    sequences = [rng.integers(0, 256, length).tolist() for _ in range(n)]
    kept: list[Any] = []
    layer = model.model.layers[SHAPES[name]["num_hidden_layers"] // 2]

    def keep(module: object, args: object, output: Any) -> None:
        kept.append((output if isinstance(output, torch.Tensor) else output[0])[0].float().cpu())

    handle = layer.register_forward_hook(keep)
    started = time.perf_counter()
    with torch.inference_mode():
        for sequence in sequences:
            model(input_ids=torch.tensor([sequence], device=model.device), logits_to_keep=1)
    seconds = time.perf_counter() - started
    handle.remove()
    return {
        "what": "capture",
        "arm": "plain forward, one hook",
        "tokens": n * length,
        "seconds": round(seconds, 3),
        "tokens_per_s": round(n * length / seconds, 1),
    }


def part_transformers(name: str, root: Path, quick: bool) -> Iterator[dict[str, Any]]:
    folder = make_folder(root, name, "float32" if quick else "bfloat16")
    rows, new, n = (8, 16, 2) if quick else (128, 64, 32)
    with open_hf(folder, max_rows=128) as engine:
        yield {"what": "memory", "arm": "loaded", "gib": device_memory()}
        yield from rates(engine, name, rows, new, 2)
        yield plain_capture(engine, name, n, 64 if quick else 1024)  # warm up
        yield plain_capture(engine, name, n, 64 if quick else 1024)
        yield capture(engine, name, n, 64 if quick else 1024)
        length = 96 if quick else LONG
        lap = timed(engine, requests(arms(name)["one vector"], 4, length - 48, 48, 5))
        yield {"what": "long", "arm": f"4 rollouts from {length - 48} to {length} tokens", **lap}


def part_vllm(name: str, root: Path, quick: bool) -> Iterator[dict[str, Any]]:
    import torch

    folder = make_folder(root, name, "float32" if quick else "bfloat16")
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    rows, new, n = (8, 16, 2) if quick else (ROWS, NEW, 32)
    sizes: dict[str, Any] = {"max_rows": rows, "max_model_len": LONG + 512}
    sizes |= {"kv_gib": 0.25} if quick else {"gpu_memory_utilization": 0.85}
    with open_vllm(folder, enforce_eager=True, **sizes) as engine:
        yield {"what": "versions", "arm": "vllm", "value": dict(engine.card.versions)}
        yield {"what": "memory", "arm": "loaded, eager", "gib": device_memory()}
        yield from rates(engine, name, rows, new, 2)
        yield capture(engine, name, n, 64 if quick else 1024)
        length, new, many = (96, 32, 4) if quick else (LONG, 1024, 64)
        lap = timed(engine, requests(arms(name)["one vector"], many, length - new, new, 5))
        arm = f"{many} rollouts from {length - new} to {length} tokens"
        yield {"what": "long", "arm": arm, **lap, "gib": device_memory()}
    if not torch.cuda.is_available():
        return
    with open_vllm(folder, **sizes) as engine:
        list(engine.sample(requests(arms(name)["unsteered"], rows, PROMPT, 16, 99)))
        asked = [requests(arms(name)["unsteered"], rows, PROMPT, new, salt) for salt in range(2)]
        laps = [timed(engine, its) for its in asked]
        yield {"what": "rate", "arm": "unsteered, CUDA graphs", **max(laps, key=lambda lap: lap["tokens_per_s"])}


def part_parity(name: str, root: Path, quick: bool) -> Iterator[dict[str, Any]]:
    """float32 on both: teacher-forced log probabilities of what vLLM said in one mixed batch, and the cache test."""
    from cotlab.engines.base import Passage

    folder = make_folder(root, name, "float32")
    asked = requests([its for some in arms(name).values() for its in some], 48, 40, 48, 1)
    by_key = {(r.condition.prefix.id, r.condition.intervention.id, r.sample_idx): r.condition for r in asked}
    sizes: dict[str, Any] = {"dtype": "float32", "max_rows": 64, "max_model_len": 2048}
    sizes |= {"kv_gib": 0.25} if quick else {"gpu_memory_utilization": 0.3}
    with open_vllm(folder, enforce_eager=True, **sizes) as engine:
        rollouts = list(engine.sample(asked))
        passages = []
        for rollout in rollouts:
            condition = by_key[rollout.prefix_id, rollout.intervention_id, rollout.sample_idx]
            passages.append(Passage(condition.prefix, rollout.token_ids, condition.intervention))
        plain = [Passage(passage.prefix, passage.new_ids) for passage in passages]
        before = list(engine.logprobs(plain))
        forced = list(engine.logprobs(passages))
        after = list(engine.logprobs(plain))
    with open_hf(folder, dtype="float32") as engine:
        wanted = list(engine.logprobs(passages))
        unsteered = list(engine.logprobs(plain))
    sampled = [
        np.abs(np.array(w[-len(r.logprobs) :]) - r.logprobs).max() for w, r in zip(wanted, rollouts, strict=True)
    ]
    yield {"what": "parity", "arm": "sampled in one mixed batch", "max_abs": float(max(sampled))}
    for arm, got, want in (
        ("teacher-forced, mixed", forced, wanted),
        ("baseline after steered", after, unsteered),
        ("baseline before and after", before, after),
        ("what steering changes", wanted, unsteered),
    ):
        worst = max(np.abs(np.array(a) - np.array(b)).max() for a, b in zip(got, want, strict=True))
        yield {"what": "parity", "arm": arm, "max_abs": float(worst)}


PARTS = {"parity": part_parity, "transformers": part_transformers, "vllm": part_vllm}


@contextmanager
def workplace() -> Iterator[Path]:
    """Memory, where there is enough of it: 8B weights are 16 GB."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 40 * GIB
    with tempfile.TemporaryDirectory(dir=memory if roomy else None) as folder:
        yield Path(folder)


def run_part(part: str, shape: str, quick: bool, limit: float) -> list[dict[str, Any]]:
    """One part in a process of its own; the rows that it gave, and why there are no more."""
    command = [sys.executable, str(Path(__file__).resolve()), "--part", part, "--shapes", shape]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])}
    environment.setdefault("HF_HUB_OFFLINE", "1")
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as told:
        command += ["--rows", told.name] + (["--quick"] if quick else [])
        error = ""
        try:
            done = subprocess.run(command, env=environment, timeout=limit, stdout=sys.stderr)
            error = f"ended with {done.returncode}; see its output" if done.returncode else ""
        except subprocess.TimeoutExpired:
            error = f"stopped after {limit:.0f} s"
        rows = [json.loads(line) for line in Path(told.name).read_text().splitlines()]
    rows = [{"engine": part, "shape": shape, **row} for row in rows]
    return rows + ([{"engine": part, "shape": shape, "what": "error", "arm": error}] if error else [])


def main() -> None:
    """Run the parts, print the table as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["1.5b", "8b"])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--out", type=Path, help="also write the table here")
    parser.add_argument("--limit", type=float, default=540, help="seconds for everything")
    parser.add_argument("--quick", action="store_true", help="few and short requests, to try the script")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        with workplace() as root, asked.rows.open("a") as file:
            for row in PARTS[asked.part](asked.shapes[0], root, asked.quick):
                print(json.dumps(row), file=file, flush=True)
                print(json.dumps(row), file=sys.stderr, flush=True)
        return
    started, table = time.monotonic(), []
    todo = [("parity", "nano")] if "parity" in asked.parts else []
    todo += [(part, shape) for shape in asked.shapes for part in asked.parts if part != "parity"]
    for part, shape in todo:
        left = asked.limit - (time.monotonic() - started)
        if left < 20:
            table.append({"engine": part, "shape": shape, "what": "error", "arm": "no time left"})
            continue
        table += run_part(part, shape, asked.quick, left)
        if asked.out:
            asked.out.write_text(json.dumps(table, indent=1) + "\n")
    print(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()

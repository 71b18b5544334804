"""What is measured on a GPU: rates under steering, capture, long chains, and parity of vLLM with transformers."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu_models import (
    LONG,
    NEW,
    PROMPT,
    ROWS,
    SHAPES,
    arms,
    device_memory,
    make_folder,
    open_hf,
    open_vllm,
    requests,
    timed,
)


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


def live_capture(engine: Any, name: str, rows: int, new: int) -> dict[str, Any]:
    """Rollouts read at one layer while they are sampled; compare with the rate of `unsteered`."""
    from cotlab.interventions import HookPoint

    point = HookPoint("resid_post", SHAPES[name]["num_hidden_layers"] // 2)
    started, tokens, n_bytes = time.perf_counter(), 0, 0
    for rollout, read in engine.sample_reading(requests(arms(name)["unsteered"], rows, PROMPT, new, 77), [point]):
        tokens += rollout.n_tokens
        n_bytes += read[point].nbytes
    seconds = time.perf_counter() - started
    return {
        "what": "capture",
        "arm": "engine.sample_reading",
        "new_tokens": tokens,
        "seconds": round(seconds, 3),
        "tokens_per_s": round(tokens / seconds, 1),
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
        yield live_capture(engine, name, rows, new)
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

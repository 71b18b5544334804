"""Steering and capture on the tiny reasoner: what they cost, against no steering and against Hugging Face by hand.

Arms take turns, and ratios are medians over the rounds of CPU time, so that a busy machine troubles them alike.

- steered: every request carries one vector at one layer. mixed: baseline and eight vectors take turns.
- idle: no request carries anything, after steered ones did: hooks are then gone.
- reading: nothing is steered, one layer is read at every new token while it is sampled; beside it, the same rollouts
  sampled and then read in a second pass.
- hf: `generate` prompt by prompt with a forward hook, the same requests (a part of them; rates compare).
- capture: `TransformersEngine.read` of one layer at every token against a plain forward with one hook.

    python benchmarks/bench_steering.py [--rollouts 96] [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cotlab.chains.prefix import Prefix
from cotlab.chains.rollout import Rollout
from cotlab.chains.settings import SamplingSettings
from cotlab.engines.base import Passage, Request
from cotlab.engines.load import open_engine
from cotlab.interventions import Baseline, Condition, HookPoint, Intervention, Steering, SteeringVector, VectorCard
from cotlab.problems import load_problems

LAYER, DOSE, NEW = 2, 0.1, 96


def cpu(work: Callable[[], Any]) -> float:
    """CPU seconds of a call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def steering(seed: int) -> Steering:
    """A random vector; its norm is what matters here."""
    directions = np.random.default_rng(seed).standard_normal((1, 256)).astype(np.float32)
    vector = SteeringVector((HookPoint("resid_post", LAYER),), directions, VectorCard(mean_norms=(1.0,)))
    return Steering.of(vector, DOSE)


def requests(prefixes: Sequence[Prefix], n: int, arms: Sequence[Intervention], salt: int) -> list[Request]:
    """N requests over some prompts, interventions in turn."""
    settings = SamplingSettings(1.0, 1.0, 0, NEW)
    return [
        Request(Condition(prefixes[i * len(prefixes) // n], settings, arms[i % len(arms)]), i, 7919 * i + salt + 1)
        for i in range(n)
    ]


POINT = HookPoint("resid_post", LAYER)


def reading(engine: Any, asked: Sequence[Request]) -> float:
    """CPU seconds a new token of rollouts that are read while they are sampled."""
    tokens, started = 0, time.process_time()
    for rollout, _ in engine.sample_reading(asked, [POINT]):
        tokens += rollout.n_tokens
    return (time.process_time() - started) / tokens


def reading_after(engine: Any, asked: Sequence[Request]) -> float:
    """The same of rollouts that are sampled, and then read."""
    started, known = time.process_time(), {request.condition.prefix.id: request.condition.prefix for request in asked}
    rollouts = list(engine.sample(asked))
    passages = [Passage(known[rollout.prefix_id], rollout.token_ids) for rollout in rollouts]
    places = [range(len(one.prefix.token_ids), len(one.token_ids)) for one in passages]
    for _ in engine.read(passages, [POINT], places):
        pass
    tokens: int = sum(rollout.n_tokens for rollout in rollouts)
    return (time.process_time() - started) / tokens


def by_hand(model: Any, asked: Sequence[Request]) -> int:
    """`generate` with a hook, one prompt at a time, as the usual scripts do; new tokens."""
    import torch

    delta = torch.from_numpy(steering(0).delta()[0])

    def add(module: object, args: object, output: Any) -> Any:
        return output + delta if isinstance(output, torch.Tensor) else (output[0] + delta, *output[1:])

    handle = model.model.layers[LAYER].register_forward_hook(add)
    tokens = 0
    for prefix in dict.fromkeys(request.condition.prefix for request in asked):
        rows = sum(request.condition.prefix == prefix for request in asked)
        ids = torch.tensor([prefix.token_ids])
        with torch.inference_mode():
            found = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                top_p=1.0,
                top_k=0,
                max_new_tokens=NEW,
                num_return_sequences=rows,
                pad_token_id=0,
            )
        tokens += found[:, ids.shape[1] :].numel()
    handle.remove()
    return tokens


def plain_read(model: Any, sequences: Sequence[Sequence[int]]) -> None:
    """A forward pass a sequence, one hook, activations kept in float32."""
    import torch

    kept: list[Any] = []
    handle = model.model.layers[LAYER].register_forward_hook(
        lambda module, args, output: kept.append((output if isinstance(output, torch.Tensor) else output[0]).float())
    )
    with torch.inference_mode():
        for sequence in sequences:
            model(input_ids=torch.tensor([sequence]), logits_to_keep=1)
    handle.remove()


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="Steering and capture on the tiny reasoner.")
    parser.add_argument("--rollouts", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    n = asked.rollouts
    opened = open_engine("tiny", "vllm", options={"kv_gib": 0.5})
    with opened.engine as engine:
        ids = [opened.template.encode(p, engine.tokenizer) for p in load_problems("countdown", n=6)]
        prefixes = [Prefix(tuple(some), len(some)) for some in ids]
        arms: dict[str, list[Intervention]] = {
            "unsteered": [Baseline()],
            "steered": [steering(0)],
            "mixed": [Baseline(), *(steering(i) for i in range(8))],
            "idle": [Baseline()],
        }
        took: dict[str, list[float]] = {name: [] for name in arms}
        live, twice = list[float](), list[float]()
        list(engine.sample(requests(prefixes, n, arms["steered"], 0)))  # warm up
        rate = 0.0
        for salt in range(asked.rounds):
            for name, its in arms.items():
                batch = requests(prefixes, n, its, salt)
                started = time.process_time()
                tokens = sum(rollout.n_tokens for rollout in engine.sample(batch) if isinstance(rollout, Rollout))
                seconds = time.process_time() - started
                took[name].append(seconds / tokens)
                rate = tokens / seconds if name == "steered" else rate
            live.append(reading(engine, requests(prefixes, n, arms["unsteered"], salt)))
            twice.append(reading_after(engine, requests(prefixes, n, arms["unsteered"], salt)))
    with open_engine("tiny", "transformers").engine as reader:
        model = reader._model._model  # type: ignore[attr-defined]
        few = requests(prefixes, max(6, n // 6), [steering(0)], 1)
        hand = statistics.median(cpu(lambda: by_hand(model, few)) for _ in range(3)) / by_hand(model, few)
        sequences = [[*prefix.token_ids, *range(5, 165)] for prefix in prefixes] * 4
        point = HookPoint("resid_post", LAYER)
        rounds = range(asked.rounds)
        read = statistics.median(cpu(lambda: list(reader.read(sequences, [point]))) for _ in rounds)
        plain = statistics.median(cpu(lambda: plain_read(model, sequences)) for _ in rounds)

    def ratio(name: str) -> float:
        return statistics.median(a / b for a, b in zip(took["unsteered"], took[name], strict=True))

    rows = sum(map(len, sequences))
    print(f"{n} rollouts of {NEW} tokens at most, one layer, CPU time, medians of {asked.rounds} rounds.\n")
    print("| what | measured | goal |\n|---|---|---|")
    print(f"| vLLM steered / unsteered throughput | {ratio('steered'):.2f} | ≥ 0.9 |")
    print(f"| vLLM, nine arms mixed / unsteered | {ratio('mixed'):.2f} | |")
    print(f"| vLLM unsteered, hooks gone again / unsteered | {ratio('idle'):.2f} | ≥ 0.98 |")
    for name, seconds_each in (("read while sampled", live), ("sampled and then read", twice)):
        share = statistics.median(a / b for a, b in zip(took["unsteered"], seconds_each, strict=True))
        print(f"| vLLM, {name} / sampling alone | {share:.2f} | |")
    print(f"| steered tokens a second, vLLM | {rate:,.0f} | |")
    print(
        f"| steered rollouts, vLLM / HF generate with a hook | {hand / statistics.median(took['steered']):.1f} | ≥ 5 |"
    )
    print(f"| capture / plain forward with one hook, time | {read / plain:.2f} | ≤ 1.1 |")
    print(f"| rows captured a second | {rows / read:,.0f} | |")


if __name__ == "__main__":
    main()

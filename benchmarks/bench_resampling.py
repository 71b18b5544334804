"""Resampling one chain of thought: this engine, bare vLLM and Hugging Face `generate`, side by side.

The task is that of `cotlab resample`: `--prefixes` prefixes of one chain × `--samples` rollouts. The arms take turns
(A B A B …), so that a busy machine troubles them alike, and the ratios are medians over the rounds.

- cotlab: what `cotlab resample` does with the plan: draws with `VllmEngine`, stores every rollout in a new run folder,
  scores all of them (`resample`).
- vllm: the same prompts, seeds and sampling parameters in one `LLM.generate`; text and raw log probabilities too.
- hf: as Thought Anchors' local mode does: prefix by prefix, `generate` with `num_return_sequences`, no cache between
  prefixes. Its rate is that of every `--hf-stride`-th prefix.

What the contract of an engine costs is told by leaving parts of it out in bare vLLM: a seed for every rollout, the raw
log probability of every token, top-p.

The prefix cache is emptied before every arm. Cache hits are told over the possible: tokens in full blocks that an
earlier request of the set had too.

    python benchmarks/bench_resampling.py [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from cotlab.chains.own_scorer import load_scorer
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.rollout import Rollout
from cotlab.chains.scorers import Scorer
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.tokens import HFTokenizer
from cotlab.engines.base import Request
from cotlab.engines.vllm import VllmEngine
from cotlab.identity import seed_for
from cotlab.interventions.condition import Condition
from cotlab.models import ResolvedModel, resolve_model
from cotlab.problems import load_problems
from cotlab.runs import Run, RunIdentity
from cotlab.sampling import Sampler, score_run

LEFT_OUT: dict[str, dict[str, Any]] = {
    "all": {},
    "no seeds": {"seed": None},
    "no log probabilities": {"logprobs": None, "flat_logprobs": False},
    "no top-p": {"top_p": 1.0},
    "none of these": {"seed": None, "logprobs": None, "flat_logprobs": False, "top_p": 1.0},
}
"""Arms of `contract_costs`."""
MAX_TOKENS = 400
"""Longest response; the tiny reasoner's have about 190 tokens."""


@dataclass(frozen=True, slots=True)
class Task:
    """What all arms do."""

    problem: Problem
    prefixes: list[Prefix]
    samples: int
    settings: SamplingSettings
    scorer: Scorer

    def requests(self, round_idx: int) -> list[Request]:
        """Requests in the order of a plan: prefix by prefix, with seeds of this round."""
        return [
            Request(Condition(prefix, self.settings), idx, seed_for(round_idx, prefix.id, idx))
            for prefix in self.prefixes
            for idx in range(self.samples)
        ]


@dataclass(frozen=True, slots=True)
class Lap:
    """One arm in one round."""

    rollouts: int
    new_tokens: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Rollouts a second."""
        return self.rollouts / self.seconds

    @property
    def cpu_rate(self) -> float:
        """Rollouts a second of CPU time."""
        return self.rollouts / self.cpu_seconds


def resample(engine: VllmEngine, task: Task, round_idx: int) -> tuple[int, int]:
    """Draw, store and score all rollouts of a round in a run folder that is thrown away; rollouts and new tokens."""
    identity = RunIdentity(engine.card.model, engine.tokenizer.id, engine.card.template_id, "<think>", "</think>")
    with tempfile.TemporaryDirectory() as folder, Run.create(Path(folder) / "run", identity) as run:
        run.add_problems([task.problem])
        prompt, *further = task.prefixes
        run.add_prefix(prompt, task.problem.id, text=engine.tokenizer.decode(prompt.token_ids))
        for prefix in further:
            kept = engine.tokenizer.decode(prefix.kept_ids)
            run.add_prefix(prefix, task.problem.id, parent=prompt, text=kept)
        sampler = Sampler(run, engine, run.add_study({"kind": "benchmark"}, round_idx), seed=round_idx)
        sampler.draw(task.prefixes, task.samples, task.settings, phase="benchmark")
        scored = score_run(run, task.scorer)
    assert scored == sampler.drawn.rollouts, f"{scored} of {sampler.drawn.rollouts} rollouts were scored"
    return sampler.drawn.rollouts, sampler.drawn.tokens


def possible_hits(prompts: Iterable[Sequence[int]], block_size: int) -> int:
    """Prompt tokens that a perfect prefix cache would not compute again.

    A block counts if an earlier prompt had it after the same blocks; the last token of a prompt is always computed.
    """
    seen: set[tuple[Any, ...]] = set()
    hits = 0
    for prompt in prompts:
        usable = (len(prompt) - 1) // block_size
        for n_blocks in range(usable, 0, -1):
            if tuple(prompt[: n_blocks * block_size]) in seen:
                hits += n_blocks * block_size
                break
        seen.update(tuple(prompt[: n * block_size]) for n in range(1, len(prompt) // block_size + 1))
    return hits


def measure(work: Callable[[], tuple[int, int]]) -> Lap:
    wall, cpu = time.perf_counter(), time.process_time()
    rollouts, new_tokens = work()
    return Lap(rollouts, new_tokens, time.perf_counter() - wall, time.process_time() - cpu)


def straight_to_vllm(
    llm: Any, task: Task, requests: list[Request], eos_ids: Iterable[int], changed: dict[str, Any] | None = None
) -> tuple[int, int]:
    from vllm import SamplingParams

    settings = task.settings
    params = [
        SamplingParams(
            **{
                "temperature": settings.temperature,
                "top_p": settings.top_p,
                "max_tokens": settings.new_tokens(len(request.condition.prefix.kept_ids)),
                "seed": request.seed,
                "ignore_eos": True,
                "stop_token_ids": list(eos_ids),
                "logprobs": 0,
                "flat_logprobs": True,
                **(changed or {}),
            }
        )
        for request in requests
    ]
    prompts = [{"prompt_token_ids": list(request.condition.prefix.token_ids)} for request in requests]
    outputs = llm.generate(prompts, params, use_tqdm=False)
    return len(outputs), sum(len(output.outputs[0].token_ids) for output in outputs)


def hf_generate(model: Any, task: Task, stride: int, eos_ids: Iterable[int]) -> tuple[int, int]:
    import torch

    rollouts = new_tokens = 0
    for prefix in task.prefixes[::stride]:
        prompt = torch.tensor([prefix.token_ids])
        output = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=True,
            temperature=task.settings.temperature,
            top_p=task.settings.top_p,
            top_k=0,
            max_new_tokens=task.settings.new_tokens(len(prefix.kept_ids)),
            num_return_sequences=task.samples,
            eos_token_id=list(eos_ids),
            pad_token_id=min(eos_ids),
        )
        rollouts += len(output)
        ended = (output[:, prompt.shape[1] :] == min(eos_ids)).long().cumsum(1)
        new_tokens += int((ended <= 1).sum())  # padding behind the end is not a new token
    return rollouts, new_tokens


def contract_costs(llm: Any, task: Task, eos_ids: Iterable[int], rounds: int) -> dict[str, float]:
    """New tokens a second of CPU time in bare vLLM, with all that a request asks for and with parts of it left out."""
    part = replace(task, prefixes=task.prefixes[:: max(1, len(task.prefixes) // 10)])
    rates: dict[str, list[float]] = {name: [] for name in LEFT_OUT}
    for round_idx in range(rounds):
        for name, changed in LEFT_OUT.items():
            llm.reset_prefix_cache()
            requests = part.requests(round_idx)
            lap = measure(partial(straight_to_vllm, llm, part, requests, eos_ids, changed))
            rates[name].append(lap.new_tokens / lap.cpu_seconds)
    return {name: round(statistics.median(found)) for name, found in rates.items()}


def make_task(engine: VllmEngine, model: ResolvedModel, arguments: argparse.Namespace) -> Task:
    """Evenly spaced prefixes of the longest of a few responses to one problem."""
    problem = load_problems("countdown", n=1, seed=arguments.seed)[0]
    assert isinstance(engine.tokenizer, HFTokenizer)
    text = engine.tokenizer.render_chat(engine.tokenizer.chat_template, [{"role": "user", "content": problem.question}])
    prompt = tuple(engine.tokenizer.encode(text))
    start = Prefix(prompt, len(prompt))
    settings = SamplingSettings(temperature=1.0, top_p=arguments.top_p, max_tokens=MAX_TOKENS)
    tries = [Request(Condition(start, settings), idx, seed_for(0, start.id, idx)) for idx in range(16)]
    rollouts = [result for result in engine.sample(tries) if isinstance(result, Rollout)]
    chain = max((rollout.token_ids or () for rollout in rollouts), key=len)
    cuts = [len(chain) * n // arguments.prefixes for n in range(arguments.prefixes)]
    return Task(
        problem, [start.extend(chain[:cut]) for cut in cuts], arguments.samples, settings, load_scorer("answers")
    )


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    model = resolve_model(arguments.model)
    tokenizer = HFTokenizer.load(model.path)
    laps: dict[str, list[Lap]] = {"cotlab": [], "vllm": [], "hf": []}
    with VllmEngine(model.path, tokenizer, name=model.name, revision=model.revision, template_id="benchmark") as engine:
        hf = AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.float32).eval()
        task = make_task(engine, model, arguments)
        llm, eos_ids, cached = engine._llm, sorted(tokenizer.eos_ids), 0
        resample(engine, replace(task, prefixes=task.prefixes[:2]), 0)  # warm-up: the answer worker starts here too
        for round_idx in range(1, arguments.rounds + 1):
            requests = task.requests(round_idx)
            llm.reset_prefix_cache()
            before = engine.stats.cached_tokens
            laps["cotlab"].append(measure(partial(resample, engine, task, round_idx)))
            cached = engine.stats.cached_tokens - before
            llm.reset_prefix_cache()
            laps["vllm"].append(measure(partial(straight_to_vllm, llm, task, requests, eos_ids)))
            laps["hf"].append(measure(partial(hf_generate, hf, task, arguments.hf_stride, eos_ids)))
            print(f"round {round_idx} of {arguments.rounds}", file=sys.stderr)
        costs = contract_costs(llm, task, eos_ids, arguments.rounds)
    asked = [request.condition.prefix.token_ids for request in task.requests(0)]
    block_size = llm.llm_engine.vllm_config.cache_config.block_size
    found = report(task, laps, cached / possible_hits(asked, block_size), cached / sum(map(len, asked)))
    return {**found, "tokens_per_cpu_second": costs}


def report(task: Task, laps: dict[str, list[Lap]], hits: float, hit_rate: float) -> dict[str, Any]:
    def ratio(other: str, rate: Callable[[Lap], float]) -> float:
        return statistics.median(rate(a) / rate(b) for a, b in zip(laps["cotlab"], laps[other], strict=True))

    return {
        "prefixes": len(task.prefixes),
        "samples": task.samples,
        "rounds": len(laps["cotlab"]),
        "arms": {
            name: {
                "rollouts": arm[0].rollouts,
                "new_tokens": round(statistics.median(lap.new_tokens for lap in arm)),
                "seconds": round(statistics.median(lap.seconds for lap in arm), 2),
                "rollouts_per_second": round(statistics.median(lap.rate for lap in arm), 1),
            }
            for name, arm in laps.items()
        },
        "ratios": [
            {
                "measure": measure,
                "wall": round(ratio(other, lambda lap: lap.rate), 3),
                "cpu": round(ratio(other, lambda lap: lap.cpu_rate), 3),
                "goal": goal,
            }
            for measure, other, goal in (
                ("cotlab, stored and scored / bare vLLM", "vllm", 0.95),
                ("cotlab / HF generate", "hf", 5.0),
            )
        ],
        "prefix_cache": {"hits_over_possible": round(hits, 3), "hit_rate": round(hit_rate, 3), "goal": 0.9},
    }


def markdown(result: dict[str, Any]) -> str:
    lines = [
        f"{result['prefixes']} prefixes × {result['samples']} samples, {result['rounds']} rounds (medians)",
        "",
        "| arm | rollouts | new tokens | seconds | rollouts/s |",
        "|---|---|---|---|---|",
    ]
    for name, arm in result["arms"].items():
        lines.append(f"| {name} | " + " | ".join(str(value) for value in arm.values()) + " |")
    lines += ["", "| ratio of rates | wall | CPU time | goal |", "|---|---|---|---|"]
    lines += [f"| {r['measure']} | {r['wall']} | {r['cpu']} | ≥ {r['goal']} |" for r in result["ratios"]]
    cache = result["prefix_cache"]
    lines.append(f"| prefix-cache hits / possible | {cache['hits_over_possible']} | | ≥ {cache['goal']} |")
    lines += ["", "| bare vLLM, asked for | new tokens a CPU second |", "|---|---|"]
    lines += [f"| {name} | {rate:,} |" for name, rate in result["tokens_per_cpu_second"].items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--prefixes", type=int, default=50)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hf-stride", type=int, default=5, help="HF samples from every n-th prefix only")
    parser.add_argument("--top-p", type=float, default=0.95)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = run(arguments)
    print(json.dumps(result) if arguments.json else markdown(result))


if __name__ == "__main__":
    main()

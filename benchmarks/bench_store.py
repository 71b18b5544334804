"""How fast a run folder is written and opened again, and in how much memory.

    python benchmarks/bench_store.py [--rollouts 100000] [--tokens 200] [--json]

Rollouts are spread over chains of 50 prefixes with 100 samples each and committed 64 at a time, as sampling does.
Each phase that reads runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.rollout import Rollout
from cotlab.chains.score import Score
from cotlab.chains.settings import SamplingSettings
from cotlab.interventions.base import Baseline
from cotlab.models.engine_card import EngineCard
from cotlab.runs import NewPrefix, Run, RunIdentity

IDENTITY = RunIdentity("bench", "bench", "plain", "<think>", "</think>")
SETTINGS, BASELINE = SamplingSettings(), Baseline()
CARD = EngineCard("markov", "bench", "0", "bench", "plain", "float32")
SAMPLES, STEPS, STEP_TOKENS, BATCH, SCORE_BATCH = 100, 50, 12, 64, 1000
PROBABILITIES = [0.001 * i for i in range(1, 1001)]


def peak_mb() -> float:
    """Largest resident set of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def prefixes(count: int) -> Iterator[NewPrefix]:
    """Chains of prefixes, each going on from the one before; one problem a chain."""
    rng = random.Random(0)
    for start in range(0, count, STEPS):
        problem_id = problem(start // STEPS).id
        prompt = tuple(rng.randrange(900) for _ in range(60))
        prefix, text = Prefix(prompt, len(prompt)), ""
        yield NewPrefix(prefix, problem_id, text="prompt")
        for _ in range(1, min(STEPS, count - start)):
            parent, text = prefix, text + "Then this step says something. "
            prefix = parent.extend(tuple(rng.randrange(900) for _ in range(STEP_TOKENS)))
            yield NewPrefix(prefix, problem_id, parent, "continue", text=text)


def problem(number: int) -> Problem:
    """One of many problems."""
    return Problem(f"What is {number}?", str(number))


def rollouts(prefix_ids: list[str], count: int, tokens: int) -> Iterator[Rollout]:
    """Rollouts as an engine yields them: fresh tuples, nothing shared."""
    rng = random.Random(1)
    settings_id, card_id, intervention_id = SETTINGS.id, CARD.id, BASELINE.id
    for number in range(count):
        ids = tuple(rng.choices(range(900), k=tokens))
        yield Rollout(
            prefix_id=prefix_ids[number // SAMPLES],
            intervention_id=intervention_id,
            settings_id=settings_id,
            engine_card_id=card_id,
            sample_idx=number % SAMPLES,
            seed=number,
            text=" ".join(map(str, ids)),
            finish_reason="stop",
            token_ids=ids,
            logprobs=tuple(map(math.log, rng.choices(PROBABILITIES, k=tokens))),
        )


def write(path: Path, count: int, tokens: int) -> dict[str, float]:
    """Make the run; only the time inside of the store counts."""
    with Run.create(path, IDENTITY) as run:
        run.add_settings(SETTINGS)
        run.add_engine_card(CARD)
        run.add_intervention(BASELINE)
        n_prefixes = -(-count // SAMPLES)
        run.add_problems(problem(number) for number in range(-(-n_prefixes // STEPS)))
        wanted = list(prefixes(n_prefixes))
        began = time.perf_counter()
        run.add_prefixes(wanted)
        prefix_seconds = time.perf_counter() - began
        study_id = run.add_study({"n": SAMPLES}, 0)
        source = rollouts([new.prefix.id for new in wanted], count, tokens)
        seconds = cpu_seconds = 0.0
        while batch := list(islice(source, BATCH)):
            began, cpu_began = time.perf_counter(), time.process_time()
            run.add_rollouts(batch, study_id=study_id)
            seconds += time.perf_counter() - began
            cpu_seconds += time.process_time() - cpu_began
        began = time.perf_counter()
    close_seconds = time.perf_counter() - began
    return {
        "prefixes_per_second": n_prefixes / prefix_seconds,
        "rollouts_per_second": count / seconds,
        "rollouts_per_cpu_second": count / cpu_seconds,
        "close_seconds": close_seconds,
        "write_peak_mb": peak_mb(),
        "size_mb": (path / "run.sqlite").stat().st_size / 1e6,
    }


def score(path: Path, count: int, tokens: int) -> dict[str, float]:
    """Read every body, judge it, store the verdict."""
    began = time.perf_counter()
    with Run.open(path, writable=True) as run:
        unscored = run.unscored("bench/1")
        while block := list(islice(unscored, SCORE_BATCH)):
            run.add_scores(
                Score("rollout", r.id, "bench/1", {"answer": "1", "key": "1", "outcome": "correct"}) for r in block
            )
    return {"scores_per_second": count / (time.perf_counter() - began), "score_peak_mb": peak_mb()}


def reopen(path: Path, count: int, tokens: int) -> dict[str, float]:
    """Open, summary, counts per prefix, what is missing: what every command does first."""
    began = time.perf_counter()
    with Run.open(path) as run:
        opened = time.perf_counter()
        assert run.summary().rollouts == count, "a rollout is lost"
        summed = time.perf_counter()
        counts = run.counts(SETTINGS.id, CARD.id, BASELINE.id)
        assert sum(counts.values()) == count, "a rollout is not counted"
        counted = time.perf_counter()
        lacking = sum(1 for _ in run.missing(list(counts), SAMPLES, SETTINGS.id, CARD.id, BASELINE.id))
        assert lacking == -count % SAMPLES, "resuming would sample something again"
        asked = time.perf_counter()
    return {
        "open_seconds": opened - began,
        "summary_seconds": summed - opened,
        "counts_seconds": counted - summed,
        "missing_seconds": asked - counted,
        "reopen_seconds": counted - began,
        "reopen_peak_mb": peak_mb(),
    }


def read(path: Path, count: int, tokens: int) -> dict[str, float]:
    """Stream verdicts, then whole rollouts."""
    with Run.open(path) as run:
        began = time.perf_counter()
        outcomes = sum(1 for _ in run.outcome_rows("bench/1"))
        judged = time.perf_counter()
        total = sum(rollout.n_tokens for rollout in run.rollouts())
        done = time.perf_counter()
    assert (outcomes, total) == (count, count * tokens), "a body is lost"
    return {
        "outcome_rows_per_second": count / (judged - began),
        "bodies_per_second": count / (done - judged),
        "read_peak_mb": peak_mb(),
    }


PHASES = {"write": write, "score": score, "reopen": reopen, "read": read}


def in_process(phase: str, path: Path, count: int, tokens: int) -> dict[str, float]:
    """Run one phase in a fresh interpreter."""
    command = [sys.executable, __file__, "--phase", phase, "--run", str(path)]
    command += ["--rollouts", str(count), "--tokens", str(tokens)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(answer.stdout)
    return found


def main() -> None:
    """Measure all phases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=100_000)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    count, tokens = options.rollouts, options.tokens
    if options.phase:
        print(json.dumps(PHASES[options.phase](options.run, count, tokens)))
        return
    found: dict[str, float] = {"rollouts": count, "tokens": tokens}
    with tempfile.TemporaryDirectory() as folder:
        for phase in PHASES:
            found |= in_process(phase, Path(folder) / "run", count, tokens)
    if options.json:
        print(json.dumps(found))
        return
    print("| what | value |\n|---|---:|")
    for name, value in found.items():
        print(f"| {name.replace('_', ' ')} | {value:,.{0 if value >= 100 else 3}f} |")


if __name__ == "__main__":
    main()

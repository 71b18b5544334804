"""How long every family of measures takes over a stored run, and in how much memory.

    python benchmarks/bench_measures.py [--rollouts 100000] [--seed 0] [--json]

The run is made with a seed: chains of 50 sentences, with 90 rollouts and 10 forced answers from each of their prefixes.
A rollout says the chain's own sentence with chance 1/2, else goes on by itself, out of 2,000 sentences; right answers
grow more frequent along the chain. Each family runs over all chains in a process of its own, so that its peak memory is
its own; the first row opens the run and reads its chains, which all others do too.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from cotlab.chains.chain import Chain
from cotlab.chains.cutting import get_cutter
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.rollout import Rollout
from cotlab.chains.score import Score
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.step import Step
from cotlab.interventions import Baseline, ForceAnswer
from cotlab.models.engine_card import EngineCard
from cotlab.runs import NewPrefix, Run, RunIdentity

if TYPE_CHECKING:
    from cotlab.measures import Metric

IDENTITY = RunIdentity("bench", "bench", "plain", "<think>", "</think>")
SETTINGS, BASELINE, SCORER = SamplingSettings(), Baseline(), "answers/1"
CARD = EngineCard("markov", "bench", "0", "bench", "plain", "float32")
CUTTER = get_cutter("sentences").id
STEPS, DRAWN, FORCED, POOL, SAID, TOKENS = 50, 90, 10, 2_000, 12, 12
"""Sentences of a chain; rollouts and forced answers of a prefix; sentences in all, in a rollout; tokens."""
STUB = ForceAnswer("</think> \\boxed{")


def sentence(number: int) -> tuple[tuple[int, ...], str]:
    """Tokens and text of one of the pool's sentences; chains have their own, behind the pool's."""
    ids = tuple(range(1_000 + TOKENS * number, 1_000 + TOKENS * (number + 1)))
    return ids, f"Way {number % 97} takes {number} to {number // 7 + 3}, so we look at what {number // 3} leaves. "


def joined(numbers: list[int]) -> tuple[tuple[int, ...], str]:
    """Several sentences as one."""
    parts = [sentence(number) for number in numbers]
    return tuple(i for ids, _ in parts for i in ids), "".join(text for _, text in parts)


def make(path: Path, count: int, seed: int) -> None:
    """Write a run of about `count` rollouts, scored."""
    rng = random.Random(seed)
    with Run.create(path, IDENTITY) as run:
        run.add_settings(SETTINGS)
        run.add_engine_card(CARD)
        run.add_intervention(BASELINE)
        study_id = run.add_study({"n": DRAWN}, seed)
        for number in range(max(count // (STEPS * (DRAWN + FORCED)), 1)):
            one_chain(run, study_id, number, rng)


def one_chain(run: Run, study_id: str, number: int, rng: random.Random) -> None:
    """A chain with its prefixes, its rollouts and what they are worth."""
    problem = Problem(f"What is {number}?", "7")
    prompt = Prefix((1, 2, number + 3), 3)
    own = [POOL + STEPS * number + k for k in range(STEPS)]
    response, said = joined(own)
    run.add_problems([problem])
    prefixes, forced = [prompt], []
    new = [NewPrefix(prompt, problem.id, text="prompt")]
    for k in range(1, STEPS):
        here = prompt.extend(response[: k * TOKENS])
        text = joined(own[:k])[1]
        new.append(NewPrefix(here, problem.id, prefixes[-1], "continue", text=text))
        stubbed = here.extend((7, 8, 9))
        new.append(NewPrefix(stubbed, problem.id, here, "edit", [STUB.to_json()], text=text + STUB.text))
        prefixes.append(here)
        forced.append(stubbed)
    run.add_prefixes(new)
    source = drawn(prefixes, forced, own, rng)
    while block := list(islice(source, 2_000)):
        run.add_rollouts((rollout for rollout, _ in block), study_id=study_id)
        run.add_scores(Score("rollout", rollout.id, SCORER, verdict(answer)) for rollout, answer in block)
    base = rollout_of(prompt, 2_000_000, response, said)
    run.add_rollouts([base], study_id=study_id)
    run.add_scores([Score("rollout", base.id, SCORER, verdict("7"))])
    steps = tuple(Step(k, k * TOKENS, (k + 1) * TOKENS, sentence(n)[1]) for k, n in enumerate(own))
    run.add_chain(Chain(problem.id, base.id, prompt.token_ids, response, CUTTER, steps, "random"))


def drawn(
    prefixes: list[Prefix], forced: list[Prefix], own: list[int], rng: random.Random
) -> Iterator[tuple[Rollout, str]]:
    """Rollouts with their answers: of every prefix, then of every forced one."""
    for k, prefix in enumerate(prefixes):
        for idx in range(DRAWN):
            stays = 0
            while k + stays < STEPS and stays < SAID and rng.random() < 0.5:
                stays += 1
            others = [rng.randrange(POOL) for _ in range(SAID - stays)]
            yield rollout_of(prefix, idx, *joined([*own[k : k + stays], *others])), answered((k + stays) / STEPS, rng)
    for k, prefix in enumerate(forced, 1):
        for idx in range(FORCED):
            yield rollout_of(prefix, idx, (5,), "7}"), answered(k / STEPS, rng)


def rollout_of(prefix: Prefix, idx: int, ids: tuple[int, ...], text: str) -> Rollout:
    """As an engine yields it."""
    keys = (prefix.id, BASELINE.id, SETTINGS.id, CARD.id)
    return Rollout(*keys, idx, idx, text, "stop", ids, (-0.5,) * len(ids))


def answered(share: float, rng: random.Random) -> str:
    """The right answer the more often the further the chain was kept."""
    return "7" if rng.random() < 0.2 + 0.6 * share else rng.choice("1235")


def verdict(answer: str) -> dict[str, str]:
    """What a scorer says."""
    return {"answer": answer, "key": answer, "outcome": "correct" if answer == "7" else "wrong"}


def family(
    measure: str, similarity: str = "text", *, metric: Metric = "delta-v", variant: str | None = None
) -> Callable[[Run, Chain], object]:
    """One measure of every step."""

    def work(run: Run, chain: Chain) -> object:
        from cotlab.measures import load_similarity, measure_steps

        similar = load_similarity(similarity, run.problems()[chain.problem_id])
        return measure_steps(run, chain, measure, scorer_id=SCORER, metric=metric, variant=variant, similarity=similar)

    return work


def progress(run: Run, chain: Chain) -> object:
    """Lucky or steady."""
    from cotlab.measures import chain_progress

    return chain_progress(run, chain, scorer_id=SCORER)


def forks(run: Run, chain: Chain) -> object:
    """The smoothed outcome curve with its change points."""
    from cotlab.measures import chain_curve

    return chain_curve(run, chain, scorer_id=SCORER)


def determinism(run: Run, chain: Chain) -> object:
    """How alike what follows is."""
    from cotlab.measures import chain_determinism

    return chain_determinism(run, chain, scorer_id=SCORER)


def graph(run: Run, chain: Chain) -> object:
    """Equal texts merged, with returns and re-joining."""
    from cotlab.reports.search import search_report

    return search_report(run, [chain], run.problems()[chain.problem_id], states="text", scorer_id=SCORER)


def report(run: Run, chain: Chain) -> object:
    """What `cotlab tree` and the HTML report show."""
    from cotlab.reports.study import StudyView, chain_report

    return chain_report(run, chain, StudyView(SCORER))


FAMILIES: dict[str, Callable[[Run, Chain], object]] = {
    "open, no measure": lambda run, chain: None,
    "resampling, delta-v": family("resampling"),
    "resampling, kl": family("resampling", metric="kl"),
    "counterfactual, tv": family("counterfactual", metric="tv"),
    "counterfactual, chars": family("counterfactual", "chars"),
    "different-trajectories": family("different-trajectories"),
    "overdeterminedness": family("overdeterminedness"),
    "sentence to sentence": family("sentence"),
    "sentence to sentence, chars": family("sentence", "chars"),
    "forced-answer": family("forced-answer"),
    "thought-anchors variant": family("counterfactual", variant="thought-anchors"),
    "progress": progress,
    "forks": forks,
    "determinism": determinism,
    "state graph": graph,
    "report of a chain": report,
}


def measured(name: str, path: Path) -> dict[str, float]:
    """One family over all chains of a run."""
    began, cpu_began = time.perf_counter(), time.process_time()
    with Run.open(path) as run:
        for chain in run.chains():
            FAMILIES[name](run, chain)
    return {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu_began,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def in_process(name: str, path: Path) -> dict[str, float]:
    """The same in a fresh interpreter."""
    command = [sys.executable, __file__, "--family", name, "--run", str(path)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def main() -> None:
    """Make the run, measure all families."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--family", choices=FAMILIES, help=argparse.SUPPRESS)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.family:
        print(json.dumps(measured(options.family, options.run)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        make(path, options.rollouts, options.seed)
        with Run.open(path) as run:
            chains, rollouts = len(run.chains()), run.summary().rollouts
        found = {name: in_process(name, path) for name in options.only}
    if options.json:
        print(json.dumps({"rollouts": rollouts, "chains": chains, "families": found}))
        return
    print(
        f"## Measures\n\n{rollouts:,} rollouts of {chains} chains of {STEPS} sentences; all chains, one after another\n"
    )
    print("| measure | seconds | CPU seconds | peak MB |\n|---|---:|---:|---:|")
    for name, row in found.items():
        print(f"| {name} | {row['seconds']:.2f} | {row['cpu_seconds']:.2f} | {row['peak_mb']:.0f} |")


if __name__ == "__main__":
    main()

"""Samples held-out problems at temperature 1 and measures the gate with the oracle; writes results.json and results.md.

python experiments/tiny-reasoner/evaluate.py --countdown 600 --solve 400
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vocabulary import BOS

from cotlab import stats, tiny
from cotlab.chains import Prefix, SamplingSettings
from cotlab.engines import Failure, Request, open_engine
from cotlab.identity import seed_for
from cotlab.interventions import Condition

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Sampled:
    """A completion with its labels."""

    problem: tiny.TinyProblem
    text: str
    n_tokens: int
    finished: bool
    steps: tuple[tiny.LabelledStep, ...]

    @property
    def correct(self) -> bool:
        """Whether it ended with a right answer."""
        return self.finished and tiny.check_answer(self.problem, self.text) is True

    @property
    def well_formed(self) -> bool:
        """Ends by itself, closes its thoughts once, answers in a box, and every sentence is one of the language."""
        closed = self.text.count("</think>") == 1 and tiny.check_answer(self.problem, self.text) is not None
        return self.finished and closed and all(step.category != "unknown" for step in self.steps)

    @property
    def backtracks(self) -> bool:
        """Whether any sentence goes back."""
        return any(step.backtracks for step in self.steps)


def sample(folder: Path, problems: list[tiny.TinyProblem], seed: int, max_new: int = 600) -> list[Sampled]:
    """One completion per problem at temperature 1, in the order of the problems."""
    settings = SamplingSettings(temperature=1.0, top_p=1.0, max_tokens=max_new)
    opened = open_engine(str(folder))
    sampled: dict[int, Sampled] = {}
    with opened.engine as engine:
        tokenizer = engine.tokenizer
        prompts = [tokenizer.encode(f"{BOS}<｜User｜>{p.question}<｜Assistant｜><think>\n") for p in problems]
        requests = [
            Request(Condition(Prefix(tuple(ids), len(ids)), settings), place, seed_for(seed, str(place), 0))
            for place, ids in enumerate(prompts)
        ]
        for result in engine.sample(requests):
            if isinstance(result, Failure):
                raise SystemExit(f"problem {result.request.sample_idx} was not sampled: {result.error}")
            text, problem = result.text, problems[result.sample_idx]
            steps = tiny.parse_chain(problem, text)
            sampled[result.sample_idx] = Sampled(problem, text, result.n_tokens, result.finish_reason == "stop", steps)
            if len(sampled) % 100 == 0:
                print(f"{len(sampled)}/{len(problems)} sampled", flush=True)
    return [sampled[place] for place in range(len(problems))]


def written(problems: list[tiny.TinyProblem], seed: int) -> list[Sampled]:
    """The generator's own chains for the same problems: what the model was taught to do."""
    rng = random.Random(seed)
    chains = [tiny.write_chain(problem, rng) for problem in problems]
    return [Sampled(chain.problem, chain.text, 0, True, chain.steps) for chain in chains]


def measure(chains: list[Sampled]) -> dict[str, Any]:
    """Every figure of the model card, as estimates with Wilson intervals."""
    steps = [step for chain in chains for step in chain.steps]
    computing = [step for step in steps if step.computations]
    decisions = tiny.count_decisions(chain.steps for chain in chains)

    def share(test: Callable[[Sampled], bool], of: list[Sampled] = chains) -> dict[str, Any]:
        return ratio(sum(map(test, of)), len(of))

    figures = {
        "correct": share(lambda chain: chain.correct),
        "well_formed": share(lambda chain: chain.well_formed),
        "backtracks": share(lambda chain: chain.backtracks),
        "correct_with_backtracking": share(lambda chain: chain.correct, [c for c in chains if c.backtracks]),
        "correct_without": share(lambda chain: chain.correct, [c for c in chains if not c.backtracks]),
        "gives_up": share(lambda chain: any(step.kind.startswith("give_up") for step in chain.steps)),
        "slips": ratio(sum(step.slips for step in computing), sum(step.computations for step in computing)),
        "sound_steps": ratio(sum(step.sound for step in steps), len(steps)),
        "backtracking_steps": ratio(sum(step.backtracks for step in steps), len(steps)),
        "checking_steps": ratio(sum(step.category == "self_checking" for step in steps), len(steps)),
        "backtrack_after_failure": ratio(decisions.backtracked, decisions.failed),
        "check_after_computation": ratio(decisions.checked, decisions.computed),
        "verify_solution": ratio(decisions.verified, decisions.solved),
    }
    means = {
        "steps": sum(len(chain.steps) for chain in chains) / len(chains),
        "tokens": sum(chain.n_tokens for chain in chains) / len(chains),
    }
    return {**figures, "means": means}


def ratio(successes: int, n: int) -> dict[str, Any]:
    """A share with its interval; `value` is null where there is nothing to count."""
    estimate = stats.proportion_estimate(successes, n).to_json()
    return {name: estimate[name] for name in ("value", "low", "high", "n")}


def gate(figures: dict[str, Any], slips: float, planted: float) -> dict[str, bool]:
    """The gate for shipping."""
    countdown = figures["countdown"]["correct"]["value"]
    return {
        "countdown 60% to 90%": 0.60 <= countdown <= 0.90,
        "solve >= 70%": figures["solve"]["correct"]["value"] >= 0.70,
        "slips within 1 point of planted": abs(slips - planted) <= 0.01,
        "well-formed >= 97%": figures["all"]["well_formed"]["value"] >= 0.97,
        "backtracking rollouts >= 40%": figures["all"]["backtracks"]["value"] >= 0.40,
    }


def table(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = ["| group | what | sampled (95% interval, n) | generator |", "|---|---|---|---|"]
    for group, figures in results["sampled"].items():
        for name, figure in figures.items():
            if name == "means":
                continue
            taught = results["generator"][group][name]["value"]
            if figure["value"] is None:
                continue
            cell = f"{figure['value']:.1%} ({figure['low']:.1%} to {figure['high']:.1%}, {figure['n']})"
            lines.append(f"| {group} | {name} | {cell} | {'' if taught is None else f'{taught:.1%}'} |")
    verdicts = [f"- {'pass' if passed else 'FAIL'}: {name}" for name, passed in results["gate"].items()]
    return "\n".join([*verdicts, "", *lines, ""])


def groups(chains: list[Sampled]) -> dict[str, list[Sampled]]:
    """All, by family, by manner."""
    split = {"all": chains}
    split |= {family: [c for c in chains if c.problem.family == family] for family in tiny.FAMILIES}
    split |= {manner: [c for c in chains if c.problem.manner == manner] for manner in tiny.MANNERS}
    return {name: members for name, members in split.items() if members}


def main() -> None:
    """Read the command line, sample, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=tiny.model_path())
    parser.add_argument("--countdown", type=int, default=600, help="held-out Countdown problems")
    parser.add_argument("--solve", type=int, default=400, help="held-out solve problems")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--show", type=int, default=0, help="print this many rollouts")
    args = parser.parse_args()
    problems = tiny.generate_problems(args.countdown, args.seed, "countdown", split="heldout")
    problems += tiny.generate_problems(args.solve, args.seed, "solve", split="heldout")
    begun = time.monotonic()
    chains = sample(args.model, problems, args.seed)
    seconds = time.monotonic() - begun
    taught = written(problems * 4, args.seed)
    sampled_figures = {name: measure(members) for name, members in groups(chains).items()}
    slips = sampled_figures["all"]["slips"]["value"]
    results = {
        "model": str(args.model),
        "seed": args.seed,
        "seconds": round(seconds, 1),
        "planted": {"slips": tiny.SLIP_RATE, "heldout_percent": tiny.HELDOUT_PERCENT},
        "gate": gate(sampled_figures, slips, tiny.SLIP_RATE),
        "sampled": sampled_figures,
        "generator": {name: measure(members) for name, members in groups(taught).items()},
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (args.out / "results.md").write_text(table(results))
    for chain in chains[:: max(1, len(chains) // args.show)][: args.show] if args.show else []:
        print(f"\n{chain.problem.question} [{'right' if chain.correct else 'WRONG'}]\n{chain.text}")
        print(
            "  not sound:",
            [s.text for s in chain.steps if not s.sound],
            "slips:",
            [s.text for s in chain.steps if s.slips],
        )
    print(table(results))


if __name__ == "__main__":
    main()

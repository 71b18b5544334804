"""Does importance point at what the oracle says matters? And do recovered states match the true ones?

    python experiments/oracle-importance/detect.py                  # samples what is missing, writes results.json
    python experiments/oracle-importance/detect.py --n-problems 40 --rollouts 100

1. Chains of the tiny reasoner on held-out problems are resampled at every step (`cotlab.resample`: killed and started
   again it goes on where it stopped; other weights are another model, and need another --run).
2. The oracle says of every step whether it slips and whether the target can still be reached after it.
3. AUC of a measure as a detector of such steps; interval from drawing problems again, p from moving the oracle's labels
   along each chain, around its end: neighbouring steps share rollouts and kinds of steps have their places.
4. States of all rollouts: exact ones against the true search tree of Countdown; those by similarity against exact ones.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import cotlab as ct
from cotlab.chains.chain import Chain
from cotlab.errors import UserError
from cotlab.measures import MiniLM, SimilarStates, embedder_by_name, recovery
from cotlab.reports import ChainReport
from cotlab.runs import Run
from cotlab.sampling import ORACLE_ID
from cotlab.stats import Estimate, cluster_auc, cluster_mean
from cotlab.trees import SaidRollout, SaidStates, StateReader, TinyStates, said_by, search_truth, state_paths

HERE = Path(__file__).parent
READERS = ("text", "chars", "minilm")
SENTENCES = 3_000
"""Most sentences of a problem whose states are compared."""


@dataclass(frozen=True, slots=True)
class OracleStep:
    """A step with what was measured at it and what is true of it."""

    problem: str
    chain: str
    effect: float
    """ΔV."""
    place: float
    """Share of the chain that lies before it."""
    slips: bool
    closes: bool
    """The target could be reached before it, and cannot after it without going back."""
    opens: bool


def oracle_steps(run: Run, scorer_id: str) -> list[OracleStep]:
    """Every step of every chain that has an estimate."""
    labels = {score.subject_id: score.value for score in run.scores("step", ORACLE_ID)}
    found: list[OracleStep] = []
    for chain in run.chains():
        found += _chain_steps(chain, ct.chain_report(run, chain, ct.StudyView(scorer_id)), labels)
    return found


def _chain_steps(chain: Chain, report: ChainReport, labels: dict[str, dict[str, Any]]) -> list[OracleStep]:
    steps, before = list[OracleStep](), True
    for step in report.steps:
        label = labels[f"{chain.id}/{step.idx}"]
        after = before if label["reachable"] is None else label["reachable"]
        if step.importance.value is not None:
            steps.append(
                OracleStep(
                    problem=chain.problem_id,
                    chain=chain.id,
                    effect=step.importance.value,
                    place=step.idx / len(report.steps),
                    slips=bool(label["slips"]),
                    closes=before and not after,
                    opens=after and not before,
                )
            )
        before = after
    return steps


def detection(steps: Sequence[OracleStep]) -> dict[str, Any]:
    """AUCs of signed and unsigned importance, and of the place alone."""
    problems, chains = [step.problem for step in steps], [step.chain for step in steps]
    fall, size, place = ([f(step) for step in steps] for f in (_fall, _size, _place))
    truths = {
        "harm: slips, or closes the way": [step.slips or step.closes for step in steps],
        "closes the way": [step.closes for step in steps],
        "slips": [step.slips for step in steps],
        "goes back from a dead end": [step.opens for step in steps],
        "any of these": [step.slips or step.closes or step.opens for step in steps],
    }
    rows: dict[str, Any] = {}
    for name, truth in truths.items():
        rows[name] = {
            "steps": int(np.sum(truth)),
            "−ΔV": _told(cluster_auc(fall, truth, problems, blocks=chains)),
            "|ΔV|": _told(cluster_auc(size, truth, problems, blocks=chains)),
            "place": _told(cluster_auc(place, truth, problems, blocks=chains)),
        }
    return rows


def _fall(step: OracleStep) -> float:
    return -step.effect


def _size(step: OracleStep) -> float:
    return abs(step.effect)


def _place(step: OracleStep) -> float:
    return step.place


def effects(steps: Sequence[OracleStep]) -> dict[str, Any]:
    """Mean ΔV of steps by what the oracle says of them."""
    groups = {
        "slips": [step for step in steps if step.slips],
        "closes the way": [step for step in steps if step.closes and not step.slips],
        "goes back from a dead end": [step for step in steps if step.opens],
        "none of these": [step for step in steps if not (step.slips or step.closes or step.opens)],
    }
    return {
        name: _told(cluster_mean([step.effect for step in group], [step.problem for step in group]))
        for name, group in groups.items()
    }


def states(run: Run, scorer_id: str) -> dict[str, Any]:
    """Precision and recall of exact states against the true tree, and of similar ones against exact ones."""
    problems, truths, recovered = run.problems(), [], dict[str, list[dict[str, Any]]]()
    for problem_id in dict.fromkeys(chain.problem_id for chain in run.chains()):
        problem = problems[problem_id]
        rollouts = said_by(run, run.chains(problem_id), scorer_id=scorer_id)
        exact = TinyStates(problem)
        try:
            truths.append(search_truth(problem, state_paths(rollouts, exact)))
        except UserError:
            pass  # guess and check has no search tree
        for name in READERS:
            if name == "minilm" and not MiniLM.installed():
                continue
            reader = SaidStates() if name == "text" else SimilarStates(embedder_by_name(name))
            recovered.setdefault(reader.id, []).append(_recovered(rollouts, exact, reader))
    rows = range(len(truths))
    return {
        "Countdown problems": len(truths),
        "precision": _told(cluster_mean([truth.precision for truth in truths], rows)),
        "recall": _told(cluster_mean([truth.recall for truth in truths], rows)),
        "moves inside the tree": _told(cluster_mean([truth.visits.value or 0 for truth in truths], rows)),
        "recovered by similarity": {
            reader: {
                part: _told(cluster_mean(values, range(len(values))))
                for part in ("precision", "recall", "rand")
                if (values := [row[part] for row in found if row[part] is not None])
            }
            for reader, found in recovered.items()
        },
    }


def _recovered(rollouts: Sequence[SaidRollout], exact: StateReader, reader: StateReader) -> dict[str, Any]:
    """Agreement on the sentences that move, of the first rollouts."""
    few, n = [], 0
    for rollout in rollouts:
        if n < SENTENCES:
            few.append(rollout)
            n += len(rollout.said)
    true, found = list[str](), list[str]()
    for exact_states, read_states in zip(exact.read(few), reader.read(few), strict=True):
        for at in range(1, len(exact_states)):
            if exact_states[at] != exact_states[at - 1]:
                true.append(exact_states[at])
                found.append(read_states[at])
    result = recovery(true, found)
    return {"precision": result.precision, "recall": result.recall, "rand": result.rand}


def _told(estimate: Estimate) -> dict[str, Any]:
    if estimate.value is None:
        return {"reason": estimate.reason}
    kept = {"value": estimate.value, "low": estimate.low, "high": estimate.high, "p": estimate.p}
    return {name: round(value, 3) for name, value in kept.items() if value is not None} | {"n": estimate.n}


def main() -> None:
    """Sample what is missing, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n-problems", type=int, default=24)
    parser.add_argument("--rollouts", type=int, default=30, help="from every prefix")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--run", type=Path, default=Path("runs/oracle-importance"))
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    args = parser.parse_args()
    started = time.process_time()
    study = ct.resample(
        problems="tiny",
        n_problems=args.n_problems,
        model="tiny",
        engine=args.engine,
        base=("random",),
        n=args.rollouts,
        seed=args.seed,
        run=args.run,
    )
    with ct.Run.open(study.path) as run:
        steps = oracle_steps(run, study.scorer_id)
        card = run.engine_cards()[study.engine_card_id]
        results = {
            "problems": len({step.problem for step in steps}),
            "steps": len(steps),
            "rollouts": run.summary().rollouts,
            "rollouts a prefix": args.rollouts,
            "seed": args.seed,
            "engine": study.engine,
            "model revision": card.revision,
            "detection": detection(steps),
            "mean ΔV": effects(steps),
            "states": states(run, study.scorer_id),
        }
    results["cpu_seconds"] = round(time.process_time() - started)
    args.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(results["detection"], ensure_ascii=False))


if __name__ == "__main__":
    main()

"""Train and judge the category model.

    python experiments/sentence-categories/classify.py --data FOLDER            # results.json
    python experiments/sentence-categories/classify.py --data FOLDER --ship     # and the weights of the package

FOLDER holds `{model}/{kind}/problem_N/{problem,chunks_labeled}.json`, as the math-rollouts data set does.

1. A fold is a problem: all traces of it, by both models, are left out of training together.
2. Agreement is Cohen's κ with the judge's first tag, with an interval from drawing problems again.
3. Rows of the ablation change one thing each. The tiny reasoner's chains, whose labels are exact, are trained on beside
   the traces; what that does to either is told apart.
4. The ceiling: how well the judge agrees with itself on sentences that are equal but for their numbers, between traces.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from fit import Labelled, Penalty, fit

from cotlab import tiny
from cotlab.categories import CategoryModel, backtracks, sentence_features
from cotlab.categories.lexicon import NUMBER
from cotlab.chains.categories import CATEGORIES, Category
from cotlab.stats import cluster_kappa
from cotlab.stats.kappa import kappa

HERE = Path(__file__).parent
WEIGHTS = HERE.parents[1] / "src" / "cotlab" / "categories" / "weights"
JUDGED: tuple[Category, ...] = tuple(category for category in CATEGORIES if category != "unknown")
TINY_TRAIN, TINY_TEST, TINY_WEIGHT = 150, 200, 0.3


@dataclass(frozen=True, slots=True)
class Told:
    """What a model says of sentences that it was not trained on."""

    truth: tuple[str, ...]
    said: tuple[str, ...]
    problems: tuple[str, ...]

    def kappa(self, category: str | None = None) -> dict[str, Any]:
        """Of all categories, or of one against the others."""
        sides = (
            [self.truth, self.said]
            if category is None
            else [[x == category for x in s] for s in (self.truth, self.said)]
        )
        found = cluster_kappa(sides[0], sides[1], self.problems)
        return {"kappa": _round(found.value), "low": _round(found.low), "high": _round(found.high), "n": found.n}


def read_traces(data: Path) -> list[Labelled]:
    """Labelled traces below a folder."""
    traces = []
    for path in sorted(data.glob("*/*/problem_*/chunks_labeled.json")):
        name = "/".join(path.parts[-4:-1])
        question = json.loads((path.parent / "problem.json").read_text(encoding="utf-8"))["problem"]
        chunks = json.loads(path.read_text(encoding="utf-8"))
        sentences = tuple(chunk["chunk"] for chunk in chunks)
        features = tuple(sentence_features(sentences, question))
        traces.append(Labelled(name, path.parts[-2], sentences, features, tuple(c["function_tags"][0] for c in chunks)))
    return traces


def tiny_chains(n: int, seed: int, split: tiny.Split) -> tuple[list[Labelled], list[list[bool]]]:
    """Chains of the tiny reasoner's language with exact labels, and whether each sentence backtracks."""
    rng, chains, back = random.Random(seed), [], []
    for problem in tiny.generate_problems(n, seed=seed, split=split):
        steps = tiny.write_chain(problem, rng).steps
        sentences = tuple(step.text for step in steps)
        features = tuple(sentence_features(sentences, problem.question))
        labels = tuple(step.category for step in steps)
        chains.append(Labelled(problem.key, problem.key, sentences, features, labels, TINY_WEIGHT))
        back.append([step.backtracks for step in steps])
    return chains, back


def left_out(traces: Sequence[Labelled], train: Callable[[list[Labelled]], CategoryModel]) -> Told:
    """What models say of each problem that were trained on the others."""
    truth, said, problems = list[str](), list[str](), list[str]()
    for problem in sorted({trace.problem for trace in traces}):
        model = train([trace for trace in traces if trace.problem != problem])
        for trace in (trace for trace in traces if trace.problem == problem):
            said += _say(model, trace)
            truth += trace.labels
            problems += [problem] * len(trace.labels)
    return Told(tuple(truth), tuple(said), tuple(problems))


def _say(model: CategoryModel, trace: Labelled) -> list[str]:
    """As `CategoryModel.classify`, from features that are there already (an ablation has others)."""
    return [model.categories[at] for at in model.decide(model.from_features(trace.features)).tolist()]


def ablations(
    traces: list[Labelled], penalty: Penalty
) -> dict[str, tuple[list[Labelled], Callable[[list[Labelled]], CategoryModel]]]:
    """Data and training with one thing changed."""

    def without(pattern: str) -> list[Labelled]:
        drop = re.compile(pattern)
        kept = (tuple({k: v for k, v in row.items() if not drop.match(k)} for row in t.features) for t in traces)
        return [replace(trace, features=features) for trace, features in zip(traces, kept, strict=True)]

    def field(chains: list[Labelled]) -> CategoryModel:
        return fit(chains, JUDGED, penalty)

    def apart(chains: list[Labelled]) -> CategoryModel:
        return fit(chains, JUDGED, Penalty(penalty.weights, 1e6))

    words = r"word:|pair:|start\d:|end:"
    return {
        "words of the sentence alone, no transitions": (without(rf"(?!{words})"), apart),
        "without neighbours and transitions": (without(r"cue-?[1-3]:|start\d@|.*@-?1$"), apart),
        "without place, again and phase": (without(r"place:|again:|phase:"), field),
        "traces alone": (traces, field),
    }


def minilm(traces: list[Labelled], penalty: Penalty, width: int = 48) -> dict[str, Any]:
    """κ with MiniLM embeddings (main components) beside the features, where the extra `sentences` is installed."""
    from cotlab.measures.embedders import MiniLM

    vectors = MiniLM().embed([sentence for trace in traces for sentence in trace.sentences])
    centred = vectors - vectors.mean(0)
    main = centred @ np.linalg.svd(centred, full_matrices=False)[2][:width].T
    rows = iter(0.4 * main / main.std())
    wider = [
        replace(
            t,
            features=tuple(
                {**row, **{f"minilm:{i}": float(x) for i, x in enumerate(next(rows))}} for row in t.features
            ),
        )
        for t in traces
    ]
    return left_out(wider, lambda t: fit(t, JUDGED, penalty)).kappa()


def ceiling(traces: Sequence[Labelled]) -> dict[str, Any]:
    """Agreement of the judge with itself on sentences that differ in numbers at most, over pairs of traces.

    Each such sentence weighs the same however often it occurs: one pair of each is drawn, again and again.
    """
    same: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for trace in traces:
        for sentence, label in zip(trace.sentences, trace.labels, strict=True):
            key = " ".join(NUMBER.sub("#", sentence.lower()).split())
            same[key].append((trace.name, trace.problem, label))
    pairs = {
        key: [(a[2], b[2], a[1]) for a, b in combinations(found, 2) if a[0] != b[0]] for key, found in same.items()
    }
    pairs = {key: found for key, found in pairs.items() if found}
    rng, found = random.Random(0), list[dict[str, Any]]()
    for _ in range(50):
        left, right, problems = zip(*(rng.choice(found) for found in pairs.values()), strict=True)
        found.append(cluster_kappa(left, right, problems, n_boot=500).to_json())
    mean = {name: _round(float(np.mean([one[name] for one in found]))) for name in ("value", "low", "high")}
    words = [key for key in pairs if sum(char.isalpha() for char in key) >= 8]
    agree = np.mean([np.mean([a == b for a, b, _ in pairs[key]]) for key in words])
    return {
        "sentences": len(pairs),
        "kappa": mean["value"],
        "low": mean["low"],
        "high": mean["high"],
        "sentences with words": len(words),
        "agreement on those": _round(float(agree)),
    }


def tiny_report(model: CategoryModel, alone: CategoryModel) -> dict[str, Any]:
    """On problems of the tiny reasoner that training had not seen: κ, and backtracks against exact labels."""
    chains, back = tiny_chains(TINY_TEST, 7, "heldout")
    told = {}
    for name, one in (("ships", model), ("trained on traces alone", alone)):
        said = [label for chain in chains for label in _say(one, chain)]
        truth = [label for chain in chains for label in chain.labels]
        problems = [chain.problem for chain in chains for _ in chain.labels]
        told[name] = Told(tuple(truth), tuple(said), tuple(problems)).kappa()
    said_back = np.array([backtracks(sentence) for chain in chains for sentence in chain.sentences])
    true_back = np.array([label for labels in back for label in labels])
    both = int((said_back & true_back).sum())
    told["backtracks"] = {
        "precision": _round(both / max(int(said_back.sum()), 1)),
        "recall": _round(both / max(int(true_back.sum()), 1)),
        "n": int(true_back.sum()),
    }
    return told


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


class Results:
    """What was found, written after each part; parts that are there already are not done again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def part(self, name: str, work: Callable[[], Any]) -> None:
        """Do a part that is not there yet, and keep what it took."""
        if name in self.found:
            return
        started = time.process_time()
        self.found[name] = work()
        took = self.found.setdefault("cpu_seconds", {})
        took[name] = round(time.process_time() - started)
        self.path.write_text(json.dumps(self.found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{name}: {took[name]} CPU seconds", flush=True)


def left_out_report(told: Told) -> dict[str, Any]:
    """κ overall and by category, accuracy and confusion."""
    agree = [a == b for a, b in zip(told.truth, told.said, strict=True)]
    pairs = Counter(zip(told.truth, told.said, strict=True))
    return {
        "sentences": len(told.truth),
        "all": told.kappa(),
        "accuracy": _round(float(np.mean(agree))),
        "by category": {category: told.kappa(category) for category in JUDGED},
        "by problem": _by_problem(told),
        "counts": {category: told.truth.count(category) for category in JUDGED},
        "confusion": {a: {b: pairs[a, b] for b in JUDGED} for a in JUDGED},
    }


def _by_problem(told: Told) -> dict[str, float]:
    rows = list(zip(told.problems, told.truth, told.said, strict=True))
    tables = {problem: np.zeros((len(JUDGED), len(JUDGED))) for problem in dict.fromkeys(told.problems)}
    for problem, truth, said in rows:
        tables[problem][JUDGED.index(truth), JUDGED.index(said)] += 1
    return {problem: round(float(kappa(table)), 3) for problem, table in tables.items()}


def main() -> None:
    """Train, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--ship", action="store_true", help="write the weights that the package ships")
    parser.add_argument("--minilm", action="store_true", help="also with MiniLM embeddings")
    parser.add_argument(
        "--out", type=Path, default=HERE / "results.json", help="parts that it holds are not done again"
    )
    args = parser.parse_args()
    penalty, results, traces = Penalty(), Results(args.out), read_traces(args.data)
    extra, _ = tiny_chains(TINY_TRAIN, 0, "train")
    if args.ship:
        fit([*traces, *extra], JUDGED, penalty).save(WEIGHTS)
    train: dict[str, Callable[[list[Labelled]], CategoryModel]] = {
        "ships": lambda chains: fit([*chains, *extra], JUDGED, penalty),
        "traces alone": lambda chains: fit(chains, JUDGED, penalty),
    }
    results.part("left out", lambda: left_out_report(left_out(traces, train["ships"])))
    results.part("ceiling", lambda: ceiling(traces))
    results.part("tiny", lambda: tiny_report(train["ships"](traces), train["traces alone"](traces)))
    for name, (data, fitted) in ablations(traces, penalty).items():
        results.part(name, lambda data=data, fitted=fitted: left_out(data, fitted).kappa())  # type: ignore[misc]
    if args.minilm:
        results.part("with MiniLM, 48 components", lambda: minilm(traces, penalty))


if __name__ == "__main__":
    main()

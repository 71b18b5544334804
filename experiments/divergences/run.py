"""Coverage, null floor and false positives of KL, TV and counterfactual importance, by simulation; see README.md.

python experiments/divergences/run.py [--studies 100] [--out results.json]
python experiments/divergences/run.py --fresh 60 --seed 20261122 --studies 50      # fresh.json, and its table

With --fresh the laws are drawn at random:

1. A pair of laws has 2, 3, 5, 10 or 20 answers. Before the step p is from a symmetric Dirichlet whose concentration is
   log-uniform in [0.1, 3]; after it p is the same (one pair in four), or (1 − w) of it and w of another law of that
   Dirichlet, w uniform in [0, 1].
2. Every pair has a cell for 20 and 100 rollouts from either prefix, none or 40% of the first saying the step.
3. The table groups cells; the lowest cell of each group stands beside its mean.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotlab.measures.thought_anchors import kl_answers
from cotlab.stats import difference_estimate, divergence_estimate, kl_divergence, total_variation
from cotlab.stats.divergence import Divergence

HERE = Path(__file__).parent
SIZES = (20, 100)
METRICS: tuple[Divergence, ...] = ("kl", "tv")
LONG = [0.5] + [0.025] * 20
LAWS: dict[str, tuple[list[float], list[float]]] = {
    "equal, 3 answers": ([0.5, 0.3, 0.2], [0.5, 0.3, 0.2]),
    "equal, 21 answers": (LONG, LONG),
    "equal, nearly certain": ([0.97, 0.02, 0.01], [0.97, 0.02, 0.01]),
    "near": ([0.5, 0.3, 0.2], [0.6, 0.25, 0.15]),
    "apart": ([0.5, 0.3, 0.2], [0.8, 0.15, 0.05]),
    "far": ([0.2, 0.5, 0.3], [0.9, 0.05, 0.05]),
    "apart, 21 answers": (LONG, [0.8] + [0.01] * 20),
    "from certain": ([0.99, 0.005, 0.005], [0.5, 0.3, 0.2]),
}
"""p(A | before the step) of the rollouts that do not say it, and p(A | after it)."""
Array = NDArray[np.float64]


def cell(
    own: Array, after: Array, n: int, passing: float, metric: Divergence, studies: int, rng: np.random.Generator
) -> dict[str, float]:
    """One cell: `n` rollouts from either prefix, of which a share `passing` of the first says the step."""
    truth = float((kl_divergence if metric == "kl" else total_variation)(passing * after + (1 - passing) * own, after))
    rows = []
    for study in range(studies):
        shared = rng.multinomial(rng.binomial(n, passing), after)
        first = rng.multinomial(n - shared.sum(), own)
        second = rng.multinomial(n, after)
        found = divergence_estimate(first, second, shared, metric=metric, seed=study)
        assert found.value is not None and found.low is not None and found.high is not None and found.p is not None
        assert found.null_mean is not None and found.null_q95 is not None
        rows.append(
            (
                found.low <= truth + 1e-12 and truth <= found.high + 1e-12,
                found.high - found.low,
                found.value - truth,
                found.null_mean,
                found.null_q95,
                found.p < 0.05,
            )
        )
    covered, width, bias, null, q95, rejected = np.array(rows, dtype=float).mean(axis=0).tolist()
    return {
        "truth": truth,
        "coverage": covered,
        "width": width,
        "bias": bias,
        "null_mean": null,
        "null_q95": q95,
        "rejected": rejected,
    }


def counterfactual_cell(
    values: tuple[float, float], n: int, studies: int, rng: np.random.Generator
) -> dict[str, float]:
    """ΔV of the counterfactual form: `n` dissimilar rollouts against 100 after the step."""
    covered, rejected, null = 0, 0, 0.0
    for _ in range(studies):
        k1, k2 = int(rng.binomial(n, values[0])), int(rng.binomial(100, values[1]))
        found = difference_estimate(k1, n, k2, 100)
        assert found.low is not None and found.high is not None and found.p is not None and found.null_q95 is not None
        covered += found.low <= values[1] - values[0] <= found.high
        rejected += found.p <= 0.05
        null += found.null_q95
    return {
        "truth": values[1] - values[0],
        "coverage": covered / studies,
        "rejected": rejected / studies,
        "null_q95": null / studies,
    }


def published_null(studies: int, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Mean and 95% quantile of the published KL between two samples of one distribution, 100 rollouts each."""
    found: dict[str, dict[str, float]] = {}
    for name, (law, _) in LAWS.items():
        if name.startswith("equal"):
            pair = [rng.multinomial(100, law, size=10 * studies) for _ in range(2)]
            values = kl_answers(*pair)
            found[name] = {"mean": float(values.mean()), "q95": float(np.quantile(values, 0.95))}
    return found


ANSWERS = (2, 3, 5, 10, 20)
EQUAL = 0.25
"""Share of pairs of which both laws are one."""


def drawn_laws(count: int, rng: np.random.Generator) -> list[tuple[Array, Array]]:
    """Pairs of laws, before the step and after it."""
    found = []
    for _ in range(count):
        concentration = np.full(int(rng.choice(ANSWERS)), np.exp(rng.uniform(np.log(0.1), np.log(3))))
        before, other = rng.dirichlet(concentration, size=2)
        weight = 0.0 if rng.random() < EQUAL else rng.uniform()
        found.append((before, (1 - weight) * before + weight * other))
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """Coverage by metric, number of rollouts and kind of pair, as Markdown."""
    groups: dict[tuple[str, str, int], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        kind = "equal" if row["equal"] else "2 or 3 answers" if row["answers"] <= 3 else "5 to 20 answers"
        groups[row["metric"], kind, row["n"]].append(row)
        groups[row["metric"], "all", row["n"]].append(row)
    lines = [
        "| metric | laws | n | cells | coverage | lowest cell | bias | null mean | null q95 | rejected |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for (metric, kind, n), cells in sorted(groups.items()):
        mean = {name: float(np.mean([one[name] for one in cells])) for name in cells[0] if name != "metric"}
        lowest = min(one["coverage"] for one in cells)
        lines.append(
            f"| {metric} | {kind} | {n} | {len(cells)} | {mean['coverage']:.3f} | {lowest:.2f} | {mean['bias']:+.3f} "
            f"| {mean['null_mean']:.3f} | {mean['null_q95']:.3f} | {mean['rejected']:.2f} |"
        )
    return "\n".join(lines)


def fresh(laws: int, studies: int, seed: int) -> list[dict[str, Any]]:
    """Cells of pairs of laws that are drawn at random."""
    rng = np.random.default_rng(seed)
    return [
        {
            "law": number,
            "answers": len(before),
            "equal": bool(np.array_equal(before, after)),
            "n": n,
            "passing": passing,
            "metric": metric,
            **cell(before, after, n, passing, metric, studies, rng),
        }
        for number, (before, after) in enumerate(drawn_laws(laws, rng))
        for n in SIZES
        for passing in (0.0, 0.4)
        for metric in METRICS
    ]


def main() -> None:
    """Simulate, write results.json."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--out", type=Path, help="default: results.json, or fresh.json, beside this script")
    parser.add_argument("--fresh", type=int, default=0, help="draw so many pairs of laws instead")
    parser.add_argument("--seed", type=int, default=0, help="of the laws that are drawn")
    asked = parser.parse_args()
    out = asked.out or HERE / ("fresh.json" if asked.fresh else "results.json")
    if asked.fresh:
        began, rows = time.process_time(), fresh(asked.fresh, asked.studies, asked.seed)
        seconds = round(time.process_time() - began, 1)
        told = {"seed": asked.seed, "studies": asked.studies, "divergences": rows, "cpu_seconds": seconds}
        out.write_text(json.dumps(told, indent=1) + "\n")
        print(f"{asked.fresh} pairs of laws, {asked.studies} studies a cell, {seconds} CPU seconds\n\n{table(rows)}")
        return
    started, rng, rows = time.process_time(), np.random.default_rng(0), []
    for name, (own, after) in LAWS.items():
        for n in SIZES:
            for passing in (0.0, 0.4):
                for metric in METRICS:
                    found = cell(np.array(own), np.array(after), n, passing, metric, asked.studies, rng)
                    rows.append({"law": name, "n": n, "passing": passing, "metric": metric, **found})
    counterfactual = [
        {"v_other": a, "v_after": b, "n_dissimilar": n, **counterfactual_cell((a, b), n, 5 * asked.studies, rng)}
        for a, b in ((0.5, 0.5), (0.1, 0.1), (0.2, 0.6), (0.05, 0.5), (0.9, 0.95))
        for n in (10, 20, 50, 100)
    ]
    result: dict[str, Any] = {
        "studies": asked.studies,
        "divergences": rows,
        "counterfactual": counterfactual,
        "published_null": published_null(asked.studies, rng),
        "cpu_seconds": round(time.process_time() - started, 1),
    }
    out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

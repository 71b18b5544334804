"""Coverage of KL and TV on answer laws that nobody looked at before: drawn at random from a seed; see README.md.

python experiments/divergences/fresh.py [--laws 60] [--studies 50] [--seed 20261122] [--out fresh.json]

1. A pair of laws: 2, 3, 5, 10 or 20 answers; p before the step from a symmetric Dirichlet whose concentration is
   log-uniform in [0.1, 3]; p after it the same law (one pair in four), or (1 − w) of it and w of another law of that
   Dirichlet, w uniform in [0, 1].
2. Every pair is a cell with 20 or 100 rollouts from either prefix, none or 40% of the first saying the step, as in run.py.
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
from run import METRICS, SIZES, Array, cell

HERE = Path(__file__).parent
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


def main() -> None:
    """Draw laws, simulate, write fresh.json, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--laws", type=int, default=60)
    parser.add_argument("--studies", type=int, default=50)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--out", type=Path, default=HERE / "fresh.json")
    asked = parser.parse_args()
    started, rng = time.process_time(), np.random.default_rng(asked.seed)
    rows: list[dict[str, Any]] = [
        {
            "law": number,
            "answers": len(before),
            "equal": bool(np.array_equal(before, after)),
            "n": n,
            "passing": passing,
            "metric": metric,
            **cell(before, after, n, passing, metric, asked.studies, rng),
        }
        for number, (before, after) in enumerate(drawn_laws(asked.laws, rng))
        for n in SIZES
        for passing in (0.0, 0.4)
        for metric in METRICS
    ]
    seconds = round(time.process_time() - started, 1)
    result = {"seed": asked.seed, "studies": asked.studies, "divergences": rows, "cpu_seconds": seconds}
    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{asked.laws} pairs of laws, {asked.studies} studies a cell, {seconds} CPU seconds\n\n{table(rows)}")


if __name__ == "__main__":
    main()

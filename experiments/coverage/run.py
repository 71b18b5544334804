"""Do cotlab's intervals cover, and are its discoveries true? Simulated studies with known values.

python experiments/coverage/run.py [--studies 1000] [--only high_pass_rates normal_limit] [--out results.json]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import false_discovery_control, norm

from cotlab.stats import jeffreys, wilson
from cotlab.stats.simulation import (
    Coverage,
    difference_coverage,
    false_discovery_proportion,
    simulate_chains,
    value_coverage,
)

VALUES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
SIZES = (10, 20, 30, 50, 100, 200)
PASS_RATES = (0.0, 0.2, 0.6)
CURVES = {
    "no step matters (V 0.5)": [0.5] * 21,
    "no step matters (V 0.2)": [0.2] * 21,
    "one jump": [0.3] * 10 + [0.6] * 11,
    "up and down": [0.3] * 4 + [0.5] * 4 + [0.3] * 4 + [0.7] * 4 + [0.5] * 5,
    "every second step": [0.1, 0.1, 0.3, 0.3, 0.5, 0.5, 0.7, 0.7, 0.9, 0.9],
}
CHUNK = 1_000
"""Chains that are simulated at once."""
STUDIES_OF_CURVES = ((30, 0.0), (100, 0.0), (30, 0.2))
"""Rollouts a prefix, share that says the next step of the chain."""
HIGH_PASS_RATES = (0.5, 0.8, 0.9)
"""Where most rollouts are shared by neighbouring prefixes, as with a model that is sure of its next step."""
GENTLE_CURVES = {
    "no step matters (V 0.5)": [0.5] * 21,
    "no step matters (V 0.2)": [0.2] * 21,
    "small up and down": [0.4] * 7 + [0.43] * 7 + [0.4] * 7,
}
"""Curves that chains with high pass rates can have: the value cannot jump where nearly all rollouts go on."""


def coverage_row(found: Coverage, measure: str, interval: str, pass_rate: float) -> dict[str, Any]:
    """One row of the coverage table."""
    by_size = np.nanmean(found.covered.reshape(-1, len(SIZES)), axis=0)
    return {
        "measure": measure,
        "interval": interval,
        "pass_rate": pass_rate,
        "coverage": round(float(np.nanmean(found.covered)), 4),
        "by_n": {str(n): round(float(c), 4) for n, c in zip(SIZES, by_size, strict=True)},
        "lowest_cell": round(float(np.nanmin(found.covered)), 4),
        "cells": int(np.isfinite(found.covered).sum()),
        "width": round(float(np.nanmean(found.width)), 4),
    }


def coverage_table(studies: int, seed: int) -> list[dict[str, Any]]:
    """Coverage of V and ΔV over the grid."""
    rows = [
        coverage_row(value_coverage(VALUES, SIZES, studies=studies, rule=rule, seed=seed), "V", rule.__name__, 0.0)
        for rule in (wilson, jeffreys)
    ]
    for rule in (wilson, jeffreys):
        for pass_rate in PASS_RATES:
            found = difference_coverage(VALUES, SIZES, studies=studies, pass_rate=pass_rate, rule=rule, seed=seed)
            rows.append(coverage_row(found, "ΔV", f"newcombe with {rule.__name__}", pass_rate))
    return rows


def discovery_row(name: str, values: list[float], n: int, pass_rate: float, studies: int, seed: int) -> dict[str, Any]:
    """False discovery proportion and power over one curve."""
    null, rng = np.diff(values) == 0, np.random.default_rng(seed)
    p = simulate_chains(values, n, studies=studies, rng=rng, pass_rate=pass_rate).p_values()
    row: dict[str, Any] = {"curve": name, "n": n, "pass_rate": pass_rate}
    for rule in ("bh", "by"):
        adjust = partial(false_discovery_control, axis=-1, method=rule)
        row[f"{rule}_false"] = round(float(false_discovery_proportion(p, null, adjust).mean()), 4)
        row[f"{rule}_power"] = None if null.all() else round(float((adjust(p) <= 0.05)[:, ~null].mean()), 4)
    return row


def discovery_table(studies: int, seed: int) -> list[dict[str, Any]]:
    """False discoveries where few rollouts are shared."""
    cells = [(name, curve, n, rate) for name, curve in CURVES.items() for n, rate in STUDIES_OF_CURVES]
    return [discovery_row(*cell, studies, seed) for cell in cells]


def high_pass_table(studies: int, seed: int) -> list[dict[str, Any]]:
    """False discoveries where most are."""
    cells = [(name, curve, 100, rate) for name, curve in GENTLE_CURVES.items() for rate in HIGH_PASS_RATES]
    return [discovery_row(*cell, studies, seed) for cell in cells]


def normal_limit(chains: int, seed: int, pass_rate: float, steps: int = 20) -> dict[str, float]:
    """Share of chains with a discovery where no step matters and sums are normal, as with very many rollouts.

    A rollout begun at prefix i leaves the chain behind prefix j with probability (1 − r)·r^(j−i); the sum of outcomes
    of each such group is normal with that variance. The values of all prefixes are means over the groups that pass.
    """
    rng, places = np.random.default_rng(seed), np.arange(steps + 1)
    share = np.triu(pass_rate ** np.maximum(places[None, :] - places[:, None], 0) * (1 - pass_rate))
    share[:, -1] /= 1 - pass_rate
    size = np.array([share[: k + 1, k:].sum() for k in places])
    shared = np.array([share[: k + 1, k + 1 :].sum() for k in places[:-1]])
    variance = 1 / size[:-1] + 1 / size[1:] - 2 * shared / (size[:-1] * size[1:])
    found = []
    for _ in range(chains // CHUNK):
        sums = rng.standard_normal((CHUNK, *share.shape)) * np.sqrt(share)
        values = np.stack([sums[:, : k + 1, k:].sum(axis=(1, 2)) / size[k] for k in places], axis=1)
        p = 2 * norm.sf(np.abs(np.diff(values, axis=1)) / np.sqrt(variance))
        found.append((false_discovery_control(p, axis=1) <= 0.05).any(axis=1))
    hit = np.concatenate(found)
    return {
        "pass_rate": pass_rate,
        "chains": len(hit),
        "steps": steps,
        "bh_false": round(float(hit.mean()), 4),
        "se": round(float(hit.std() / len(hit) ** 0.5), 4),
    }


def main() -> None:
    """Run everything and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", help="parts of the results to compute anew; default: all")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"))
    args = parser.parse_args()
    started = time.process_time()
    parts: dict[str, Callable[[], Any]] = {
        "coverage": lambda: coverage_table(args.studies, args.seed),
        "false_discoveries": lambda: discovery_table(args.studies, args.seed),
        "high_pass_rates": lambda: high_pass_table(args.studies, args.seed),
        "normal_limit": lambda: [
            normal_limit(100 * args.studies, args.seed, rate) for rate in (0.0, 0.2, *HIGH_PASS_RATES)
        ],
    }
    results = json.loads(args.out.read_text(encoding="utf-8")) if args.out.exists() else {}
    results |= {"studies": args.studies, "seed": args.seed, "grid": {"values": VALUES, "sizes": SIZES}}
    results |= {name: part() for name, part in parts.items() if name in (args.only or parts)}
    args.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{args.out}: {time.process_time() - started:.0f} CPU seconds")


if __name__ == "__main__":
    main()

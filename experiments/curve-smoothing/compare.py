"""Smooth the stored questions of Forking Fast and compare with the truth from other draws.

    python experiments/curve-smoothing/compare.py FOLDER   # holds deepseek/row*.json.gz and llama/row*.json.gz

Writes results.json. About two minutes on one core.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import baselines
import numpy as np
from curves import TRUTH_DRAWS, Array, Question, load, total_variation
from learn import learn

from cotlab.measures.smoothing import PRIOR, curve_posterior, smooth_curve
from cotlab.stats import cluster_mean
from cotlab.stats.walk import WalkPrior

HERE = Path(__file__).parent
DRAWS = (2, 5, 10, 30)
GOALS = {2: 0.068, 5: 0.055, 10: 0.048, 30: 0.040}
REPEATS = {2: 12, 5: 6, 10: 4, 30: 2}
"""Splits of each question into draws and truth; the slow methods are tried on the first two."""
FOLDS = 17
WIDTHS, REACHES = (3, 5, 7, 9, 13), (0.5, 1.0, 2.0, 3.0, 5.0, 8.0)


def learned_without(questions: list[Question]) -> list[WalkPrior]:
    """For each question a prior that was learned from the others (without it and one more)."""
    curves = [q.split(100, 99)[0].sum(axis=0) * q.gain[:, None] for q in questions]
    fold = np.arange(len(questions)) % FOLDS
    priors = [learn([c for c, f in zip(curves, fold, strict=True) if f != left]) for left in range(FOLDS)]
    return [priors[f] for f in fold]


def errors(questions: list[Question], priors: list[WalkPrior], s: int, mixture: bool) -> dict[str, Array]:
    """Mean total variation of each method on each question, averaged over repeats."""
    found: dict[str, list[list[float]]] = {}
    for question, prior in zip(questions, priors, strict=True):
        for repeat in range(REPEATS[s]):
            draws, truth = (question.mixture if mixture else question.split)(s, repeat)
            for name, curve in _methods(draws, prior, question, mixture, repeat < 2).items():
                rows = found.setdefault(name, [])
                if repeat == 0:
                    rows.append([])
                rows[-1].append(total_variation(curve, truth))
    table = {name: np.array([np.mean(row) for row in rows]) for name, rows in found.items()}
    return {**{n: v for n, v in table.items() if "=" not in n}, **_best_of_others(table)}


def _methods(draws: Array, prior: WalkPrior, question: Question, mixture: bool, slow: bool) -> dict[str, Array]:
    counts, s = draws.sum(axis=0), len(draws)
    posterior = curve_posterior(counts, s, prior=prior)
    found = {
        "raw": baselines.raw(draws),
        "kernel, cross-validated": baselines.cross_validated_kernel(draws),
        "walk, posterior mean": posterior.mean,
        "walk (smooth_curve)": posterior.estimate(),
        "walk, shipped prior": smooth_curve(counts, s),
        **{f"moving average={width}": baselines.moving_average(width)(draws) for width in WIDTHS},
        **{f"kernel={reach}": baselines.kernel(reach)(draws) for reach in REACHES},
    }
    if slow and not mixture:
        found["empirical Bayes of neighbours"] = baselines.empirical_bayes(draws)
        found["product partition"] = baselines.product_partition(draws)
    if not mixture:
        found["walk, draws' worth known"] = smooth_curve(counts, s * question.gain, prior=prior)
    return found


def _best_of_others(table: dict[str, Array]) -> dict[str, Array]:
    """Methods with a width: for each question the width that is best on all other questions."""
    found = {}
    for family in ("moving average", "kernel"):
        names = [name for name in table if name.startswith(f"{family}=")]
        rows = np.array([table[name] for name in names])
        others = rows.sum(axis=1, keepdims=True) - rows
        found[f"{family}, width of other questions"] = rows[others.argmin(axis=0), np.arange(rows.shape[1])]
    return found


def coverage(questions: list[Question], priors: list[WalkPrior], s: int) -> float:
    """Share of (position, category) whose truth lies in the 90% interval of what 100 draws of the posterior show."""
    inside, rng = [], np.random.default_rng(0)
    for question, prior in zip(questions, priors, strict=True):
        draws, truth = question.split(s, 0)
        posterior = curve_posterior(draws.sum(axis=0), s, prior=prior)
        n = np.round(TRUTH_DRAWS * question.gain).astype(int)[:, None, None]
        # Counts lie on a grid, the weighted truth between: spread both over the grid's width.
        shown = (
            rng.binomial(n, np.clip(posterior.samples, 0, 1)) + rng.uniform(-0.5, 0.5, posterior.samples.shape)
        ) / n
        low, high = np.quantile(shown, [0.05, 0.95], axis=-1)
        spread = truth + rng.uniform(-0.5, 0.5, truth.shape) / n[:, :, 0]
        inside.append(((spread >= low) & (spread <= high)).mean())
    return float(np.mean(inside))


def row(values: Array, names: list[str]) -> dict[str, Any]:
    """Mean over questions with its interval."""
    mean = cluster_mean(values, names)
    return {"mean": mean.value, "low": mean.low, "high": mean.high}


def seconds(positions: int = 500, categories: int = 10) -> float:
    """CPU time of one large curve."""
    rng = np.random.default_rng(0)
    counts = rng.multinomial(30, rng.dirichlet(np.ones(categories)), size=positions)
    smooth_curve(counts, 30)
    started = time.process_time()
    smooth_curve(counts, 30)
    return time.process_time() - started


def main(folder: str) -> None:
    """Everything that README.md shows."""
    questions = load(Path(folder))
    names = [question.name for question in questions]
    priors = learned_without(questions)
    tables: dict[str, Any] = {}
    for protocol in ("weighted", "mixture"):
        tables[protocol] = {}
        for s in DRAWS:
            table = errors(questions, priors, s, protocol == "mixture")
            tables[protocol][s] = {name: row(values, names) for name, values in table.items()}
            tables[protocol][s]["walk minus raw"] = row(table["walk (smooth_curve)"] - table["raw"], names)
            for track in ("deepseek", "llama"):
                here = np.array([question.track == track for question in questions])
                tables[protocol][s][f"walk, {track} only"] = {"mean": float(table["walk (smooth_curve)"][here].mean())}
            print(
                protocol, s, {name: round(found["mean"], 4) for name, found in tables[protocol][s].items()}, flush=True
            )
    found = learn([q.split(100, 99)[0].sum(axis=0) * q.gain[:, None] for q in questions], rounds=40)
    document = {
        "questions": len(questions),
        "goals": GOALS,
        "tables": tables,
        "coverage_of_90": {s: coverage(questions, priors, s) for s in DRAWS},
        "prior_learned": asdict(found),
        "prior_shipped": asdict(PRIOR),
        "weighted_gain": float(np.mean(np.concatenate([q.gain for q in questions]))),
        "seconds_500_by_10": seconds(),
    }
    (HERE / "results.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])

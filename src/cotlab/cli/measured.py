"""Measured steps as a table and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cotlab.cli.output import out, print_table
from cotlab.cli.results import SHORT, plain
from cotlab.measures import MeasuredStep, Metric
from cotlab.stats import Estimate

__all__ = ["print_steps", "shown", "step_json"]

ROUNDING = 1e-9
"""Bounds that are less apart are one number."""


def shown(estimate: Estimate, metric: Metric = "delta-v") -> str:
    """`+31 (+20, +41)` in percent for differences and shares, `0.31 (0.20, 0.41)` for divergences."""
    if estimate.value is None:
        return "–"
    scale, form = (100.0, "+.0f") if metric == "delta-v" else (1.0, ".2f")
    value = format(scale * estimate.value, form)
    if estimate.low is None or estimate.high is None or estimate.low == estimate.high:
        return value
    return f"{value} ({format(scale * estimate.low, form)}, {format(scale * estimate.high, form)})"


def step_json(step: MeasuredStep, categories: Mapping[int, str]) -> dict[str, Any]:
    """One row of `cotlab importance --json`; `categories` by step, as far as there are labels."""
    target = {} if step.target is None else {"target": step.target}
    row = {"step": step.step, "until": step.until, **target, "text": step.text}
    bounds = {} if step.bounds is None else {"bounds": list(step.bounds)}
    return {**row, "category": categories.get(step.until - 1), **step.estimate.to_json(), **bounds}


def print_steps(
    title: str, steps: Sequence[MeasuredStep], metric: Metric, categories: Mapping[int, str], *, most: int | None = None
) -> None:
    """A table; with `most`, the largest by absolute value. Of several steps in one row the last one's category.

    Where rollouts were truncated a column says how far their ends could move ΔV.
    """
    kept = list(steps)
    if most is not None:
        kept = sorted(kept, key=lambda one: -abs(one.estimate.value or 0.0))[:most]
    targets = any(step.target is not None for step in kept)
    cut = any(step.bounds is not None and step.bounds[1] - step.bounds[0] > ROUNDING for step in kept)
    rows = [
        [
            str(step.step) if step.until == step.step + 1 else f"{step.step}–{step.until - 1}",
            plain(step.text),
            *([SHORT.get(categories.get(step.until - 1, ""), "")] if categories else []),
            *([str(step.target)] if targets else []),
            shown(step.estimate, metric) + ("*" if step.estimate.q is not None and step.estimate.q < 0.05 else " "),
            *([_ends(step.bounds)] if cut else []),
            "" if step.estimate.null_q95 is None else _floor(step.estimate.null_q95, metric),
            "" if step.estimate.q is None else f"{step.estimate.q:.3f}",
            str(step.estimate.n1) if step.estimate.n1 is not None else "",
            str(step.estimate.n),
            step.estimate.reason or "",
        ]
        for step in kept
    ]
    extra = [*(["category"] if categories else []), *([">target"] if targets else [])]
    heads = [
        ">",
        "step",
        *extra,
        ">importance",
        *([">if cut off"] if cut else []),
        ">null",
        ">q",
        ">n1",
        ">n",
        "reason",
    ]
    if not any(row[-1] for row in rows):
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    print_table(title, heads, rows, wide=1)
    if len(kept) < len(steps):
        out().print(f"the largest {len(kept)} of {len(steps)}; --most shows more, --json all", markup=False)


def _ends(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f"{100 * bounds[0]:+.0f} to {100 * bounds[1]:+.0f}"


def _floor(null: float, metric: Metric) -> str:
    return f"±{100 * null:.0f}" if metric == "delta-v" else f"{null:.2f}"

"""What steps are coloured by: each metric is an estimate for every step, with its interval and n."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cotlab.reports import StepReport
from cotlab.stats import Estimate, proportion_estimate

__all__ = ["METRICS", "Metric", "metric_of", "overdetermined"]

OVER = 0.9
"""Share of the rollouts from which on a step counts as overdetermined."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that every step has."""

    name: str
    told: str
    """What it is, in one sentence."""
    of: Callable[[StepReport], Estimate]
    signed: bool = False


def _otherwise(step: StepReport) -> Estimate:
    """Share of the rollouts from the prefix that say something else: different-trajectories fraction, by text."""
    said, n = _said(step), step.value_before.n
    if not n or not step.alternatives:
        return Estimate.missing("no rollouts from here", method="wilson")
    return proportion_estimate(n - said, n)


def _said(step: StepReport) -> int:
    return next((alternative.n for alternative in step.alternatives if alternative.same_as_base), 0)


METRICS: Mapping[str, Metric] = {
    "dv": Metric("ΔV", "value after the step minus value before it", lambda step: step.importance, signed=True),
    "after": Metric("V after", "chance of a right answer once the step is said", lambda step: step.value_after),
    "otherwise": Metric("says otherwise", "share of the rollouts that say something else here", _otherwise),
}


def metric_of(key: str) -> Metric:
    """The metric of that key; the first where there is none."""
    return METRICS.get(key, METRICS["dv"])


def overdetermined(step: StepReport) -> str:
    """Why a step counts as overdetermined; empty where it does not."""
    said, n = _said(step), step.value_before.n
    if n >= 10 and said / n >= OVER:
        return f"{said} of {n} rollouts say it anyway, so its absence was hardly sampled"
    return ""

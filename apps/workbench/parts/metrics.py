"""What steps are coloured by: each metric is an estimate for every step, with its interval and n.

Those of the report are there at once; measures of the catalogue are computed when they are chosen, and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import streamlit as st

from cotlab.errors import UserError
from cotlab.measures import Metric as Comparison
from cotlab.measures import load_similarity, measure_steps
from cotlab.reports import StepReport
from cotlab.runs import Run
from cotlab.runs.imports.math_rollouts import SCORER as PUBLISHED
from cotlab.stats import Estimate, proportion_estimate
from cotlab.trees import ConditionIds
from parts.library import stamp
from parts.study import Studied

__all__ = ["METRICS", "Metric", "default_metric", "metric_of", "offered", "overdetermined"]

OVER = 0.9
"""Share of the rollouts from which on a step counts as overdetermined."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that every step has."""

    name: str
    told: str
    """What it is, in one sentence."""
    of: Callable[[Studied], list[Estimate]]
    """One estimate for each step of the report."""
    signed: bool = False


def _each(of: Callable[[StepReport], Estimate], studied: Studied) -> list[Estimate]:
    return [of(step) for step in studied.report.steps]


def _otherwise(step: StepReport) -> Estimate:
    """Share of the rollouts from the prefix that say something else: different-trajectories fraction, by text."""
    said, n = _said(step), step.value_before.n
    if not n or not step.alternatives:
        return Estimate.missing("no rollouts from here", method="wilson")
    return proportion_estimate(n - said, n)


def _said(step: StepReport) -> int:
    return next((alternative.n for alternative in step.alternatives if alternative.same_as_base), 0)


@st.cache_data(max_entries=60, show_spinner="measuring …")
def _catalogue(
    path: Path,
    at: tuple[int, ...],
    chain_id: str,
    scorer_id: str,
    condition: ConditionIds | None,
    measure: str,
    comparison: Comparison,
    similarity: str,
) -> dict[int, Estimate] | str:
    """By first step; or why there are none."""
    with Run.open(path) as run:
        chain = next(one for one in run.chains() if one.id == chain_id)
        try:
            found = measure_steps(
                run,
                chain,
                measure,
                scorer_id=scorer_id,
                metric=comparison,
                similarity=load_similarity(similarity, run.problems()[chain.problem_id]),
                condition=condition,
            )
        except UserError as error:
            return str(error)
    return {one.step: one.estimate for one in found}


def _measured(measure: str, comparison: Comparison, studied: Studied) -> list[Estimate]:
    found: dict[int, Estimate] | str = _catalogue(
        studied.path,
        stamp(studied.path),
        studied.chain.id,
        studied.scorer_id,
        studied.condition,
        measure,
        comparison,
        "tiny-state" if studied.origin.states else "text",
    )
    steps = studied.report.steps
    if isinstance(found, str):
        return [Estimate.missing(found) for _ in steps]
    return [found.get(step.idx, Estimate.missing("not measured at this step")) for step in steps]


def _published(column: str, studied: Studied) -> list[Estimate]:
    """Numbers that came with an import; they have neither interval nor null floor."""
    return [
        Estimate(float(told[column]), method="as published")
        if (told := studied.origin.published.get(step.idx, {})).get(column) is not None
        else Estimate.missing("nothing was published for this step")
        for step in studied.report.steps
    ]


_FORMS: Mapping[Comparison, str] = {"delta-v": "ΔV", "kl": "KL", "tv": "TV"}
_TOLD: Mapping[Comparison, str] = {
    "delta-v": "difference of the chances of a right answer",
    "kl": "divergence of the answers, nats; compare it with its null floor, it is never below 0",
    "tv": "total variation of the answers; compare it with its null floor, it is never below 0",
}


def _family(key: str, measure: str, name: str, told: str, forms: tuple[Comparison, ...]) -> dict[str, Metric]:
    return {
        f"{key}-{form}": Metric(
            f"{name}, {_FORMS[form]}", f"{told}: {_TOLD[form]}", partial(_measured, measure, form), form == "delta-v"
        )
        for form in forms
    }


METRICS: Mapping[str, Metric] = {
    "dv": Metric("ΔV", "value after the step minus value before it", partial(_each, lambda s: s.importance), True),
    "after": Metric(
        "V after", "chance of a right answer once the step is said", partial(_each, lambda step: step.value_after)
    ),
    "otherwise": Metric(
        "says otherwise", "share of the rollouts that say something else here", partial(_each, _otherwise)
    ),
    **_family("resampling", "resampling", "resampling", "with the step against without it", ("kl", "tv")),
    **_family(
        "counterfactual",
        "counterfactual",
        "counterfactual",
        "with the step against where something else is said",
        ("delta-v", "kl", "tv"),
    ),
    **_family(
        "forced", "forced-answer", "forced answer", "answers forced behind and before it", ("delta-v", "kl", "tv")
    ),
    "different": Metric(
        "different trajectories",
        "share of the rollouts whose next step says something else",
        partial(_measured, "different-trajectories", "delta-v"),
    ),
    "over": Metric(
        "overdeterminedness",
        "1 − different next steps over all of them",
        partial(_measured, "overdeterminedness", "delta-v"),
    ),
    **{
        f"published-{column}": Metric(
            f"published: {name}", f"{name}, as it came with the import", partial(_published, column), signed
        )
        for column, name, signed in (
            ("accuracy", "accuracy before", False),
            ("resampling_importance_accuracy", "resampling, accuracy", True),
            ("resampling_importance_kl", "resampling, KL", False),
            ("counterfactual_importance_accuracy", "counterfactual, accuracy", True),
            ("counterfactual_importance_kl", "counterfactual, KL", False),
            ("forced_importance_accuracy", "forced, accuracy", True),
            ("forced_importance_kl", "forced, KL", False),
            ("different_trajectories_fraction", "different trajectories", False),
            ("overdeterminedness", "overdeterminedness", False),
        )
    },
}


def metric_of(key: str) -> Metric:
    """The metric of that key; the first where there is none."""
    return METRICS.get(key, METRICS["dv"])


def offered(path: Path) -> list[str]:
    """Keys of the metrics that the chains of a run can have; the empty one is the default."""
    published = _has_published(path, stamp(path))
    return ["", *(key for key in METRICS if published or not key.startswith("published-"))]


@st.cache_data(max_entries=50, show_spinner=False)
def _has_published(path: Path, at: tuple[int, ...]) -> bool:
    with Run.open(path) as run:
        return PUBLISHED in run.scorers()


def default_metric(studied: Studied) -> str:
    """ΔV, or what was published where the rollouts that it takes did not come along."""
    if studied.origin.published and all(step.importance.value is None for step in studied.report.steps):
        return "published-counterfactual_importance_kl"
    return "dv"


def overdetermined(step: StepReport) -> str:
    """Why a step counts as overdetermined; empty where it does not."""
    said, n = _said(step), step.value_before.n
    if n >= 10 and said / n >= OVER:
        return f"{said} of {n} rollouts say it anyway, so its absence was hardly sampled"
    return ""

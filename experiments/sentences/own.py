"""Steps of the model's own chains, rated by every measure."""

from __future__ import annotations

import cotlab as ct
from cotlab import tiny
from cotlab.chains.chain import Chain
from cotlab.measures import Metric, RatedStep, cut_off_reason, measure_steps, similarity_maker
from cotlab.runs import Run
from cotlab.sampling import ORACLE_ID, FinishedStudy
from cotlab.trees import ConditionIds, chain_draws

__all__ = ["COMPARED", "MEASURES", "rated_steps"]

MEASURES: tuple[tuple[str, str, Metric], ...] = (
    ("resampling KL", "resampling", "kl"),
    ("counterfactual KL", "counterfactual", "kl"),
    ("forced-answer KL", "forced-answer", "kl"),
    ("resampling |ΔV|", "resampling", "delta-v"),
    ("counterfactual |ΔV|", "counterfactual", "delta-v"),
    ("forced-answer |ΔV|", "forced-answer", "delta-v"),
    ("different trajectories", "different-trajectories", "delta-v"),
)
"""Name, measure and metric."""
COMPARED = ("resampling KL", "counterfactual KL", "forced-answer KL")
"""Those that are held against each other."""


def rated_steps(study: FinishedStudy, most: int, similarity: str) -> list[RatedStep]:
    """Every single step of the first chains with its category; chains whose reasoning was cut off are left out.

    Args:
        study: Whose chains.
        most: How many of them.
        similarity: Tells whether something else is said; the tiny reasoner's sentences are compared word for word.
    """
    with ct.Run.open(study.path) as run:
        labels = {score.subject_id: score.value for score in run.scores("step", _scorer(run))}
        chains = [chain for chain in run.chains() if chain.id in study.chain_ids][:most]
        return [step for chain in chains for step in _rated(run, chain, study, labels, similarity)]


def _scorer(run: Run) -> str:
    """The oracle where it has labelled steps, else the category model."""
    known = [scorer for scorer in run.scorers() if scorer.startswith("categories/")]
    return ORACLE_ID if ORACLE_ID in run.scorers() else max(known, default=ORACLE_ID)


def _rated(
    run: Run, chain: Chain, study: FinishedStudy, labels: dict[str, dict[str, object]], similarity: str
) -> list[RatedStep]:
    ids = ConditionIds(study.settings.id, study.engine_card_id)
    draws = chain_draws(run, chain, scorer_id=study.scorer_id, condition=ids)
    names = [name for one in draws for name in one.outcome_names()]
    if cut_off_reason(names) is not None or "unjudged" in names:
        return []
    problem = run.problems()[chain.problem_id]
    known = tiny.problem_from_question(problem.question) is not None
    alike = similarity_maker("text" if known else similarity)(problem)
    values: dict[int, dict[str, float]] = {step.idx: {} for step in chain.steps}
    for name, measure, metric in MEASURES:
        at = None if measure == "forced-answer" else ids
        for one in measure_steps(
            run, chain, measure, scorer_id=study.scorer_id, metric=metric, condition=at, similarity=alike
        ):
            if one.until == one.step + 1 and one.estimate.value is not None:
                values[one.step][name] = abs(one.estimate.value)
                if metric == "kl" and one.estimate.null_mean is not None:
                    values[one.step][f"{name}, null floor"] = one.estimate.null_mean
    return [
        RatedStep(
            chain.problem_id,
            chain.id,
            str(labels.get(f"{chain.id}/{step.idx}", {}).get("category", "unknown")),
            step.idx / len(chain.steps),
            values[step.idx],
        )
        for step in chain.steps
    ]

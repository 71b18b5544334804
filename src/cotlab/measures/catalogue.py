"""Every measure of a step by name, as `cotlab importance` shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from cotlab.chains.chain import Chain
from cotlab.chains.tokens import Tokenizer
from cotlab.errors import UserError
from cotlab.measures.along_chain import ChainRollouts, chain_rollouts
from cotlab.measures.contrast import Metric
from cotlab.measures.counterfactual import counterfactual_importance, different_trajectories, overdeterminedness
from cotlab.measures.effects import effect_bounds, importance
from cotlab.measures.forced import ForcedAnswers, forced_answers, forced_importance
from cotlab.measures.sentence import sentence_importance
from cotlab.measures.similarity import ExactText, Similarity
from cotlab.measures.thought_anchors import published_forced, published_importance
from cotlab.runs import Run
from cotlab.stats import Estimate
from cotlab.trees import ConditionIds, Draws

__all__ = ["MEASURES", "VARIANTS", "Measure", "MeasuredStep", "measure_steps"]

Measure: TypeAlias = Literal[
    "resampling", "counterfactual", "forced-answer", "sentence", "different-trajectories", "overdeterminedness"
]
MEASURES: tuple[Measure, ...] = get_args(Measure)
VARIANTS = ("thought-anchors",)
AVOIDING = ("resilience", "counterfactual++", "joint")
"""Measures that need rollouts of their own."""


@dataclass(frozen=True, slots=True)
class MeasuredStep:
    """A step (or several between two sampled positions) and what was measured at it."""

    step: int
    """First step."""
    until: int
    """One past the last."""
    text: str
    estimate: Estimate
    target: int | None = None
    """The later step that it acts on (measure `sentence`)."""
    bounds: tuple[float, float] | None = None
    """ΔV (`resampling`, `forced-answer`) over all ways that the truncated rollouts may have ended."""


def measure_steps(
    run: Run,
    chain: Chain,
    measure: str = "resampling",
    *,
    scorer_id: str,
    metric: Metric = "delta-v",
    variant: str | None = None,
    similarity: Similarity | None = None,
    condition: ConditionIds | None = None,
    tokenizer: Tokenizer | None = None,
) -> tuple[MeasuredStep, ...]:
    """One measure of every step of a chain.

    Args:
        run: Where the rollouts are.
        chain: A chain of the run.
        measure: One of `MEASURES`.
        scorer_id: Whose verdicts count: an id, or a bare name for its last version.
        metric: delta-v, kl or tv, where the measure compares answers.
        variant: `thought-anchors` for the published arithmetic.
        similarity: Tells whether two sentences say the same; default: equal texts.
        condition: Settings and engine; None where the run holds rollouts of one pair only.
        tokenizer: See `cotlab.trees.paths.paths`.

    Raises:
        UserError: There is no such measure or variant, the variant does not have it, or what `chain_rollouts` raises.
    """
    _check(measure, variant, metric)
    if measure == "forced-answer":
        return _forced(
            run, chain, forced_answers(run, chain, scorer_id=scorer_id, condition=condition), metric, variant
        )
    data = chain_rollouts(
        run,
        chain,
        scorer_id=scorer_id,
        condition=condition,
        depth=None if measure == "sentence" else 0 if measure == "resampling" and variant is None else 1,
        tokenizer=tokenizer,
    )
    similar = similarity or ExactText()
    if variant is not None:
        return _published(data, measure, metric, similar)
    if measure == "sentence":
        return tuple(
            MeasuredStep(one.source, one.source + 1, data.steps[one.source], one.estimate, one.target)
            for one in sentence_importance(data, similar)
        )
    return _ours(data, measure, metric, similar)


def _check(measure: str, variant: str | None, metric: Metric) -> None:
    if measure in AVOIDING:
        raise UserError(
            f"measure '{measure}' needs rollouts that never say the steps. Use `cotlab avoid RUN --steps …`"
        )
    if measure not in MEASURES:
        raise UserError(f"no measure is named '{measure}'. Choose one of {', '.join(MEASURES)}")
    if variant is not None and variant not in VARIANTS:
        raise UserError(f"no variant is named '{variant}'. Choose one of {', '.join(VARIANTS)}")
    if variant is not None and metric == "tv":
        raise UserError(f"variant '{variant}' has no metric 'tv'. Choose delta-v (their accuracy form) or kl")
    if variant is not None and measure == "sentence":
        raise UserError(f"variant '{variant}' has no arithmetic of its own for measure 'sentence'. Leave --variant out")


def _ours(data: ChainRollouts, measure: str, metric: Metric, similar: Similarity) -> tuple[MeasuredStep, ...]:
    if measure == "counterfactual":
        return _spans(data, data.pairs(), counterfactual_importance(data, similar, metric=metric))
    if measure == "resampling":
        draws = [data.draws(k) for k in data.sampled()]
        found = _spans(data, data.pairs(), importance(draws, metric=metric))
        return _bounded(found, draws, metric)
    here = [k for k in data.sampled() if k < len(data.steps)]
    shares = different_trajectories(data, similar) if measure == "different-trajectories" else overdeterminedness(data)
    return _spans(data, [(k, k + 1) for k in here], shares)


def _published(data: ChainRollouts, measure: str, metric: Metric, similar: Similarity) -> tuple[MeasuredStep, ...]:
    form = "accuracy" if metric == "delta-v" else "kl"
    column = {
        "different-trajectories": "different_trajectories_fraction",
        "overdeterminedness": "overdeterminedness",
    }.get(measure, f"{measure}_importance_{form}")
    rows = published_importance(data, similar)
    positions = [row.chunk_idx for row in rows]
    ends = [*positions[1:], len(data.steps)] if positions else []
    return _spans(data, list(zip(positions, ends, strict=True)), [getattr(row, column) for row in rows])


def _forced(
    run: Run, chain: Chain, answers: ForcedAnswers, metric: Metric, variant: str | None
) -> tuple[MeasuredStep, ...]:
    pairs = list(zip(answers.positions, answers.positions[1:], strict=False))
    if variant is None:
        found: Sequence[Estimate] = forced_importance(answers, metric=metric)
    else:
        found = [pair[0 if metric == "delta-v" else 1] for pair in published_forced(answers.draws)]
    texts = tuple(step.text for step in chain.steps)
    steps = tuple(
        MeasuredStep(start, end, "".join(texts[start:end]), one) for (start, end), one in zip(pairs, found, strict=True)
    )
    return steps if variant is not None else _bounded(steps, answers.draws, metric)


def _bounded(steps: tuple[MeasuredStep, ...], draws: Sequence[Draws], metric: Metric) -> tuple[MeasuredStep, ...]:
    """Steps between neighbouring draws, with the bounds of ΔV."""
    if metric != "delta-v":
        return steps
    return tuple(replace(step, bounds=one) for step, one in zip(steps, effect_bounds(draws), strict=True))


def _spans(
    data: ChainRollouts, pairs: Sequence[tuple[int, int]], found: Sequence[Estimate]
) -> tuple[MeasuredStep, ...]:
    return tuple(
        MeasuredStep(start, end, "".join(data.steps[start:end]), one)
        for (start, end), one in zip(pairs, found, strict=True)
    )

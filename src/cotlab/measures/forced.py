"""Forced-answer importance: how much one more step moves the answer that the model gives when it must answer now.

At each prefix the thoughts are closed and an answer is begun (`ForceAnswer`); only the rest of the answer is sampled.
The importance of a step is the contrast of the answers forced before and after it (Bogdan et al. 2025, "Thought
Anchors", appendix; Lanham et al. 2023, "early answering"). It says what the model has worked out so far, where
resampling says what it will work out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from cotlab.chains.chain import Chain
from cotlab.errors import UserError
from cotlab.measures.contrast import Metric, contrast
from cotlab.measures.prefix_draws import forced_prefixes
from cotlab.runs import Run
from cotlab.stats import Estimate, FdrRule, with_q
from cotlab.trees import MIN_ROLLOUTS, ConditionIds, Draws, begun_at, resolve_scorer

__all__ = ["ForcedAnswers", "forced_answers", "forced_importance"]


@dataclass(frozen=True, slots=True)
class ForcedAnswers:
    """Answers forced along a chain."""

    text: str
    """What was appended: think-end tag and answer stub."""
    positions: tuple[int, ...]
    """Steps kept, ascending."""
    draws: tuple[Draws, ...]
    """One for each position."""
    condition: ConditionIds | None = None
    """Settings and engine that they were drawn under."""


def forced_answers(
    run: Run,
    chain: Chain,
    *,
    scorer_id: str,
    text: str | None = None,
    condition: ConditionIds | None = None,
) -> ForcedAnswers:
    """Read the forced answers of a chain.

    Args:
        run: Where they are.
        chain: A chain of the run.
        scorer_id: Whose verdicts count.
        text: What was appended; None: what was appended at most positions.
        condition: Settings (what ends a rollout aside: forced answers stop at the end of the line) and engine; None:
            those of most forced answers.

    Raises:
        UserError: No answers were forced along this chain, or not with this text or under this condition.
    """
    known = forced_prefixes(run, chain)
    if not known or (text is not None and text not in known):
        what = "no answers were forced" if not known else f"no answers were forced with {text!r}"
        raise UserError(f"{what} along chain {chain.id}. Sample them: cotlab edit {run.path} --force-answer")
    stub = text if text is not None else max(known, key=lambda one: len(known[one]))
    places = dict(sorted(known[stub].items()))
    scorer = resolve_scorer(run, scorer_id)
    drawn = _most_common(run, list(places.values()), condition)
    if condition is not None and drawn is None:
        raise UserError(
            f"no answers were forced under condition {condition.settings_id[:6]}:{condition.engine_card_id[:6]} along "
            f"chain {chain.id}. Leave --condition out, or force them there"
        )
    found = {
        k: begun_at(run, prefix, scorer_id=scorer, condition=at)
        for k, prefix in places.items()
        if (at := _drawn_there(run, prefix, drawn)) is not None
    }
    kept = {k: draws for k, draws in found.items() if len(draws)}
    return ForcedAnswers(stub, tuple(kept), tuple(kept.values()), drawn)


def forced_importance(
    answers: ForcedAnswers,
    *,
    metric: Metric = "delta-v",
    level: float = 0.95,
    min_n: int = MIN_ROLLOUTS,
    fdr: FdrRule = "bh",
) -> tuple[Estimate, ...]:
    """Contrast of the answers forced at neighbouring positions.

    Args:
        answers: Along one chain.
        metric: delta-v (signed), kl or tv.
        level: Nominal coverage.
        min_n: Smallest number of answers at either position.
        fdr: How p is adjusted over the steps.

    Returns:
        One estimate for each pair of neighbouring positions: n1 answers before the step, n2 after it.
    """
    pairs = zip(answers.draws, answers.draws[1:], strict=False)
    found = [contrast(before, after, metric, level=level, min_n=min_n) for before, after in pairs]
    return with_q([replace(one, method=f"{one.method}, forced") for one in found], fdr)


def _drawn_there(run: Run, prefix_id: str, condition: ConditionIds | None) -> ConditionIds | None:
    """The condition, or, on a prefix of the chain itself, the one that its rollouts were drawn under."""
    here = _pairs(run, prefix_id)
    return condition if condition in here or not here else here.most_common(1)[0][0]


def _most_common(run: Run, prefix_ids: list[str], like: ConditionIds | None) -> ConditionIds | None:
    """Settings and engine of most rollouts from these prefixes; of those that differ from `like` in what ends them."""
    counts = sum((_pairs(run, prefix_id) for prefix_id in prefix_ids), Counter[ConditionIds]())
    settings = run.settings()
    fitting = [
        pair
        for pair, _ in counts.most_common()
        if like is None
        or (
            pair.engine_card_id == like.engine_card_id
            and replace(settings[pair.settings_id], stop=()) == replace(settings[like.settings_id], stop=())
        )
    ]
    return next(iter(fitting), None)


def _pairs(run: Run, prefix_id: str) -> Counter[ConditionIds]:
    rows = run.rollouts(prefix_id=prefix_id, bodies=False)
    return Counter(ConditionIds(row.settings_id, row.engine_card_id) for row in rows)

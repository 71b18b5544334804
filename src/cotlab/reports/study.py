"""From a run to what its report, its table and its JSON show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from cotlab.chains.chain import Chain
from cotlab.chains.cutting import get_cutter
from cotlab.chains.problem import Problem
from cotlab.chains.score import Outcome
from cotlab.errors import UserError
from cotlab.measures import Draws, Similarity, importance, in_place, similar_groups, value
from cotlab.reports.data import AlternativeReport, ChainReport, ReportData, StepReport
from cotlab.reports.labels import CATEGORY_SCORERS, step_labels
from cotlab.runs import Run
from cotlab.stats import Estimate
from cotlab.trees import (
    ConditionIds,
    GroupBy,
    RolloutPath,
    alternatives_at,
    by_position,
    by_text,
    by_tiny_state,
    chain_verdict,
    draws_at,
    paths,
    resolve_scorer,
    said_next,
    unfinished,
    walk,
)

__all__ = ["StudyView", "chain_report", "report_data", "shown_images", "steps_json"]

MEASURED = (
    "Value V: share of right answers among all rollouts through a prefix, those that were begun higher up and pass "
    "through it included; 95% Wilson interval. Truncated rollouts are an outcome of their own.",
    "ΔV: value after a step minus value before it; 95% interval by Newcombe's method for samples that share rollouts.",
    "Null floor: 95% quantile of |ΔV| when outcomes are exchanged between the rollouts that say the step and those "
    "that do not; q is adjusted for the false discovery rate over the steps of a chain (Benjamini and Hochberg).",
)
LIMITS = (
    "ΔV says what a step did to the chance of a right answer of this model, not why.",
    "A base chain is one of many; its own outcome is never counted as a sample of a prefix it runs through.",
)
KNOWN_END = "known: the chain ends here"
SHOWN_ALTERNATIVES = 8
SHOWN_PIXELS = 480
"""Along the longer side of an image."""


@dataclass(frozen=True, slots=True)
class StudyView:
    """Which rollouts and whose verdicts a report is made of."""

    scorer_id: str
    condition: ConditionIds | None = None
    """Settings and engine; None where the run holds rollouts of one pair only."""
    category_scorer_ids: tuple[str, ...] = CATEGORY_SCORERS
    """Whose categories are shown: the first of these that has said any of a chain."""
    similarity: Similarity | None = None
    """Which alternatives are one; None: those of equal states where an oracle reads them, else of equal text."""

    def grouping(self, problem: Problem, labels: Mapping[int, Mapping[str, Any]]) -> GroupBy | Similarity:
        """What tells which alternatives are one, for a chain with these labels."""
        if self.similarity is not None:
            return self.similarity
        return by_tiny_state(problem) if any("state" in label for label in labels.values()) else by_text


def chain_report(run: Run, chain: Chain, view: StudyView, *, found: Sequence[RolloutPath] | None = None) -> ChainReport:
    """Everything about one chain: values, importance, alternatives, categories.

    Where not every position was sampled, the steps between two sampled positions are shown as one.

    Args:
        run: Where it is.
        chain: A chain of the run.
        view: Which rollouts and whose verdicts.
        found: The chain's `paths`, where they were read already.

    Raises:
        UserError: The run holds rollouts of several conditions and the view does not choose.
    """
    view = replace(view, scorer_id=resolve_scorer(run, view.scorer_id))
    problem = run.problems()[chain.problem_id]
    found = _paths(run, chain, view) if found is None else found
    lacking = unfinished(run, chain, scorer_id=view.scorer_id, condition=view.condition)
    passages = [path.passage for path in found]
    here = [[found[i] for i in at] for at in by_position(passages, len(chain.steps))]
    draws = [draws_at(chain, k, [path.passage for path in at], lacking=lacking.get(k)) for k, at in enumerate(here)]
    verdict = chain_verdict(run, chain, view.scorer_id)
    ends = _shown_positions([*(passage.origin for passage in passages), *lacking], len(chain.steps))
    curve = [value(draws[k]).estimate for k in ends[:-1]] + [_known_end(verdict["outcome"])]
    effects = [*importance([draws[k] for k in ends[:-1]]), _last_effect(curve)]
    labels = step_labels(run, chain, view.category_scorer_ids)
    group = view.grouping(problem, labels)
    steps = [
        _step(
            chain,
            (start, end),
            (curve[i], curve[i + 1], effects[i]),
            labels.get(end - 1, {}),
            draws[start],
            _alternatives(chain, start, here[start], group),
        )
        for i, (start, end) in enumerate(zip(ends, ends[1:], strict=False))
    ]
    images, lost = shown_images(chain)
    return ChainReport(
        id=chain.id,
        problem_id=problem.id,
        name=problem.name or problem.id,
        question=problem.question,
        gold_answer=problem.answer,
        role=" and ".join(chain.roles),
        answer=verdict["answer"],
        outcome=verdict["outcome"],
        steps=tuple(steps),
        final_shares={verdict["outcome"]: 1.0},
        notes=(*_notes(draws), *_lacking_notes(lacking), *lost),
        images=images,
    )


def shown_images(chain: Chain) -> tuple[tuple[str, ...], list[str]]:
    """Images of a chain as addresses that a page can show, and a line for each that the run has lost."""
    found, lost = list[str](), list[str]()
    for image in chain.images:
        try:
            found.append(image.small(SHOWN_PIXELS).data_uri())
        except UserError as error:
            lost.append(f"An image is not shown: {error}.")
    return tuple(found), lost


def report_data(
    run: Run, chains: Sequence[Chain], view: StudyView, *, title: str, command: str, seed: int
) -> ReportData:
    """Everything that a report of these chains shows."""
    reports = tuple(chain_report(run, chain, view) for chain in chains)
    condition = view.condition
    settings = run.settings().get(condition.settings_id) if condition else None
    card = run.engine_cards().get(condition.engine_card_id) if condition else None
    shown = {name: str(setting) for name, setting in settings.to_json().items() if setting != []} if settings else {}
    return ReportData(
        title=title,
        chains=reports,
        model=run.identity.model,
        engine=card.engine if card else "",
        settings=shown,
        run=str(run.path),
        command=command,
        seed=seed,
        versions={"cotlab": version("cotlab"), **(dict(card.versions) if card else {})},
        rollouts=run.summary().rollouts,
        measured=MEASURED,
        limits=LIMITS,
        next_commands=(
            f"cotlab runs show {run.path}",
            f"cotlab tree {run.path}",
            f"cotlab export {run.path} {run.path}/tree.graphml",
        ),
        created=_as_read(run.identity.created),
    )


def steps_json(reports: Sequence[ChainReport]) -> list[dict[str, Any]]:
    """The `steps` of `cotlab resample --json`."""
    return [
        {
            "problem": report.problem_id,
            "chain": report.id,
            "step": step.idx,
            "n_steps": step.n_steps,
            "text": step.text,
            "category": step.category,
            "value_before": step.value_before.to_json(),
            "value_after": step.value_after.to_json(),
            "importance": {"resampling": step.importance.to_json()},
        }
        for report in reports
        for step in report.steps
    ]


def _as_read(created: str) -> str:
    """A time as it is stored (ISO 8601, UTC), as a person reads it; what is no time stays as it is."""
    try:
        return f"{datetime.fromisoformat(created).astimezone(UTC):%d %B %Y, %H:%M} UTC".lstrip("0")
    except ValueError:
        return created


def _paths(run: Run, chain: Chain, view: StudyView) -> list[RolloutPath]:
    """Rollouts along the chain; where steps are tokens, without what they say next, which text alone does not tell."""
    if get_cutter(chain.cutter_id).rule is None:
        found = walk(run, chain, scorer_id=view.scorer_id, condition=view.condition)
        return [RolloutPath(passage, ()) for passage, _ in found]
    return list(paths(run, chain, scorer_id=view.scorer_id, condition=view.condition))


def _shown_positions(begun: Sequence[int], n_steps: int) -> list[int]:
    """Positions at which rollouts were begun, 0 and the end of the chain."""
    return sorted({0, n_steps, *begun})


def _known_end(outcome: Outcome) -> Estimate:
    """Value where the chain is over: its outcome itself. A truncated chain is not over."""
    if outcome == "truncated":
        return Estimate.missing("the chain was truncated: its end is not known", method=KNOWN_END)
    if outcome == "unjudged":
        return Estimate.missing("the problem has no gold answer", method=KNOWN_END)
    known = 1.0 if outcome == "correct" else 0.0
    return Estimate(known, known, known, method=KNOWN_END)


def _last_effect(curve: Sequence[Estimate]) -> Estimate:
    """ΔV of the step that ends the chain: against a known value, so the interval is that of the value before."""
    before, after = curve[-2], curve[-1]
    if before.value is None or after.value is None or before.low is None or before.high is None:
        reason = f"before the step: {before.reason}" if before.value is None else str(after.reason)
        return Estimate.missing(reason, method=KNOWN_END, n=before.n)
    known = after.value
    return replace(
        Estimate(known - before.value, known - before.high, known - before.low),
        n=before.n,
        n1=before.n,
        n2=0,
        method=KNOWN_END,
    )


def _shares(draws: Draws) -> dict[Outcome, float]:
    return {outcome: count / len(draws) for outcome, count in draws.outcome_counts().items()} if len(draws) else {}


def _step(
    chain: Chain,
    span: tuple[int, int],
    values: tuple[Estimate, Estimate, Estimate],
    label: Mapping[str, Any],
    draws: Draws,
    others: tuple[AlternativeReport, ...],
) -> StepReport:
    """Steps `span` of a chain as one; `values` are before, after and importance."""
    return StepReport(
        idx=span[0],
        n_steps=span[1] - span[0],
        text="".join(step.text for step in chain.steps[span[0] : span[1]]),
        category=label.get("category"),
        backtracks=label.get("backtracks"),
        value_before=values[0],
        value_after=values[1],
        importance=values[2],
        outcome_shares=_shares(draws),
        alternatives=others,
    )


def _alternatives(
    chain: Chain, k: int, here: Sequence[RolloutPath], group: GroupBy | Similarity
) -> tuple[AlternativeReport, ...]:
    """What is said in the place of step k; none where steps are tokens, which text alone does not tell."""
    if not here or get_cutter(chain.cutter_id).rule is None:
        return ()
    if isinstance(group, Similarity):
        similar = in_place(group, "".join(step.text for step in chain.steps[:k]))
        leader = similar_groups(similar, [chain.steps[k].text, *said_next(chain, k, here)])
        found = alternatives_at(chain, k, here, group=lambda kept, text: leader[text], most=SHOWN_ALTERNATIVES)
    else:
        found = alternatives_at(chain, k, here, group=group, most=SHOWN_ALTERNATIVES)
    return tuple(
        AlternativeReport(
            text=one.text,
            n=one.n,
            share=one.share,
            value=one.value,
            answers=tuple(list(one.answers.items())[:SHOWN_ALTERNATIVES]),
            same_as_base=one.same_as_base,
        )
        for place, one in enumerate(found)
        if place < SHOWN_ALTERNATIVES or one.same_as_base
    )


def _notes(draws: Sequence[Draws]) -> list[str]:
    cut = {k: one.count("truncated") / len(one) for k, one in enumerate(draws) if len(one)}
    worst = max(cut, key=lambda k: cut[k], default=None)
    if worst is None or cut[worst] < 0.05:
        return []
    rollouts = {rollout for one in draws for rollout in one.rollout_ids.tolist()}
    truncated = {rollout for one in draws for rollout in one.rollout_ids[one.where("truncated")].tolist()}
    return [
        f"{len(truncated) / len(rollouts):.0%} of the rollouts were truncated, {cut[worst]:.0%} of those after {worst} "
        "steps: values may be higher by that. Raise --max-tokens."
    ]


def _lacking_notes(lacking: Mapping[int, str]) -> list[str]:
    """One sentence on all positions that have no value because of what is missing there."""
    if not lacking:
        return []
    first = min(lacking)
    more = f", and {len(lacking) - 1} more like it" if len(lacking) > 1 else ""
    return [f"No value after {first} steps ({lacking[first]}){more}."]

"""Chains of the model that was asked about: values, forced answers, what the oracle knows of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

import cotlab as ct
from cotlab import tiny
from cotlab.chains.chain import Chain
from cotlab.measures import (
    ForcedAnswers,
    OutcomeCurve,
    Progress,
    StoppedChain,
    accuracy,
    accuracy_at_stops,
    cut_off_reason,
    forced_answers,
    forced_prefixes,
    gain_of_thinking,
    progress,
    stopped_chain,
)
from cotlab.measures.contrast import difference_bounds
from cotlab.reports import Evidence, Finding
from cotlab.runs import Run
from cotlab.sampling import ORACLE_ID, FinishedStudy
from cotlab.stats import (
    Estimate,
    NullRate,
    cluster_mean,
    null_rate,
    proportion_estimate,
)
from cotlab.trees import ConditionIds, Draws
from experiments.lucky.judged import Sampled, curve_of, mixed, progress_of, read_sampled

__all__ = ["MeasuredChain", "read_chains", "reasoner_findings", "shuffled"]

STOPS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class StepEffect:
    """ΔV of one step; truncated rollouts count as not right."""

    step: int
    value: float
    least: float
    """Over all ways that truncated rollouts may have ended."""
    most: float

    @classmethod
    def of(cls, step: int, before: Draws, after: Draws) -> StepEffect:
        """Of rollouts begun before the step and after it."""
        value = after.count("correct") / len(after) - before.count("correct") / len(before)
        least, most = difference_bounds(before, after) or (value, value)
        return cls(step, value, least, most)


@dataclass(frozen=True, slots=True)
class MeasuredChain:
    """One chain with everything that is told of it."""

    chain: Chain
    sampled: Sampled
    progress: Progress
    curve: OutcomeCurve | None
    stopped: StoppedChain
    forced: Progress
    """The same as `progress` of answers that were forced after each step."""
    reachable: tuple[bool | None, ...]
    """By step, where there is an oracle: whether the target can still be reached after it."""
    cut: str | None
    """Why V is not told, where reasoning was cut off."""
    solved: int | None
    """Steps until the chain first holds a right expression, by the oracle."""

    @property
    def draws(self) -> tuple[Draws, ...]:
        """Rollouts begun at each position, none of them in two."""
        return self.sampled.draws

    def effects(self) -> list[StepEffect]:
        """ΔV of each step between neighbouring positions that both have rollouts, as changes of the bare share."""
        at = [k for k, one in enumerate(self.draws) if len(one) and k + 1 < len(self.draws) and len(self.draws[k + 1])]
        return [StepEffect.of(k, self.draws[k], self.draws[k + 1]) for k in at]


def read_chains(study: FinishedStudy) -> list[MeasuredChain]:
    """Every chain of the study, measured."""
    with ct.Run.open(study.path) as run:
        labels = {score.subject_id: score.value for score in run.scores("step", ORACLE_ID)}
        return [_measured(run, chain, study, labels) for chain in run.chains() if chain.id in study.chain_ids]


def _measured(run: Run, chain: Chain, study: FinishedStudy, labels: dict[str, dict[str, object]]) -> MeasuredChain:
    ids = ConditionIds(study.settings.id, study.engine_card_id)
    sampled = read_sampled(run, chain, scorer_id=study.scorer_id, condition=ids)
    draws = sampled.draws
    cut = cut_off_reason([name for one in draws for name in one.outcome_names()])
    unjudged = any(one.count("unjudged") for one in draws)
    forced, stopped = _forced(run, chain, study.scorer_id)
    nothing = progress([], positions=[], tokens=[])
    mine = [labels.get(f"{chain.id}/{step.idx}", {}) for step in chain.steps]
    reachable = tuple(None if one.get("reachable") is None else bool(one["reachable"]) for one in mine)
    return MeasuredChain(
        chain=chain,
        sampled=sampled,
        progress=nothing if cut else progress_of(sampled),
        curve=None if cut or unjudged or not sampled.positions else curve_of(sampled),
        stopped=stopped,
        forced=progress(forced.draws, positions=forced.positions, tokens=[sampled.kept[k] for k in forced.positions]),
        reachable=reachable,
        cut=cut,
        solved=_solved(run, chain, mine),
    )


def _forced(run: Run, chain: Chain, scorer_id: str) -> tuple[ForcedAnswers, StoppedChain]:
    """Answers forced along a chain; none, and why, where a budget ended the drawing before."""
    if not forced_prefixes(run, chain):
        return ForcedAnswers("", (), ()), StoppedChain(chain.problem_id, (), (), (), "no answers were forced")
    return forced_answers(run, chain, scorer_id=scorer_id), stopped_chain(run, chain, scorer_id=scorer_id)


def _solved(run: Run, chain: Chain, labels: Sequence[dict[str, object]]) -> int | None:
    """Steps kept where the chain first holds an expression that makes the target."""
    task = tiny.problem_from_question(run.problems()[chain.problem_id].question)
    if task is None or task.numbers is None:
        return None
    right = {str(way) for way in tiny.solutions(task.numbers, task.target)}
    states = [str(label.get("state", "")).rpartition("|")[2] for label in labels]
    return next((k + 1 for k, state in enumerate(states) if state in right), None)


def reasoner_findings(study: FinishedStudy, chains: Sequence[MeasuredChain]) -> tuple[Finding, ...]:
    """What was observed of values, and what forced answers showed."""
    names = [name for one in chains for name in one.draws[0].outcome_names()]
    problems = [one.chain.problem_id for one in chains for _ in range(len(one.draws[0]))]
    found = [Finding.of("accuracy without any step kept", accuracy(names, problems))]
    found += _verdicts(chains)
    found.append(Finding.of("Σ(ΔV)², corrected", _mean(chains, "variation")))
    bounds = [(one.progress.bound, one.chain.problem_id) for one in chains if one.progress.bound is not None]
    found.append(Finding.of("V₀(1−V₀), its mean over unchosen chains", _of(bounds, chains)))
    curves = [(float(len(one.curve.forks)), one.chain.problem_id) for one in chains if one.curve is not None]
    found.append(Finding.of("forks a chain", _of(curves, chains)))
    for name, field in (("V", "progress"), ("forced answers", "forced")):
        for unit, attribute in (("tokens", "insight_tokens"), ("steps", "insight_steps")):
            told = [(getattr(getattr(one, field), attribute).value, one.chain.problem_id) for one in chains]
            told = [(number, problem) for number, problem in told if number is not None]
            kind: Evidence = "caused" if field == "forced" else "observed"
            estimate = _of(told, chains) if told or field != "forced" else Estimate.missing(chains[0].forced.reason)
            found.append(Finding.of(f"{unit} until insight, by {name}", estimate, evidence=kind, unit=unit))
    return (*found, *_thinking(chains))


def _verdicts(chains: Sequence[MeasuredChain]) -> list[Finding]:
    """Lucky or steady, and the share of the largest step."""
    verdicts = [one.progress.verdict for one in chains]
    found = [
        Finding.of("share of chains", proportion_estimate(verdicts.count(word), len(verdicts)), group=word)
        for word in ("lucky", "steady", "undecided")
    ]
    for group, sign in (("chains that rise", 1), ("chains that fall", -1)):
        of = [(one.progress, one.chain.problem_id) for one in chains]
        of = [(one, p) for one, p in of if one.share.value is not None and _sign(one) == sign]
        for name, attribute in (("corrected", "share"), ("of bare shares", "naive_share")):
            known = [(value, p) for one, p in of if (value := getattr(one, attribute).value) is not None]
            found.append(Finding.of(f"share of the largest step, {name}", _of(known, chains), group=group))
    return found


def _thinking(chains: Sequence[MeasuredChain]) -> list[Finding]:
    """Does more thinking help?"""
    stopped = [one.stopped for one in chains]
    found = [
        Finding.of("accuracy of an answer forced", one, group=f"after {share:.0%} of the thoughts", evidence="caused")
        for share, one in zip(STOPS, accuracy_at_stops(stopped, STOPS), strict=True)
    ]
    pairs = [(0.0, 1.0), *zip(STOPS, STOPS[1:], strict=False)]
    return found + [
        Finding.of(
            "what more thinking adds to accuracy",
            gain_of_thinking(stopped, first, last),
            group=f"from {first:.0%} to {last:.0%} of the thoughts",
            evidence="caused",
        )
        for first, last in pairs
    ]


def shuffled(chains: Sequence[MeasuredChain], shuffles: int, seed: int) -> tuple[NullRate, ...]:
    """What is reported of one chain, of rollouts exchanged between its positions; chains in turn. None without chains.

    The functions are those of `read_chains`, on the chain's own end and the whole table of answers.
    """
    usable = [one.sampled for one in chains if one.curve is not None]
    if not usable:
        return ()
    told = {
        "a verdict of lucky or steady": lambda one: progress_of(one).verdict != "undecided",
        "a declared fork of the curve of answers": lambda one: bool(curve_of(one).forks),
    }
    return tuple(_rate(usable, name, finds, shuffles, seed) for name, finds in told.items())


def _rate(usable: Sequence[Sampled], name: str, finds: Callable[[Sampled], bool], shuffles: int, seed: int) -> NullRate:
    turn = iter(range(shuffles))

    def shuffle(rng: np.random.Generator) -> bool:
        return finds(mixed(usable[next(turn) % len(usable)], rng))

    told = f"rollouts exchanged between the positions of a chain: {name}"
    return null_rate(shuffle, analysis=told, shuffles=shuffles, seed=seed)


def _sign(one: Progress) -> int:
    return 1 if (one.change.value or 0.0) >= 0 else -1


def _mean(chains: Sequence[MeasuredChain], field: str) -> Estimate:
    told = [(getattr(one.progress, field).value, one.chain.problem_id) for one in chains]
    return _of([(number, problem) for number, problem in told if number is not None], chains)


def _of(pairs: Sequence[tuple[float, str]], chains: Sequence[MeasuredChain] = ()) -> Estimate:
    """Mean over chains; problems are drawn again. Where no chain tells it, why the first does not."""
    if chains and not pairs:
        return Estimate.missing(chains[0].cut or chains[0].progress.reason, method="cluster-bootstrap")
    return cluster_mean([number for number, _ in pairs], [problem for _, problem in pairs])

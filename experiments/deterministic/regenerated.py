"""Chains cut at a few places and regenerated at several temperatures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

import cotlab as ct
from cotlab import tiny
from cotlab.chains.settings import SamplingSettings
from cotlab.measures import Control, Determinism, chain_determinism, chain_draws, greedy_control, similarity_maker
from cotlab.reports import Finding, Table
from cotlab.reports.text import format_estimate
from cotlab.sampling import FinishedStudy, draw_greedy_control, greedy_settings
from cotlab.stats import Estimate, NullRate, cluster_mean, cluster_proportion, null_rate
from cotlab.stats.agreement import pair_agreement
from cotlab.trees import ConditionIds
from experiments.lab import Lab

__all__ = [
    "Regeneration",
    "cut_at",
    "exchanged",
    "findings",
    "kept_parts",
    "mean_over_chains",
    "p_of",
    "read_regenerated",
    "sampled",
    "shuffled",
    "table_beside",
]

MEASURES = (
    ("agreement", "agreement of answers"),
    ("exact_text", "agreement of whole texts"),
    ("next_entropy", "entropy of groups of next sentences (nats)"),
)
BESIDE = (
    ("answered", "rollouts whose answer could be read"),
    ("same_as_chain", "share of answers that are the chain's own"),
    ("answer_entropy", "entropy of answers (nats)"),
    ("text_entropy", "entropy of whole texts (nats)"),
)
"""What is told in a table only."""
REFERENCE = 1_000
"""Exchanges that a p is read off."""
SHARES = ("agreement", "exact_text", "answered", "same_as_chain")


@dataclass(frozen=True, slots=True)
class Regeneration:
    """One chain at one temperature."""

    problem: str
    temperature: float
    rows: tuple[tuple[float, Determinism], ...]
    """Part of the steps kept, and what is told there."""
    answers: dict[float, tuple[str, ...]]
    """Answer keys at each part."""
    control: tuple[Control, ...] = ()
    """At temperature 0 only."""


def parts_of(lab: Lab) -> tuple[float, ...]:
    """Parts of a chain that are kept, ascending."""
    return tuple(sorted(float(part) for part in lab.text("parts").split(",")))


def cut_at(n_steps: int, parts: Sequence[float]) -> dict[float, int]:
    """Steps kept at each part of a chain: at most all but the last step, which a rollout must still say."""
    return {part: round(part * (n_steps - 1)) for part in parts} if n_steps else {}


def temperatures(lab: Lab, own: float) -> list[float]:
    """Those of the config, which may name none, and the model's own, ascending; 0 is the control's."""
    return sorted({*(float(one) for one in lab.text("temperatures").split(",") if one), own} - {0.0})


def sampled(lab: Lab) -> FinishedStudy:
    """Random chains; their prefixes at every temperature; the control at temperature 0."""
    n = lab.number("n")
    study = lab.resample("run", n_problems=lab.number("n_problems"), n=n, base=("random",), positions="0", share=0.25)
    with lab.again(study, share=0.65) as again:
        sampler = again.sampler({"kind": "determinism", "n": n})
        chains = [chain for chain in again.run.chains() if chain.id in study.chain_ids]
        for temperature in temperatures(lab, again.settings.temperature):
            at = replace(again.settings, temperature=temperature)
            prefixes = [chain.prefix(k) for chain in chains for k in cut_at(len(chain.steps), parts_of(lab)).values()]
            room = [prefix for prefix in prefixes if at.new_tokens(len(prefix.kept_ids)) > 0]
            sampler.draw(room, n, at, phase=f"temperature {temperature:g}")
        for chain in chains[: lab.number("control_chains")]:
            places = sorted(set(cut_at(len(chain.steps), parts_of(lab)).values()))
            draw_greedy_control(sampler, chain, places, lab.number("control"), again.settings)
        again.score()
    return study


def read_regenerated(lab: Lab, study: FinishedStudy) -> list[Regeneration]:
    """Every chain at every temperature."""
    found: list[Regeneration] = []
    with ct.Run.open(study.path) as run:
        problems = run.problems()
        for chain in (one for one in run.chains() if one.id in study.chain_ids):
            problem = problems[chain.problem_id]
            known = tiny.problem_from_question(problem.question) is not None
            alike = similarity_maker("text" if known else lab.text("similarity"))(problem)
            parts = cut_at(len(chain.steps), parts_of(lab))
            for temperature in temperatures(lab, study.settings.temperature):
                at: SamplingSettings = replace(study.settings, temperature=temperature)
                ids = ConditionIds(at.id, study.engine_card_id)
                rows = chain_determinism(run, chain, scorer_id=study.scorer_id, condition=ids, similarity=alike)
                by_position = {row.position: row for row in rows}
                draws = chain_draws(run, chain, scorer_id=study.scorer_id, condition=ids, pooled=False)
                found.append(
                    Regeneration(
                        chain.problem_id,
                        temperature,
                        tuple((part, by_position[k]) for part, k in parts.items() if k in by_position),
                        {part: tuple(k for k in draws[at].keys.tolist() if k) for part, at in parts.items()},
                    )
                )
            greedy = greedy_settings(study.settings)
            controls = greedy_control(run, chain, settings_id=greedy.id, engine_card_id=study.engine_card_id)
            found.append(Regeneration(chain.problem_id, 0.0, (), {}, controls))
    return found


def findings(found: Sequence[Regeneration], own: float) -> tuple[Finding, ...]:
    """Every measure at every temperature and place, what steps and temperature change, and the control."""
    grid = sorted({one.temperature for one in found if one.temperature > 0})
    told = [
        Finding.of(name, mean_over_chains(found, field, temperature, part), group=f"T {temperature:g}, {part:.0%} kept")
        for field, name in MEASURES
        for temperature in grid
        for part in kept_parts(found)
    ]
    told.append(
        Finding.of("what keeping the steps adds to agreement of answers", _rise(found, own), group=f"T {own:g}")
    )
    for field, name in (("agreement", "answers"), ("exact_text", "whole texts")) if len(grid) > 1 else ():
        change = _paired(found, field, (grid[0], 0.0), (grid[-1], 0.0))
        told.append(
            Finding.of(
                f"what temperature does to agreement of {name}", change, group=f"T {grid[-1]:g} less T {grid[0]:g}"
            )
        )
    controls = [(control, one.problem) for one in found for control in one.control]
    for name in ("together", "alone", "across"):
        values = [(value, problem) for one, problem in controls if (value := getattr(one, name).value) is not None]
        share = cluster_proportion(
            [float(value == 1) for value, _ in values], [problem for _, problem in values], min_clusters=2
        )
        told.append(Finding.of("temperature 0: prefixes whose repeats are equal token for token", share, group=name))
    return tuple(told)


def table_beside(found: Sequence[Regeneration]) -> Table:
    """The other measures by temperature and place."""
    parts = kept_parts(found)
    rows = [
        (name, f"{temperature:g}", *(_short(mean_over_chains(found, field, temperature, part)) for part in parts))
        for field, name in BESIDE
        for temperature in sorted({one.temperature for one in found if one.temperature > 0})
    ]
    columns = ("measure", "temperature", *(f"{part:.0%} kept" for part in parts))
    return Table(title="Other measures, means over chains", columns=columns, rows=tuple(rows))


def _short(estimate: Estimate) -> str:
    return "–" if estimate.value is None else format_estimate(estimate)


def kept_parts(found: Sequence[Regeneration]) -> list[float]:
    """The parts that anything is told of."""
    return sorted({part for one in found for part in one.answers})


def mean_over_chains(found: Sequence[Regeneration], field: str, temperature: float, part: float) -> Estimate:
    """Mean of a field of `Determinism` over chains that have it.

    Where all rollouts of some chain differ its entropy is only known to be large, so a mean of the others would be too
    small: then there is a reason.
    """
    here = [(getattr(row, field), one.problem) for one, at, row in _rows(found, temperature) if at == part]
    known = [(estimate.value, problem) for estimate, problem in here if estimate.value is not None]
    open_ended = [estimate for estimate, _ in here if (estimate.reason or "").startswith("all ")]
    if open_ended:
        return Estimate.missing(f"in {len(open_ended)} of {len(here)} chains {open_ended[0].reason}", n=len(here))
    if not known and here:
        return Estimate.missing(here[0][0].reason or "no chain tells it", n=len(here))
    if field in SHARES:
        return cluster_proportion([number for number, _ in known], [problem for _, problem in known])
    return _mean(known)


def _rows(found: Sequence[Regeneration], temperature: float) -> list[tuple[Regeneration, float, Determinism]]:
    return [(one, part, row) for one in found if one.temperature == temperature for part, row in one.rows]


def shuffled(found: Sequence[Regeneration], own: float, shuffles: int, seed: int) -> NullRate | None:
    """Answers exchanged between the first place and the last of each chain: is p of what keeping steps adds below .05?

    The reference of exchanged answers is that of the true ones (exchanges of exchanges are exchanges): drawn once.
    """
    drawn = exchanged(found, own, REFERENCE + shuffles, seed + 1)
    if not len(drawn):
        return None
    null, tried = drawn[:REFERENCE], iter(drawn[REFERENCE:])
    told = "answers exchanged between the first and last place of each chain: p of the change of agreement below .05"
    return null_rate(lambda rng: p_of(next(tried), null) < 0.05, analysis=told, shuffles=shuffles, seed=seed)


def _rise(found: Sequence[Regeneration], own: float) -> Estimate:
    """What keeping steps adds; p from exchanging answers between the two places of each chain."""
    parts = kept_parts(found)
    rise = _paired(found, "agreement", (own, parts[0]), (own, parts[-1]))
    null = exchanged(found, own, REFERENCE, 0)
    if rise.value is None or not len(null):
        return rise
    middle, far = float(null.mean()), float(np.quantile(np.abs(null), 0.95))
    return replace(rise, null_mean=middle, null_q95=far, p=p_of(rise.value, null))


def exchanged(found: Sequence[Regeneration], own: float, n: int, seed: int) -> NDArray[np.float64]:
    """Mean change of agreement over chains whose answers are exchanged between the two places, shape [n].

    Chains with fewer than two answers at a place are left out.
    """
    first, last = kept_parts(found)[0], kept_parts(found)[-1]
    sides = [(one.answers[first], one.answers[last]) for one in found if one.temperature == own]
    sides = [(before, after) for before, after in sides if min(len(before), len(after)) > 1]
    if not sides:
        return np.empty(0)
    rng = np.random.default_rng(seed)
    return np.array([np.mean([_rise_of_mixed(*pair, rng) for pair in sides]) for _ in range(n)])


def _rise_of_mixed(before: Sequence[str], after: Sequence[str], rng: np.random.Generator) -> float:
    both = [*before, *after]
    mixed = [both[i] for i in rng.permutation(len(both))]
    return _agreement(mixed[len(before) :]) - _agreement(mixed[: len(before)])


def p_of(value: float, null: NDArray[np.float64]) -> float:
    """(1 + number at least as far from the null's mean) / (1 + null)."""
    middle = null.mean()
    return float((1 + (np.abs(null - middle) >= abs(value - middle) - 1e-12).sum()) / (1 + len(null)))


def _paired(
    found: Sequence[Regeneration], field: str, first: tuple[float, float], last: tuple[float, float]
) -> Estimate:
    """Mean over chains of the change of a field from one temperature and part to another."""
    table: dict[str, dict[tuple[float, float], float]] = {}
    for one in found:
        for part, row in one.rows:
            if (value := getattr(row, field).value) is not None:
                table.setdefault(one.problem, {})[one.temperature, part] = value
    both = [(sides[last] - sides[first], problem) for problem, sides in table.items() if {first, last} <= sides.keys()]
    return _mean(both)


def _agreement(keys: Sequence[str]) -> float:
    return pair_agreement(np.array(list(Counter(keys).values()), dtype=float))


def _mean(pairs: Sequence[tuple[float, str]]) -> Estimate:
    return cluster_mean([number for number, _ in pairs], [problem for _, problem in pairs])

"""What the methods find on toy models whose values are known."""

from __future__ import annotations

import numpy as np

from cotlab.measures import value
from cotlab.reports import Planted, Recovered
from cotlab.stats import proportion_estimate
from experiments.lab import Lab
from experiments.lucky.judged import Sampled, curve_of, progress_of, read_sampled
from experiments.toys import Toy, covered, toy_chain, toy_study

__all__ = ["recovers", "toy_recovered"]

SPECS = ("lucky", "steady", "staircase", "null")
LARGE = 0.2
"""A change of the exact value that must be declared a fork."""


def toy_recovered(lab: Lab) -> tuple[tuple[Planted, ...], tuple[Recovered, ...]]:
    """Values, largest steps, verdicts and change points of four toy models, by the functions of `read_chains`."""
    recovered: list[Recovered] = []
    held, asked = 0, 0
    for spec in SPECS:
        study = toy_study(lab, spec, lab.number("oracle_n"), share=0.02)
        with toy_chain(spec, study) as toy:
            sampled = read_sampled(toy.run, toy.chain, scorer_id=toy.study.scorer_id)
            if len(sampled.positions) < len(toy.chain.steps):
                recovered.append(_not_drawn(toy, sampled))
                continue
            inside, n = _held(toy, sampled, lab.number("n"))
            held, asked = held + inside, asked + n
            recovered += [*_progress(toy, sampled), *_changes(toy, sampled)]
    name = f"toy models: share of exact values that 95% intervals of {lab.number('n')} rollouts hold"
    first = covered(name, proportion_estimate(held, asked), least=0.9)
    source = "the law of the toy model, by powers of its transition matrix"
    planted = tuple(Planted(name=one.name, value=one.planted, source=source) for one in (first, *recovered))
    return planted, (first, *recovered)


def _not_drawn(toy: Toy, sampled: Sampled) -> Recovered:
    """Where a budget ended the drawing before every position had rollouts."""
    told = f"rollouts at {len(sampled.positions)} of {len(toy.chain.steps)} positions"
    rule = "told where every position has rollouts: give the command again, or a larger budget"
    return Recovered(name=f"toy model {toy.name}", planted="known at every position", value=told, ok=None, rule=rule)


def _held(toy: Toy, sampled: Sampled, n: int) -> tuple[int, int]:
    """Intervals of `n` rollouts that hold the exact value, of how many: as many as a prefix has rollouts for."""
    held, asked = 0, 0
    exact = toy.values()
    for k in sampled.positions:
        here = sampled.draws[k]
        for first in range(0, len(here) - n + 1, n):
            one = value(here.select(np.arange(first, first + n))).estimate
            if one.low is not None and one.high is not None:
                asked += 1
                held += one.low - 1e-9 <= exact[k] <= one.high + 1e-9
    return held, asked


def _progress(toy: Toy, sampled: Sampled) -> list[Recovered]:
    """Verdict, share of the largest step and which one it is, by rollouts; insight, the chain's own end counted."""
    found, name = progress_of(sampled), f"toy model {toy.name}"
    exact = np.array([toy.values()[k] for k in sampled.positions])
    if bool(np.ptp(exact) < 1e-9):
        return [_equal(f"{name}: verdict", "undecided", found.verdict, found.change.n, "the same word")]
    rises = np.diff(exact)
    share, at = float(rises.max() / (exact[-1] - exact[0])), int(rises.argmax())
    whole = np.append(exact, toy.values()[-1])
    beyond = whole - whole[0] >= (whole[-1] - whole[0]) / 2
    insight = next(k for i, k in enumerate(found.positions) if beyond[i:].all())
    rows = [
        Recovered.within(f"{name}: share of the largest step", share, found.share),
        Recovered.within(f"{name}: steps until insight", float(insight), found.insight_steps),
    ]
    if share > 0.5 or (rises > 0.9 * rises.max()).sum() == 1:
        largest = None if found.largest is None else float(found.positions[found.largest])
        rows.append(
            _equal(f"{name}: the largest step", float(found.positions[at]), largest, found.share.n, "the same step")
        )
    if not 0.4 < share < 0.6:
        true = "lucky" if share > 0.5 else "steady"
        rows.append(_equal(f"{name}: verdict", true, found.verdict, found.change.n, "the same word"))
    return rows


def _changes(toy: Toy, sampled: Sampled) -> list[Recovered]:
    """Declared forks against the exact changes: every large one, and none elsewhere.

    No row where steps move the value, but none by as much: a fork that is declared there is neither right nor wrong.
    """
    curve, places = curve_of(sampled), sampled.positions
    exact = [toy.values()[k] for k in places]
    jumps = {i: abs(b - a) for i, (a, b) in enumerate(zip(exact, exact[1:], strict=False))}
    large = {i for i, size in jumps.items() if size >= LARGE}
    if not large and any(size > 1e-9 for size in jumps.values()):
        return []
    declared = {change.place for change in curve.forks}
    told = ", ".join(f"step {places[i]}" for i in sorted(declared)) or "none"
    true = ", ".join(f"step {places[i]}" for i in sorted(large)) or "none"
    return [
        Recovered(
            name=f"toy model {toy.name}: change points of {LARGE} or more",
            planted=true,
            value=told,
            n=int(curve.draws.sum()),
            ok=recovers(declared, large),
            rule="each one found within a step, and no fork declared that is not within a step of one",
        )
    ]


def recovers(declared: set[int], large: set[int]) -> bool:
    """Whether every large change has a declared one within a step, and every declared one a large one."""
    return all(any(abs(i - j) <= 1 for j in declared) for i in large) and all(
        any(abs(i - j) <= 1 for j in large) for i in declared
    )


def _equal(name: str, planted: float | str, found: float | str | None, n: int, rule: str) -> Recovered:
    return Recovered(name=name, planted=planted, value=found, n=n, ok=planted == found, rule=rule)

"""What the oracle and theory know of the model's chains, and whether it came back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import numpy as np

from cotlab.reports import Planted, Recovered
from cotlab.stats import Estimate, cluster_auc, cluster_mean, matched_difference, proportion_estimate
from experiments.lucky.reasoner import MeasuredChain
from experiments.rules import NEGLIGIBLE, absent

__all__ = ["reasoner_recovered"]

LEAST_LATER = 0.8
"""Share of chains that must know no earlier than the oracle does."""


def reasoner_recovered(chains: Sequence[MeasuredChain]) -> tuple[tuple[Planted, ...], tuple[Recovered, ...]]:
    """Where the oracle says that reachability jumps and that the answer stands; nothing without an oracle."""
    steps = [(one, two.step, two) for one in chains for two in one.effects() if one.reachable[two.step] is not None]
    if not steps:
        return (), ()
    before = [True if k == 0 else one.reachable[k - 1] is not False for one, k, _ in steps]
    after = [one.reachable[k] is not False for one, k, _ in steps]
    falls = np.array([was and not now for was, now in zip(before, after, strict=True)])
    jumps = np.array([was != now for was, now in zip(before, after, strict=True)])
    effect, least, most = (np.array([getattr(two, end) for _, _, two in steps]) for end in ("value", "least", "most"))
    problems = [one.chain.problem_id for one, _, _ in steps]
    places = [k / len(one.chain.steps) for one, k, _ in steps]
    ways = (effect, most, least) if (least < most).any() else (effect,)
    falling = _at_worst([matched_difference(one, falls, places, problems) for one in ways])
    found = [
        _beyond("ΔV where the target gets out of reach, less that of other steps in like places", "below 0",
                falling, -1, 0.0),
        _beyond("|ΔV| as a detector of the steps where reachability jumps (AUC)", "above ½",
                _at_worst([cluster_auc(np.abs(one), jumps, problems) for one in ways]), 1, 0.5),
        *_insight(chains),
        *_martingale(chains),
    ]  # fmt: skip
    source = "exact labels of the oracle (tiny-oracle/1); the last two by Doob: V of unchosen chains is a martingale"
    return tuple(Planted(name=one.name, value=one.planted, source=source) for one in found), tuple(found)


def _at_worst(found: Sequence[Estimate]) -> Estimate:
    """The first, its interval reaching as far as any: truncated rollouts counted in each of several ways."""
    lows, highs = [one.low for one in found if one.low is not None], [one.high for one in found if one.high is not None]
    return found[0] if not lows or not highs else replace(found[0], low=min(lows), high=max(highs))


def _martingale(chains: Sequence[MeasuredChain]) -> list[Recovered]:
    """V along chains that were not chosen and have ended is a martingale that ends in X, 0 or 1 (Doob).

    E Σ(ΔV)² = E V₀(1−V₀). Of some tens of chains that tells little, since most of Σ(ΔV)² is whether a chain happened to
    end wrong, and (X−V₀)² = V₀(1−V₀) + (X−V₀)(1−2V₀). So the two parts are told apart: E X = E V₀, and E Σ(ΔV)² =
    E (X−V₀)², since the steps of a martingale are uncorrelated.
    """
    ended = [one for one in chains if one.sampled.end is not None and len(one.draws[0]) > 1]
    ends, apart = [], []
    for one in ended:
        first, end, squares = one.draws[0], one.sampled.end, one.progress.variation.value
        value, n = first.count("correct") / len(first), len(first)
        if end is None or squares is None:
            continue
        ends.append((end[0] - value, one.chain.problem_id))
        apart.append((squares - (end[0] - value) ** 2 + value * (1 - value) / (n - 1), one.chain.problem_id))
    rows = (("how chains end less V₀, mean over chains", ends), ("Σ(ΔV)² less (end − V₀)², mean over chains", apart))
    return [_nothing(name, cluster_mean(*zip(*pairs, strict=True), level=0.9)) for name, pairs in rows if pairs]


def _nothing(name: str, found: Estimate) -> Recovered:
    """Recovered where theory's 0 is shown to within `NEGLIGIBLE`."""
    rule = f"the 90% interval within ±{NEGLIGIBLE:g} (two one-sided tests at 5%)"
    return Recovered(
        name=name,
        planted=0.0,
        value=found.value,
        low=found.low,
        high=found.high,
        n=found.n,
        ok=absent(found),
        rule=rule,
    )


def _insight(chains: Sequence[MeasuredChain]) -> list[Recovered]:
    """Forced answers must turn right where the right expression first stands in the chain, and not before."""
    pairs = [(one.solved, one.forced.insight_steps.value) for one in chains]
    apart = [found - solved for solved, found in pairs if solved is not None and found is not None]
    middle = float(median(apart)) if apart else None
    when = Recovered(
        name="steps from the right expression in the chain to insight by forced answers (median)",
        planted=0.0,
        value=middle,
        low=float(np.quantile(apart, 0.25)) if apart else None,
        high=float(np.quantile(apart, 0.75)) if apart else None,
        n=len(apart),
        ok=middle == 0,
        rule="at that very step; in brackets the quartiles over chains",
    )
    later = proportion_estimate(sum(one >= 0 for one in apart), len(apart))
    before = Recovered(
        name="share of chains whose forced answers turn right no earlier than the right expression stands there",
        planted=1.0,
        value=later.value,
        low=later.low,
        high=later.high,
        n=len(apart),
        ok=later.low is not None and later.low >= LEAST_LATER,
        rule=f"the whole 95% interval is at {LEAST_LATER:g} or above",
    )
    return [when, before]


def _beyond(name: str, planted: str, found: Estimate, sign: int, bound: float) -> Recovered:
    """Recovered where the whole interval lies on the planted side."""
    end = found.low if sign > 0 else found.high
    ok = end is not None and sign * (end - bound) > 0
    rule = f"the whole {100 * found.level:g}% interval is {planted}"
    return Recovered(
        name=name, planted=planted, value=found.value, low=found.low, high=found.high, n=found.n, ok=ok, rule=rule
    )

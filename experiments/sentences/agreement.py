"""Categories against measures: means, contrasts in like places, agreement of ranks, the published reversal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import combinations

import numpy as np

from cotlab.measures import RatedStep, categories_exchanged, category_contrast, category_means, rank_agreement
from cotlab.reports import Finding, Planted, Recovered, Table
from cotlab.reports.text import format_estimate, format_p
from cotlab.stats import Estimate, NullRate, null_rate
from experiments.rules import told_apart
from experiments.sentences.inside import INSIDE
from experiments.sentences.own import COMPARED, MEASURES

__all__ = [
    "agreement_findings",
    "contrast_findings",
    "matching_table",
    "reversal",
    "shuffled",
    "table_of",
]

PLANNING, COMPUTING = "plan_generation", "active_computation"
FINENESS = (1, 2, 5, 10)
"""Parts that chains are cut into; within a part places count as alike. 1: places are not looked at."""
FEWER = 400
"""Exchanges that the p of a shuffled analysis is read off."""
NAMES = tuple(name for name, _, _ in MEASURES)


def contrast_findings(steps: Sequence[RatedStep], whose: str) -> list[Finding]:
    """Planning less computation by each measure, in like places of the same chains."""
    return [
        Finding.of(
            f"{name}: planning less computation", category_contrast(steps, name, PLANNING, COMPUTING), group=whose
        )
        for name in NAMES
    ]


def agreement_findings(steps: Sequence[RatedStep], whose: str) -> list[Finding]:
    """Rank agreement of every two of the KL measures, and of KL with the change of V."""
    pairs = [*combinations(COMPARED, 2), *((name, name.replace("KL", "|ΔV|")) for name in COMPARED)]
    return [Finding.of(f"rank agreement of {a} and {b}", rank_agreement(steps, a, b), group=whose) for a, b in pairs]


def table_of(steps: Sequence[RatedStep], title: str) -> Table:
    """Mean of each measure by category, with its interval over problems, and the mean null floor of KL where known."""
    counts = Counter(step.category for step in steps)
    names = [*NAMES, *(name for name in INSIDE if any(name in step.values for step in steps))]
    means = {name: category_means(steps, name) for name in names}
    rows: list[tuple[str | int, ...]] = [
        (category, n, *(_told(means[name].get(category)) for name in names)) for category, n in counts.most_common()
    ]
    floors = {
        name: [s.values[f"{name}, null floor"] for s in steps if f"{name}, null floor" in s.values] for name in names
    }
    if any(floors.values()):
        rows.append(
            (
                "(mean null floor)",
                len(steps),
                *(f"{np.mean(floors[name]):.3f}" if floors[name] else "–" for name in names),
            )
        )
    return Table(title=title, columns=("category", "sentences", *names), rows=tuple(rows))


def matching_table(steps: Sequence[RatedStep], whose: str) -> Table:
    """Planning less computation by how finely places are matched; the rest of the results takes fifths of a chain."""
    rows: list[tuple[str | int, ...]] = []
    for name in COMPARED:
        for bins in FINENESS:
            one = category_contrast(steps, name, PLANNING, COMPUTING, bins=bins)
            rows.append((name, bins, _told(one), one.n, format_p(one.p)))
    title = f"{whose}: planning less computation within chains, by how finely places are matched"
    return Table(title=title, columns=("measure", "parts of a chain", "difference", "problems", "p"), rows=tuple(rows))


def reversal(steps: Sequence[RatedStep]) -> tuple[list[Planted], list[Recovered]]:
    """What was published: counterfactual importance favours planning, forced-answer importance computation."""
    found = []
    for name, sign, told in (
        ("counterfactual KL", 1, "planning higher"),
        ("forced-answer KL", -1, "computation higher"),
    ):
        one = category_contrast(steps, name, PLANNING, COMPUTING)
        found.append(
            Recovered(
                name=f"published traces, {name}: planning less computation in like places",
                planted=told,
                value=one.value,
                low=one.low,
                high=one.high,
                n=one.n,
                ok=told_apart(one, sign),
                rule="the whole 95% interval is on that side, and p < .05 where the two categories are exchanged "
                "within fifths of chains",
            )
        )
    source = "Bogdan et al. 2025, Thought Anchors"
    return [Planted(name=one.name, value=one.planted, source=source) for one in found], found


def shuffled(steps: Sequence[RatedStep], whose: str, shuffles: int, seed: int) -> list[NullRate]:
    """For each KL measure, how often its contrast is told apart from 0 (`told_apart`) on exchanged categories.

    p alone keeps its level by construction (exchanges of exchanges are exchanges); what is tried here is the rule that
    findings go by, interval included.
    """
    if category_contrast(steps, COMPARED[0], PLANNING, COMPUTING, n_null=0).value is None:
        return []

    def finds(name: str, rng: np.random.Generator) -> bool:
        mixed = categories_exchanged(steps, name, PLANNING, COMPUTING, rng)
        drawn = int(rng.integers(2**31))
        return told_apart(category_contrast(mixed, name, PLANNING, COMPUTING, n_null=FEWER, seed=drawn))

    told = "planning and computation exchanged within fifths of chains: p < .05 and the whole interval on one side of 0"
    return [
        null_rate(partial(finds, name), analysis=f"{whose}, {name}: {told}", shuffles=shuffles, seed=seed)
        for name in COMPARED
    ]


def _told(estimate: Estimate | None) -> str:
    return "–" if estimate is None or estimate.value is None else format_estimate(estimate)

"""Which kinds of sentences matter: importance by category, over problems, and whether measures agree on it.

Steps of one problem are alike and problems differ in scale, so problems are what is drawn again, contrasts of two
categories are made in like places of the same chain, and measures are compared by their ranks within a chain.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cotlab.stats import Estimate, cluster_mean, rank_correlation, shuffled_within

__all__ = ["RatedStep", "categories_exchanged", "category_contrast", "category_means", "rank_agreement"]

FloatArray = NDArray[np.float64]
BINS = 5
"""Parts of a chain within which places count as alike."""


@dataclass(frozen=True, slots=True)
class RatedStep:
    """A step with its category and what each measure says of it."""

    problem: str
    chain: str
    category: str
    place: float
    """Share of the chain that lies before it."""
    values: Mapping[str, float]
    """By measure; a measure that could not be told of this step is left out."""


def category_means(steps: Sequence[RatedStep], measure: str, *, level: float = 0.95) -> dict[str, Estimate]:
    """Mean of a measure over the steps of each category; problems are drawn again for the interval."""
    rated: dict[str, list[RatedStep]] = defaultdict(list)
    for step in steps:
        if measure in step.values:
            rated[step.category].append(step)
    return {
        category: cluster_mean([s.values[measure] for s in found], [s.problem for s in found], level=level)
        for category, found in sorted(rated.items())
    }


def category_contrast(
    steps: Sequence[RatedStep],
    measure: str,
    first: str,
    second: str,
    *,
    bins: int = BINS,
    level: float = 0.95,
    n_null: int = 1_000,
    seed: int = 0,
) -> Estimate:
    """Mean of the first category less that of the second in like places of the same chain, averaged over problems.

    Categories stand in different places (plans come early), and importance changes along a chain whatever is said, so
    differences are made within each chain and part of it; parts that lack one of the two do not count. A chain's
    difference is that of its parts weighted by n1·n2/(n1 + n2), a problem's the mean of its chains. What distinguishes
    problems, chains and places falls out; `n` is the number of problems. The interval draws problems again. With few
    problems it is too narrow (found on seven: `experiments/sentences`), so what is to be believed is p, from
    exchanging the two categories within chains and parts, which is exact.

    Args:
        steps: Of all chains.
        measure: Which of their values.
        first: A category.
        second: Another one.
        bins: Parts of equal length that a chain is cut into; 1: places are not looked at.
        level: Nominal coverage.
        n_null: Exchanges; p = (1 + number at least as far from 0) / (1 + n_null). 0: none.
        seed: Equal seeds give equal results.

    Raises:
        ValueError: `bins` is less than 1.
    """
    rated = _Rated.of(steps, measure, first, second, bins)
    apart = rated.by_problem(rated.is_first)
    found = cluster_mean(apart, range(len(apart)), level=level, seed=seed)
    if found.value is None or not n_null:
        return found
    null = rated.exchanged(n_null, np.random.default_rng(seed))
    return replace(
        found,
        null_mean=float(null.mean()),
        null_q95=float(np.quantile(np.abs(null), 0.95)),
        p=float((1 + (np.abs(null) >= abs(found.value) - 1e-12).sum()) / (1 + n_null)),
    )


def categories_exchanged(
    steps: Sequence[RatedStep],
    measure: str,
    first: str,
    second: str,
    rng: np.random.Generator,
    *,
    bins: int = BINS,
) -> list[RatedStep]:
    """The steps that count in a contrast, their two categories exchanged within parts of chains: nothing to find.

    Raises:
        ValueError: `bins` is less than 1.
    """
    told = _told(steps, measure, first, second)
    order = shuffled_within([(step.chain, _part(step.place, bins)) for step in told], rng)
    return [replace(step, category=told[i].category) for step, i in zip(told, order, strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class _Rated:
    """Steps of the two categories that a measure tells of, as arrays [steps]."""

    value: FloatArray
    cell: NDArray[np.intp]
    """Part of a chain."""
    is_first: NDArray[np.bool_]
    chain_of: NDArray[np.intp]
    """Of each cell."""
    problem_of: NDArray[np.intp]
    """Of each chain."""

    @classmethod
    def of(cls, steps: Sequence[RatedStep], measure: str, first: str, second: str, bins: int) -> _Rated:
        told = _told(steps, measure, first, second)
        cells: dict[tuple[str, int], int] = {}
        cell = [cells.setdefault((step.chain, _part(step.place, bins)), len(cells)) for step in told]
        chains: dict[str, int] = {}
        chain_of = [chains.setdefault(chain, len(chains)) for chain, _ in cells]
        problem, problems = {step.chain: step.problem for step in told}, dict[str, int]()
        return cls(
            np.array([step.values[measure] for step in told], dtype=float),
            np.array(cell, dtype=np.intp),
            np.array([step.category == first for step in told], dtype=bool),
            np.array(chain_of, dtype=np.intp),
            np.array([problems.setdefault(problem[chain], len(problems)) for chain in chains], dtype=np.intp),
        )

    def by_problem(self, is_first: NDArray[np.bool_]) -> FloatArray:
        """Difference in each problem that has a part of a chain with both, shape [problems]."""
        n, cells = np.empty((2, len(self.chain_of))), len(self.chain_of)
        mean = np.zeros_like(n)
        for row, here in enumerate((is_first, ~is_first)):
            n[row] = np.bincount(self.cell[here], minlength=cells)
            total = np.bincount(self.cell[here], weights=self.value[here], minlength=cells)
            np.divide(total, n[row], out=mean[row], where=n[row] > 0)
        weight = n[0] * n[1] / np.maximum(n.sum(axis=0), 1)
        chain = _means(mean[0] - mean[1], weight, self.chain_of, len(self.problem_of))
        problem = _means(chain, np.isfinite(chain).astype(float), self.problem_of, 1 + self.problem_of.max(initial=-1))
        found: FloatArray = problem[np.isfinite(problem)]
        return found

    def exchanged(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Mean over problems where the categories are exchanged within cells, shape [n]."""
        home, found = np.argsort(self.cell, kind="stable"), np.empty(n)
        mixed = np.empty_like(self.is_first)
        for i in range(n):
            mixed[home] = self.is_first[np.lexsort((rng.random(len(home)), self.cell))]
            found[i] = self.by_problem(mixed).mean()
        return found


def _told(steps: Sequence[RatedStep], measure: str, first: str, second: str) -> list[RatedStep]:
    return [step for step in steps if measure in step.values and step.category in (first, second)]


def _part(place: float, bins: int) -> int:
    if bins < 1:
        raise ValueError(f"{bins} parts of a chain, expected at least 1")
    return min(int(place * bins), bins - 1)


def _means(values: FloatArray, weight: FloatArray, group: NDArray[np.intp], groups: int) -> FloatArray:
    """Weighted mean of each group, NaN where the weights are all 0."""
    total = np.bincount(group, weights=weight, minlength=groups)
    summed = np.bincount(group, weights=np.where(weight > 0, values * weight, 0.0), minlength=groups)
    found: FloatArray = np.divide(summed, total, out=np.full(groups, np.nan), where=total > 0)
    return found


def rank_agreement(
    steps: Sequence[RatedStep], first: str, second: str, *, bins: int = 1, level: float = 0.95
) -> Estimate:
    """Spearman's ρ of two measures, of ranks within each chain; the null exchanges steps of one chain.

    Steps that one of the measures does not tell of, and parts with fewer than three steps left, do not count.

    Args:
        steps: Of all chains.
        first: Name of a measure.
        second: Name of another.
        bins: Parts of a chain within which ranks are taken and steps exchanged: measures that both fall along a chain
            agree over the whole of it, whatever they say of its steps.
        level: Nominal coverage.
    """
    parts: dict[tuple[str, int], list[RatedStep]] = defaultdict(list)
    for step in steps:
        if first in step.values and second in step.values:
            parts[step.chain, int(step.place * bins)].append(step)
    kept = [(f"{chain}/{part}", found) for (chain, part), found in parts.items() if len(found) > 2]
    if not kept:
        where = "chain" if bins == 1 else "part of a chain"
        return Estimate.missing(f"no {where} has three steps that both measures tell of", method="spearman")
    return rank_correlation(
        np.concatenate([_ranks([step.values[first] for step in found]) for _, found in kept]),
        np.concatenate([_ranks([step.values[second] for step in found]) for _, found in kept]),
        [step.problem for _, found in kept for step in found],
        strata=[name for name, found in kept for _ in found],
        level=level,
        n_boot=1_000,
        n_null=500,
    )


def _ranks(values: Sequence[float]) -> FloatArray:
    """Ranks in (0, 1), so that chains of different lengths are alike."""
    from scipy.stats import rankdata

    found: FloatArray = np.asarray(rankdata(values), dtype=float) / (len(values) + 1)
    return found

"""What becomes of the answer where sentences are never said again: resilience, counterfactual++ and sets of steps.

The model often says again what was taken away, so that a single step seems not to matter: the next one does its work.
Here the model is resampled wherever it says it (`cotlab.sampling.draw_avoiding`), so that it never does.

- resilience(S_i): how many rounds that takes, on average (Macar et al. 2025, "Thought Branches", §2.1).
- counterfactual++(S_i): V(R_{i+1}) − V(nobody says S_i from i on), or KL[p(A | ∀j≥i: T_j ≉ S_i) ‖ p(A | R_{i+1})]
  (idem).
- The necessity of a set C of steps, from i₀ = min C: e(C) = V(R_{i₀}) − V(nothing like a step of C is said from i₀ on).
  The interaction I(C) = Σ_{B ⊆ C} (−1)^{|C|−|B|} e(B), e(∅) = 0 (Grabisch and Roubens 1999, with the set function of
  removals), is above 0 where the steps stand in for each other: the answer is overdetermined, and each alone shows less
  than its part.

All sets of one C start at the same prefix and share the rollouts of their first round, so the interaction's interval
comes from drawing whole trails again, a trail number at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from cotlab.measures.contrast import Metric, contrast
from cotlab.measures.prefix_draws import rollout_draws
from cotlab.runs import Run
from cotlab.sampling import Trail
from cotlab.stats import Estimate, cluster_mean
from cotlab.trees import MIN_ROLLOUTS, Draws, unusable

__all__ = ["AvoidedDraws", "avoided_draws", "avoiding_effect", "interaction", "resilience", "subsets"]

MAX_GIVEN_UP = 0.1
"""Where more trails than this never got away, those that did are too special a part."""


@dataclass(frozen=True, slots=True)
class AvoidedDraws:
    """Rollouts that never say certain sentences; arrays are [trails]."""

    draws: Draws
    """Of the trails that escaped."""
    numbers: tuple[int, ...]
    """Their trail numbers, in the order of `draws`."""
    rounds: tuple[int, ...]
    """Rounds of every trail, in the order of their numbers."""
    given_up: int
    """Trails that used up their rounds."""
    missing: int = 0
    """Trails whose rollouts are not all there."""

    @property
    def reason(self) -> str | None:
        """Why nothing can be said of those that escaped; None if it can."""
        if self.missing:
            return f"{self.missing} of {len(self.rounds)} trails are not finished: give the command again"
        if self.given_up > MAX_GIVEN_UP * len(self.rounds):
            most = max(self.rounds, default=0)
            return f"{self.given_up} of {len(self.rounds)} trails still say it after {most} rounds"
        return None


def avoided_draws(run: Run, trails: Sequence[Trail], *, scorer_id: str, name: str = "avoided") -> AvoidedDraws:
    """What trails that were drawn (`cotlab.sampling.draw_avoiding`) and scored came to.

    Args:
        run: Where they are.
        trails: Of one chain and one set of steps.
        scorer_id: Whose verdicts count.
        name: Stands in the place of a prefix id.

    Raises:
        UserError: Nobody of that name has scored.
    """
    ended = [(trail.prefix.id, trail.rollout.id) for trail in trails if trail.escaped and trail.rollout]
    return AvoidedDraws(
        rollout_draws(run, ended, scorer_id=scorer_id, name=name),
        tuple(trail.number for trail in trails if trail.escaped),
        tuple(trail.rounds for trail in trails),
        sum(trail.given_up for trail in trails),
        sum(trail.waiting for trail in trails),
    )


def resilience(avoided: AvoidedDraws, *, level: float = 0.95, seed: int = 0) -> Estimate:
    """Mean number of rounds until what is avoided stays away, with a bootstrap interval over trails.

    Trails that were given up count with the rounds that they had, so the mean is then a lower bound; where there are
    many the reason says so in its place.
    """
    if avoided.reason is not None:
        return Estimate.missing(avoided.reason, method="cluster-bootstrap", n=len(avoided.rounds))
    return cluster_mean(avoided.rounds, range(len(avoided.rounds)), level=level, seed=seed)


def avoiding_effect(
    avoided: AvoidedDraws,
    second: Draws,
    metric: Metric = "delta-v",
    *,
    level: float = 0.95,
    min_n: int = MIN_ROLLOUTS,
) -> Estimate:
    """Counterfactual++ (second = R_{i+1}) or the necessity of a set (second = R_{i₀}).

    Args:
        avoided: Rollouts that never say it.
        second: Rollouts that it is compared with.
        metric: delta-v is V(second) − V(avoided); kl and tv of the avoided from the second.
        level: Nominal coverage.
        min_n: Smallest number of rollouts of either.
    """
    if avoided.reason is not None:
        missing = Estimate.missing(avoided.reason, n=len(second))
        return replace(missing, n1=len(avoided.draws), n2=len(second), level=level)
    names = ("rollouts that never say it", "those with it")
    found = contrast(avoided.draws, second, metric, level=level, min_n=min_n, names=names)
    return replace(found, method=f"{found.method}, avoided")


def subsets(steps: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Every subset but the empty one, small ones first."""
    ordered = sorted(set(steps))
    return [part for size in range(1, len(ordered) + 1) for part in combinations(ordered, size)]


def interaction(
    avoided: Mapping[tuple[int, ...], AvoidedDraws],
    start: Draws,
    *,
    level: float = 0.95,
    n_boot: int = 2_000,
    seed: int = 0,
) -> Estimate:
    """I(C) of the largest set, from the rollouts that avoid each of its subsets.

    The interval is a percentile bootstrap: trail numbers are drawn again for all subsets together, the rollouts of
    R_{i₀} apart.

    Args:
        avoided: One entry for each of `subsets(C)`.
        start: R_{i₀}.
        level: Nominal coverage.
        n_boot: Bootstrap samples.
        seed: Equal seeds give equal intervals.

    Raises:
        ValueError: A subset is missing.
    """
    whole = max(avoided, key=len)
    if set(subsets(whole)) != set(avoided):
        raise ValueError(f"avoided sets are {sorted(avoided)}, expected every subset of {whole}")
    n = min(len(one.rounds) for one in avoided.values())
    reason = _unusable(avoided, start)
    if reason is not None:
        return Estimate.missing(reason, method="bootstrap", n=n)
    rng = np.random.default_rng(seed)
    weights = np.vstack([np.ones(n), rng.multinomial(n, np.full(n, 1 / n), size=n_boot)])
    share = start.count("correct") / len(start)
    base = np.append(share, rng.binomial(len(start), share, size=n_boot) / len(start))
    total = np.zeros(n_boot + 1)  # the sample itself first
    for steps, one in avoided.items():
        right, seen = np.zeros(n), np.zeros(n)
        seen[list(one.numbers)] = 1
        right[list(one.numbers)] = one.draws.where("correct")
        total += (-1) ** (len(whole) - len(steps)) * (base - (weights @ right) / np.maximum(weights @ seen, 1))
    low, high = np.quantile(total[1:], [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(total[0]), float(low), float(high), n=n, n1=n, n2=len(start), level=level, method="bootstrap")


def _unusable(avoided: Mapping[tuple[int, ...], AvoidedDraws], start: Draws) -> str | None:
    reason = unusable(start, MIN_ROLLOUTS)
    if reason is not None:
        return f"before the steps: {reason}"
    if len({len(one.rounds) for one in avoided.values()}) > 1:
        return "the subsets have different numbers of trails: give the command again"
    for steps, one in avoided.items():
        reason = one.reason or unusable(one.draws, MIN_ROLLOUTS)
        if reason is not None:
            return f"avoiding {', '.join(map(str, steps))}: {reason}"
    return None

"""The published arithmetic of Thought Anchors, as its authors' code has it: `variant="thought-anchors"`.

Re-stated from `analyze_rollouts.py` of their repository (Bogdan et al. 2025), so that published tables can be computed
again number by number. It differs from the measures of this room:

- Rollouts without an answer are left out of every share and distribution (here they are outcomes of their own).
- Divergences are smoothed with α = 1e-9. They are over answers or, where `use_prob_true` is set, over right and not
  right; then rollouts without an answer count as not right in the resampling form.
- The second distribution of the counterfactual KL is Q = R_{i+1} ∪ {members of R_i with T_i ≈ S_i}.
- The counterfactual accuracy form is acc(T_i ≉ S_i) − acc(R_{i+1}): the opposite sign of the resampling form.
- Only rollouts begun at a prefix count for it; where there are none, or no next chunk, the value is 0.

Null floors and intervals are ours: outcomes exchanged between the two sets, and a percentile bootstrap over rollouts,
under the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cotlab.measures.along_chain import ChainRollouts
from cotlab.measures.similarity import Similarity, alike, in_place
from cotlab.stats import Estimate, difference_estimate, wilson
from cotlab.stats.proportion import FloatArray
from cotlab.trees import Draws

__all__ = ["ALPHA", "Over", "PublishedStep", "kl_answers", "published_forced", "published_importance"]

Over: TypeAlias = Literal["answers", "right"]
"""What their divergences compare."""

ALPHA = 1e-9
"""Pseudo-count of their code."""
METHOD = "thought-anchors"
LAST, NO_ANSWERS = "no next chunk", "no rollouts with an answer"
REPEATS = 1_000


@dataclass(frozen=True, slots=True)
class PublishedStep:
    """One row of `chunks_labeled.json`; fields are named as its columns."""

    chunk_idx: int
    accuracy: Estimate
    resampling_importance_accuracy: Estimate
    resampling_importance_kl: Estimate
    counterfactual_importance_accuracy: Estimate
    counterfactual_importance_kl: Estimate
    different_trajectories_fraction: Estimate
    overdeterminedness: Estimate


@dataclass(frozen=True, slots=True)
class _Set:
    """Rollouts as their code sees them: [rollouts] each."""

    keys: NDArray[np.object_]
    right: NDArray[np.bool_]

    @classmethod
    def of(cls, draws: Draws) -> _Set:
        return cls(draws.keys, draws.where("correct"))

    def has_answer(self) -> NDArray[np.bool_]:
        return np.array([key is not None for key in self.keys.tolist()], dtype=bool)

    def where(self, mask: NDArray[np.bool_]) -> _Set:
        return _Set(self.keys[mask], self.right[mask])

    def judged(self) -> _Set:
        """The same with right and not right in the place of answers."""
        return _Set(self.right.astype(object), self.right)

    def __len__(self) -> int:
        return len(self.keys)

    def __add__(self, other: _Set) -> _Set:
        return _Set(np.append(self.keys, other.keys), np.append(self.right, other.right))


def kl_answers(counts1: NDArray[np.int64], counts2: NDArray[np.int64]) -> FloatArray:
    """Their KL over answers: counts [..., answers] plus α each, in nats; 0 where either has no answers."""
    p, q = ((c + ALPHA) / (c + ALPHA).sum(axis=-1, keepdims=True) for c in (counts1, counts2))
    seen = (counts1 + counts2) > 0  # answers that neither has are no answers of theirs
    total = np.where(seen, p * np.log(p / q), 0.0).sum(axis=-1)
    usable = (counts1.sum(axis=-1) > 0) & (counts2.sum(axis=-1) > 0)
    result: FloatArray = np.where(usable, np.maximum(total, 0.0), 0.0)
    return result


def published_importance(
    data: ChainRollouts, similarity: Similarity, *, over: Over = "answers", level: float = 0.95, seed: int = 0
) -> tuple[PublishedStep, ...]:
    """Every measure of `chunks_labeled.json` that rollouts decide (forced answers: `published_forced`).

    Args:
        data: Rollouts along a chain, with the first sentence of each.
        similarity: Theirs is the cosine of all-MiniLM-L6-v2 with threshold 0.8.
        over: What divergences compare: answers, or right and not right.
        level: Nominal coverage of our intervals.
        seed: Of our null floors and intervals.

    Returns:
        One row for each sampled position. A value that they set to 0 for want of data has a `reason` beside it.
    """
    here = [k for k in data.sampled() if k < len(data.steps)]
    rng = np.random.default_rng(seed)
    sets, said = {}, {}
    for k in here:
        begun = data.draws(k).origin == k
        sets[k] = _Set.of(data.draws(k).select(begun))
        said[k] = [text.strip() for text, own in zip(data.said(k), begun, strict=True) if own]
    rows = []
    for k, after in zip(here, [*here[1:], None], strict=True):
        similar = in_place(similarity, data.kept(k))
        other = ~alike(similar, [data.steps[k].strip()], said[k])[0] if said[k] else np.zeros(0, dtype=bool)
        following = None if after is None else sets[after]
        rows.append(_Row(k, sets[k], said[k], other, following, over, level, rng).step())
    return tuple(rows)


def published_forced(
    draws: Sequence[Draws], *, level: float = 0.95, seed: int = 0
) -> tuple[tuple[Estimate, Estimate], ...]:
    """`forced_importance_accuracy` and `forced_importance_kl` of each step, from forced answers at each prefix."""
    rng, found = np.random.default_rng(seed), []
    whole = [_Set.of(one) for one in draws]
    sets = [one.where(one.has_answer()) for one in whole]
    for before, after in zip(sets, sets[1:], strict=False):
        found.append((_accuracy_difference(before, after, level), _kl(before, after, level, rng)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Row:
    """One chunk, with what their code looks at."""

    k: int
    now: _Set
    said: list[str]
    other: NDArray[np.bool_]
    """Which of `now` say something else, [rollouts]."""
    following: _Set | None
    """Rollouts from the next chunk; None at the last."""
    over: Over
    level: float
    rng: np.random.Generator

    def step(self) -> PublishedStep:
        has = self.now.has_answer()
        current, other = self.now.where(has), self.other[has]
        texts = [text for text, counts in zip(self.said, has.tolist(), strict=True) if counts]
        accuracy, divergence = self._resampling(current)
        their_accuracy, their_divergence = self._counterfactual(current.where(other), current.where(~other))
        unique = 1 - len(set(texts)) / len(texts) if texts else 0.0
        return PublishedStep(
            self.k,
            accuracy=_share(int(current.right.sum()), len(current), self.level),
            resampling_importance_accuracy=accuracy,
            resampling_importance_kl=divergence,
            counterfactual_importance_accuracy=their_accuracy,
            counterfactual_importance_kl=their_divergence,
            different_trajectories_fraction=_share(int(other.sum()), len(other), self.level),
            overdeterminedness=Estimate(unique, n=len(texts), method=METHOD) if texts else _zero(NO_ANSWERS),
        )

    def _resampling(self, current: _Set) -> tuple[Estimate, Estimate]:
        if self.following is None:
            return _zero(LAST), _zero(LAST)
        after = self.following.where(self.following.has_answer())
        pair = (current, after) if self.over == "answers" else (self.now.judged(), self.following.judged())
        return _accuracy_difference(current, after, self.level), _kl(*pair, self.level, self.rng)

    def _counterfactual(self, dissimilar: _Set, similar: _Set) -> tuple[Estimate, Estimate]:
        if self.following is None or not len(dissimilar):
            zero = _zero(LAST if self.following is None else "no dissimilar rollouts")
            return zero, zero
        after = self.following.where(self.following.has_answer())
        pair = (dissimilar, after + similar)
        if self.over == "right":
            pair = (pair[0].judged(), pair[1].judged())
        return _accuracy_difference(after, dissimilar, self.level), _kl(*pair, self.level, self.rng)


def _zero(reason: str) -> Estimate:
    return Estimate(0.0, method=METHOD, reason=f"{reason}: published as 0")


def _share(k: int, n: int, level: float) -> Estimate:
    if not n:
        return _zero(NO_ANSWERS)
    low, high = wilson(k, n, level)
    return Estimate(k / n, float(low), float(high), n=n, level=level, method=METHOD)


def _accuracy_difference(first: _Set, second: _Set, level: float) -> Estimate:
    """acc(second) − acc(first)."""
    if not len(first) or not len(second):
        return _zero(NO_ANSWERS)
    counts = (int(first.right.sum()), len(first), int(second.right.sum()), len(second))
    return replace(difference_estimate(*counts, level=level), method=METHOD)


def _kl(first: _Set, second: _Set, level: float, rng: np.random.Generator) -> Estimate:
    if not len(first) or not len(second):
        return _zero(NO_ANSWERS)
    kinds = {key: i for i, key in enumerate(dict.fromkeys([*first.keys.tolist(), *second.keys.tolist()]))}
    counts = [np.bincount([kinds[key] for key in one.keys.tolist()], minlength=len(kinds)) for one in (first, second)]
    value = float(kl_answers(*counts))
    again = [rng.multinomial(c.sum(), c / c.sum(), size=REPEATS) for c in counts]
    low, high = np.quantile(kl_answers(*again), [(1 - level) / 2, (1 + level) / 2])
    pooled = counts[0] + counts[1]
    exchanged = rng.multivariate_hypergeometric(pooled, len(first), size=REPEATS, method="marginals")
    null = kl_answers(exchanged, pooled - exchanged)
    return Estimate(
        value,
        float(min(low, value)),
        float(max(high, value)),
        n=len(second),
        n1=len(first),
        n2=len(second),
        level=level,
        null_mean=float(null.mean()),
        null_q95=float(np.quantile(null, 0.95)),
        p=float((1 + (null >= value - 1e-12).sum()) / (1 + REPEATS)),
        method=METHOD,
    )

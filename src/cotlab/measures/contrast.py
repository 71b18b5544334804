"""Two sets of rollouts compared: by the chance of a right answer, or by the whole distribution over answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from cotlab.errors import UserError
from cotlab.stats import Estimate, difference_estimate, divergence_estimate
from cotlab.trees import MIN_ROLLOUTS, Draws, unusable

__all__ = ["METRICS", "Metric", "answer_keys", "checked_metric", "contrast", "difference_bounds"]

Metric: TypeAlias = Literal["delta-v", "kl", "tv"]
"""delta-v: V(second) − V(first). kl: KL[p(A | first) ‖ p(A | second)] in nats. tv: total variation of the two."""
METRICS: tuple[Metric, ...] = get_args(Metric)


def checked_metric(name: str) -> Metric:
    """The metric of that name.

    Raises:
        UserError: There is none.
    """
    for metric in METRICS:
        if name == metric:
            return metric
    raise UserError(f"no metric is named {name!r}. Choose one of {', '.join(METRICS)}")


def contrast(
    first: Draws,
    second: Draws,
    metric: Metric = "delta-v",
    *,
    level: float = 0.95,
    min_n: int = MIN_ROLLOUTS,
    names: tuple[str, str] = ("before the step", "after the step"),
    seed: int = 0,
) -> Estimate:
    """Compare two sets of rollouts, which may share members (told by their ids).

    Args:
        first: Rollouts without what is studied.
        second: Rollouts with it.
        metric: What is compared. Answers are compared without a gold answer too; unparsable and truncated rollouts are
            answers of their own.
        level: Nominal coverage.
        min_n: Smallest number of rollouts in either set.
        names: What reasons call the two sets.
        seed: Of permutations and posterior draws (kl and tv).

    Returns:
        The estimate, without q; a reason in place of a number where one of the two is too small, all truncated or, for
        delta-v, not judged.
    """
    for draws, which in zip((first, second), names, strict=True):
        reason = unusable(draws, min_n, judged=metric == "delta-v")
        if reason is not None:
            method = "newcombe" if metric == "delta-v" else f"{metric}-dirichlet"
            missing = Estimate.missing(f"{which}: {reason}", method=method, n=len(second))
            return replace(missing, n1=len(first), n2=len(second), level=level)
    in_second, in_first = np.isin(first.rollout_ids, second.rollout_ids), np.isin(second.rollout_ids, first.rollout_ids)
    if metric == "delta-v":
        shared = first.select(in_second)
        return difference_estimate(
            first.count("correct"),
            len(first),
            second.count("correct"),
            len(second),
            k_shared=shared.count("correct"),
            n_shared=len(shared),
            level=level,
            min_n=min_n,
        )
    left, right = answer_keys(first), answer_keys(second)
    kinds = sorted({*left.tolist(), *right.tolist()})
    only1, shared_counts, only2 = (
        _counts(part, kinds) for part in (left[~in_second], left[in_second], right[~in_first])
    )
    return divergence_estimate(only1, only2, shared_counts, metric=metric, level=level, min_n=min_n, seed=seed)


def difference_bounds(first: Draws, second: Draws) -> tuple[float, float] | None:
    """V(second) − V(first) at its least and at its most over all ways that the truncated rollouts may have ended.

    A truncated rollout that is in both ends in one way. None where one of the two is empty or not judged.
    """
    n1, n2 = len(first), len(second)
    if not n1 or not n2 or first.count("unjudged") or second.count("unjudged"):
        return None
    cut1, cut2 = first.rollout_ids[first.where("truncated")], second.rollout_ids[second.where("truncated")]
    both = int(np.isin(cut1, cut2).sum())
    value, each = second.count("correct") / n2 - first.count("correct") / n1, 1 / n2 - 1 / n1
    return (
        value - (len(cut1) - both) / n1 + both * min(0.0, each),
        value + (len(cut2) - both) / n2 + both * max(0.0, each),
    )


def answer_keys(draws: Draws) -> NDArray[np.str_]:
    """What each rollout ends in, [rollouts]: its answer key, or its outcome where there is no answer."""
    outcomes = draws.outcome_names()
    return np.array(
        [f"={key}" if key is not None else outcome for key, outcome in zip(draws.keys.tolist(), outcomes, strict=True)],
        dtype=np.str_,
    ).reshape(len(draws))


def _counts(keys: NDArray[np.str_], kinds: list[str]) -> list[int]:
    place = {kind: i for i, kind in enumerate(kinds)}
    return (
        np.bincount([place[key] for key in keys.tolist()], minlength=len(kinds)).tolist()
        if len(keys)
        else [0] * len(kinds)
    )

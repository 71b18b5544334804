"""Problems of reasoning-gym (an optional package): more than a hundred generators, each with its own check."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
from typing import Any

from cotlab.chains.problem import Problem
from cotlab.errors import DataError

__all__ = ["gym_problems"]


def gym_problems(dataset: str, n: int, seed: int) -> list[Problem]:
    """Problems `0 … n−1` of one data set, checked by the data set's own `score_answer`.

    A problem's meta says how to generate it again (data set, seed, index, size, version): that is what the checker
    does, so that nothing of the data set's own bookkeeping has to be stored.

    Raises:
        DataError: The package is not installed, or has no such data set.
    """
    try:
        gym = importlib.import_module("reasoning_gym")
    except ModuleNotFoundError as error:
        raise DataError(
            f"problems reasoning-gym:{dataset}: the package reasoning-gym is not installed: "
            "install cotlab's extra 'problems'"
        ) from error
    known = list(importlib.import_module("reasoning_gym.factory").DATASETS)
    if dataset not in known:
        near = difflib.get_close_matches(dataset, known, n=3) or sorted(known)[:8]
        raise DataError(f"reasoning-gym has no data set {dataset!r}: choose for example {', '.join(near)}")
    version = importlib.metadata.version("reasoning-gym")
    entries = gym.create_dataset(dataset, seed=seed, size=n)
    where = {"dataset": dataset, "seed": seed, "size": n, "version": version}
    return [_problem(entries[index], {**where, "index": index}) for index in range(n)]


def _problem(entry: dict[str, Any], meta: dict[str, Any]) -> Problem:
    answer = entry.get("answer")
    return Problem(
        question=str(entry["question"]),
        answer=None if answer is None else str(answer),
        checker="reasoning-gym",
        name=f"{meta['dataset']}/{meta['seed']}.{meta['index']}",
        meta=meta,
    )

"""What the steps of a chain were said to do: labels of the oracle, of an import, or of the category model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cotlab.categories import MODEL_ID
from cotlab.chains.chain import Chain
from cotlab.runs import Run
from cotlab.sampling import ORACLE_ID

__all__ = ["CATEGORY_SCORERS", "step_labels"]

CATEGORY_SCORERS = (ORACLE_ID, "math-rollouts/1", MODEL_ID)
"""Whose categories are shown: the first of these that has said any of a chain."""


def step_labels(run: Run, chain: Chain, scorer_ids: Sequence[str] = CATEGORY_SCORERS) -> dict[int, dict[str, Any]]:
    """Labels by step (`category`, `backtracks`, …) of the first of the scorers that has labelled any; none: empty."""
    prefix, found = f"{chain.id}/", dict[int, dict[str, Any]]()
    for name in scorer_ids:
        for score in run.scores("step", name) if not found else ():
            if score.subject_id.startswith(prefix):
                found[int(score.subject_id.removeprefix(prefix))] = score.value
    return found

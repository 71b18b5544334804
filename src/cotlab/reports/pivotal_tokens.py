"""Export of pivotal steps as JSONL, in the fields of codelion/pts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cotlab.chains.chain import Chain
from cotlab.errors import UserError
from cotlab.measures import chain_rollouts, importance, value
from cotlab.runs import Run
from cotlab.runs.faults import disk_explained
from cotlab.trees import ConditionIds

__all__ = ["PIVOTAL", "export_pivotal_tokens"]

PIVOTAL = 0.2
"""Smallest |ΔV| of a pivotal token (codelion/pts)."""
IMPORTED = "pivotal-tokens/1"


def export_pivotal_tokens(
    run: Run,
    out: Path | str,
    *,
    scorer_id: str = "answers",
    threshold: float = PIVOTAL,
    condition: ConditionIds | None = None,
) -> Path:
    """Write the steps that move the chance of a right answer by `threshold` or more; imported ones as they came.

    Interval, p, q and the numbers of rollouts are in `metadata`.

    Args:
        run: The run.
        out: File that does not exist yet.
        scorer_id: Whose verdicts count.
        threshold: Smallest absolute difference.
        condition: Settings and engine; None where the run holds rollouts of one pair only.

    Raises:
        UserError: The file is there, or the run has no chain.
    """
    path = Path(out)
    if path.exists():
        raise UserError(f"{path} is there already: choose another file")
    chains = run.chains()
    if not chains:
        raise UserError(f"{run.path} has no chain to export. Make one with `cotlab resample`")
    imported = {score.subject_id: score.value for score in run.scores("step", IMPORTED)}
    rows = [row for chain in chains for row in _rows(run, chain, imported, scorer_id, threshold, condition)]
    with disk_explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows), encoding="utf-8")
    return path


def _rows(
    run: Run,
    chain: Chain,
    imported: dict[str, dict[str, Any]],
    scorer_id: str,
    threshold: float,
    condition: ConditionIds | None,
) -> Iterator[dict[str, Any]]:
    prompt = run.prompt_text(chain.prefix(0).id)
    known = imported.get(f"{chain.id}/0")
    if known is not None:
        yield {"label": chain.steps[0].text, "context": prompt, **known}
        return
    data = chain_rollouts(run, chain, scorer_id=scorer_id, condition=condition, depth=0)
    draws = [data.draws(k) for k in data.sampled()]
    for (k, after), effect, before, later in zip(data.pairs(), importance(draws), draws, draws[1:], strict=False):
        if effect.value is None or abs(effect.value) < threshold:
            continue
        yield {
            "event_type": "pivotal",
            "granularity": "token" if chain.cutter_id.startswith("tokens/") else "sentence",
            "label": "".join(data.steps[k:after]),
            "context": prompt + data.kept(k),
            "position": k,
            "prob_before": value(before).estimate.value,
            "prob_after": value(later).estimate.value,
            "delta": effect.value,
            "score": abs(effect.value),
            "category": "positive" if effect.value > 0 else "negative",
            "metadata": {
                "model": run.identity.model,
                "query": run.problems()[chain.problem_id].question,
                "chain": chain.id,
                **{name: getattr(effect, name) for name in ("low", "high", "n1", "n2", "p", "q")},
            },
        }

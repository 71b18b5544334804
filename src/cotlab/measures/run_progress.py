"""Progress along the chains of a run: from what is stored to what `progress` takes."""

from __future__ import annotations

from cotlab.chains.chain import Chain
from cotlab.measures.progress import Progress, progress
from cotlab.runs import Run
from cotlab.trees import ConditionIds, chain_draws, chain_verdict, resolve_scorer

__all__ = ["chain_progress"]


def chain_progress(
    run: Run, chain: Chain, *, scorer_id: str, condition: ConditionIds | None = None, level: float = 0.95
) -> Progress:
    """How V moved along a chain of a run.

    Args:
        run: Where its rollouts are.
        chain: A chain of the run.
        scorer_id: Whose verdicts count.
        condition: Settings and engine; None where the run holds rollouts of one pair only.
        level: Nominal coverage of the intervals.

    Raises:
        UserError: What `chain_draws` raises.
    """
    scorer_id = resolve_scorer(run, scorer_id)
    draws = chain_draws(run, chain, scorer_id=scorer_id, condition=condition, pooled=False)
    kept = [0, *(step.end for step in chain.steps)]
    sampled = [k for k in range(len(chain.steps)) if len(draws[k])]
    outcome = chain_verdict(run, chain, scorer_id)["outcome"]
    end = None
    if outcome in ("correct", "wrong", "unparsable"):
        end = (float(outcome == "correct"), len(chain.steps), kept[-1])
    return progress(
        [draws[k] for k in sampled], positions=sampled, tokens=[kept[k] for k in sampled], end=end, level=level
    )

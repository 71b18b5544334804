"""The analysis of one chain's rollouts: the same for what is reported, for toy models and for shuffled rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cotlab.chains.chain import Chain
from cotlab.measures import OutcomeCurve, Progress, outcome_curve, progress
from cotlab.measures.branches import Branch, Branching, answer_table
from cotlab.measures.run_progress import known_end
from cotlab.runs import Run
from cotlab.trees import ConditionIds, Draws, chain_draws

__all__ = ["End", "Sampled", "curve_of", "mixed", "progress_of", "read_sampled"]

End = tuple[float, int, int]
"""Value (0 or 1), steps and tokens of a whole chain."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """The rollouts of one chain, and how it ended."""

    draws: tuple[Draws, ...]
    """Rollouts begun at each position, none of them in two; empty where none were."""
    kept: tuple[int, ...]
    """Response tokens kept at each position."""
    end: End | None

    @property
    def positions(self) -> list[int]:
        """Those that have rollouts."""
        return [k for k, one in enumerate(self.draws) if len(one)]


def read_sampled(run: Run, chain: Chain, *, scorer_id: str, condition: ConditionIds | None = None) -> Sampled:
    """What a run holds of a chain.

    Raises:
        UserError: What `chain_draws` raises.
    """
    draws = chain_draws(run, chain, scorer_id=scorer_id, condition=condition, pooled=False)
    before_end = tuple(draws[k] for k in range(len(chain.steps)))
    kept = (0, *(step.end for step in chain.steps))
    return Sampled(before_end, kept, known_end(run, chain, scorer_id=scorer_id))


def progress_of(sampled: Sampled) -> Progress:
    """How V moves; the chain's own end counts where `progress` lets it count."""
    at = sampled.positions
    return progress(
        [sampled.draws[k] for k in at],
        positions=at,
        tokens=[sampled.kept[k] for k in at],
        end=sampled.end,
    )


def curve_of(sampled: Sampled) -> OutcomeCurve:
    """The curve of answers with its forks; its places are those of `Sampled.positions`."""
    begun = [Branching(k, (Branch(None, 1.0, 1.0, False, sampled.draws[k]),)) for k in sampled.positions]
    categories, shares = answer_table(begun)
    return outcome_curve(shares, np.array([one.worth for one in begun]), categories=categories)


def mixed(sampled: Sampled, rng: np.random.Generator) -> Sampled:
    """Rollouts, with outcome and answer, exchanged between the positions; the chain's end stays what it is."""
    at = sampled.positions
    names = [name for k in at for name in sampled.draws[k].outcome_names()]
    keys = [key for k in at for key in sampled.draws[k].keys.tolist()]
    order, cuts = rng.permutation(len(names)), np.cumsum([0, *(len(sampled.draws[k]) for k in at)])
    draws = list(sampled.draws)
    for i, k in enumerate(at):
        mine: Sequence[int] = order[cuts[i] : cuts[i + 1]].tolist()
        draws[k] = Draws.of(str(k), [names[j] for j in mine], keys=[keys[j] for j in mine])
    return Sampled(tuple(draws), sampled.kept, sampled.end)

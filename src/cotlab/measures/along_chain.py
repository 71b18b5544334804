"""A chain with the rollouts along it and what they say: what the importance measures start from."""

from __future__ import annotations

from dataclasses import dataclass

from cotlab.chains.chain import Chain
from cotlab.chains.tokens import Tokenizer
from cotlab.runs import Run
from cotlab.trees import ConditionIds, Draws, RolloutPath, paths

__all__ = ["ChainRollouts", "chain_rollouts"]


@dataclass(frozen=True, slots=True)
class ChainRollouts:
    """Rollouts begun at prefixes of one chain, with the steps that they say.

    Position k keeps the first k steps. R_k are the rollouts through the prefix at k; S_k is the step of the chain
    there, T_k what a rollout of R_k says in its place.
    """

    steps: tuple[str, ...]
    """Texts of the chain's steps."""
    prefix_ids: tuple[str, ...]
    """One for each position 0 … number of steps."""
    paths: tuple[RolloutPath, ...]
    """`RolloutPath.steps` holds as many steps after the chain was left as were read."""

    def kept(self, k: int) -> str:
        """What the prefix at k keeps of the response."""
        return "".join(self.steps[:k])

    def members(self, k: int) -> list[RolloutPath]:
        """Those that are samples of what follows the prefix at k, in the order of `draws(k)`."""
        return [path for path in self.paths if path.passage.counts_at(k)]

    def draws(self, k: int) -> Draws:
        """R_k: outcomes and answers."""
        here = [path.passage for path in self.members(k)]
        return Draws.of(
            self.prefix_ids[k],
            [p.outcome for p in here],
            rollout_ids=[p.rollout_id for p in here],
            sample_idx=[p.sample_idx for p in here],
            origin=[p.origin for p in here],
            keys=[p.key for p in here],
        )

    def said(self, k: int) -> list[str]:
        """T_k of each rollout of R_k, in the order of `draws(k)`; empty where it ends there."""
        return [next(iter(self.continuation(path, k)), "") for path in self.members(k)]

    def continuation(self, path: RolloutPath, k: int) -> tuple[str, ...]:
        """Steps that a rollout of R_k says from position k on."""
        return (*self.steps[k : path.passage.last], *path.steps)

    def sampled(self) -> list[int]:
        """Positions at which rollouts were begun, ascending."""
        return sorted({path.passage.origin for path in self.paths})

    def pairs(self) -> list[tuple[int, int]]:
        """Neighbouring sampled positions: the first is before a step (or several), the second after."""
        found = self.sampled()
        return list(zip(found, found[1:], strict=False))


def chain_rollouts(
    run: Run,
    chain: Chain,
    *,
    scorer_id: str,
    condition: ConditionIds | None = None,
    depth: int | None = 1,
    tokenizer: Tokenizer | None = None,
) -> ChainRollouts:
    """Read the baseline rollouts along a chain, once.

    Args:
        run: Where they are.
        chain: A chain of the run.
        scorer_id: Whose verdicts count: an id, or a bare name for its last version.
        condition: Settings and engine; None where the run holds rollouts of one pair only.
        depth: Steps kept of each rollout after it leaves the chain; 0: none; None: all of them (`sentence_importance`).
        tokenizer: See `cotlab.trees.paths.paths`.

    Raises:
        UserError: What `chain_draws` and `paths` raise.
    """
    found = paths(run, chain, scorer_id=scorer_id, condition=condition, depth=depth, tokenizer=tokenizer)
    return ChainRollouts(
        tuple(step.text for step in chain.steps),
        tuple(chain.prefix(k).id for k in range(len(chain.steps) + 1)),
        tuple(found),
    )

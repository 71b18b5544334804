"""Which rollouts pass through which prefixes of a chain.

1. Rollouts begun at any prefix of the chain are compared with the chain's token ids once; the length that they share
   says through which prefixes they pass.
2. Of each condition only a complete block counts (`blocks`). What finishes first in a half-finished one is short, and
   short is not like long; a position whose block is not whole has a reason in place of draws (`unfinished`).
3. The base chain was chosen, so below the prompt it is no sample: it passes through every prefix by choice. The prompt
   was not chosen by it, so there it counts. A chain chosen as the FIRST right (wrong) one of some samples makes those
   drawn before it wrong (right) by choice: below the prompt they count as little as the chain. (Studies draw the
   samples to choose from apart, so that nothing is lost.)
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from cotlab.chains.chain import Chain
from cotlab.chains.own_scorer import load_scorer
from cotlab.chains.sample_idx import APART
from cotlab.chains.score import Outcome
from cotlab.errors import UserError
from cotlab.interventions.base import Baseline
from cotlab.runs import Run
from cotlab.runs.rows import SaidRow
from cotlab.runs.scores import FORMER
from cotlab.trees.blocks import complete_block, why_unfinished
from cotlab.trees.conditions import ConditionIds, positions_of, sampled_under
from cotlab.trees.draws import Draws

__all__ = ["Passage", "by_position", "chain_draws", "draws_at", "resolve_scorer", "unfinished", "walk"]


class Passage(NamedTuple):
    """A rollout and how far it goes along a chain. A tuple: a run has hundreds of thousands."""

    rollout_id: str
    sample_idx: int
    origin: int
    """Steps of the chain kept where it began."""
    last: int
    """Steps of the chain that it says in the end, those kept included (`last` ≥ `origin`)."""
    counts_below: bool
    """Whether it is a sample at prefixes below the one where it began."""
    outcome: Outcome
    key: str | None
    """Answer key."""

    def counts_at(self, n_steps: int) -> bool:
        """Whether it is a sample of what follows the prefix that keeps `n_steps` steps."""
        return self.origin == n_steps or (self.counts_below and self.origin < n_steps <= self.last)


def chain_draws(
    run: Run, chain: Chain, *, scorer_id: str, condition: ConditionIds | None = None, pooled: bool = True
) -> tuple[Draws, ...]:
    """Rollouts through each prefix of a chain.

    Args:
        run: Where they are.
        chain: A chain of the run.
        scorer_id: Whose verdicts count: an id, or a bare name for its last version.
        condition: Settings and engine; None where the run holds rollouts of one pair only.
        pooled: Also count rollouts begun further up whose ids pass through (they are as good as those begun here).

    Returns:
        One for each of prefixes 0 … number of steps; empty where nothing passes, and empty with a reason where what
        was asked for there is not all there (it favours short rollouts).

    Raises:
        UserError: The run holds rollouts of several engines or settings and `condition` does not choose, or
            nobody of that name has scored.
    """
    found = [passage for passage, _ in walk(run, chain, scorer_id=scorer_id, condition=condition)]
    lacking = unfinished(run, chain, scorer_id=scorer_id, condition=condition)
    here = by_position(found, len(chain.steps))
    return tuple(
        draws_at(chain, k, [found[i] for i in here[k]], pooled=pooled, lacking=lacking.get(k)) for k in range(len(here))
    )


def draws_at(
    chain: Chain, n_steps: int, found: Sequence[Passage], *, pooled: bool = True, lacking: str | None = None
) -> Draws:
    """Those of the passages that are samples of what follows the prefix that keeps `n_steps` steps.

    `lacking` is what `unfinished` says of the position: where it says something there are no draws.
    """
    if lacking is not None:
        return replace(Draws.of(chain.prefix(n_steps).id, []), lacking=lacking)
    here = [p for p in found if p.counts_at(n_steps) and (pooled or p.origin == n_steps)]
    return Draws.of(
        chain.prefix(n_steps).id,
        [p.outcome for p in here],
        rollout_ids=[p.rollout_id for p in here],
        sample_idx=[p.sample_idx for p in here],
        origin=[p.origin for p in here],
        keys=[p.key for p in here],
    )


def by_position(found: Sequence[Passage], n_steps: int) -> list[list[int]]:
    """Which passages are samples at each of prefixes 0 … n_steps, as indices: one pass for all prefixes."""
    here: list[list[int]] = [[] for _ in range(n_steps + 1)]
    for index, passage in enumerate(found):
        last = passage.last if passage.counts_below else passage.origin
        for k in range(passage.origin, last + 1):
            here[k].append(index)
    return here


def walk(
    run: Run, chain: Chain, *, scorer_id: str, condition: ConditionIds | None = None
) -> Iterator[tuple[Passage, SaidRow]]:
    """Stream the baseline rollouts begun at a prefix of the chain, prefix by prefix.

    Whole rollouts are large, so keep what is wanted of them and let them go. Arguments and errors are those of
    `chain_draws`.
    """
    scorer_id = resolve_scorer(run, scorer_id)
    condition = condition or sampled_under(run, chain)
    if condition is None:
        return
    chosen_idx = _chosen_idx(run, chain, condition)
    asked = run.asked(*condition.baseline)
    ends = [0, *(step.end for step in chain.steps)]
    for prefix_id, origin in positions_of(chain).items():
        ahead = chain.response_ids[ends[origin] :]
        for rollout, verdict in _draws_of(run, prefix_id, scorer_id, condition, asked.get(prefix_id, ())):
            shared = ends[origin] + _n_shared(ahead, rollout.span_ids)
            yield (
                Passage(
                    rollout.id,
                    rollout.sample_idx,
                    origin,
                    max(bisect_right(ends, shared) - 1, origin),
                    (origin > 0 or rollout.sample_idx > chosen_idx) and not rollout.is_fragment,
                    verdict["outcome"],
                    verdict["key"],
                ),
                rollout,
            )


def resolve_scorer(run: Run, name: str) -> str:
    """The scorer of that id; of a bare name, its last version without options; of `file.py:name`, that of the file.

    `answers` is also the only scorer of a run where somebody else has judged all of it.

    Raises:
        UserError: It has given no verdict in this run.
    """
    known = run.scorers()
    if ":" in name and name not in known:
        name = load_scorer(name, run.identity.tags).id
    sources = [scorer for scorer in known if scorer.partition("@")[0] == name and "@" in scorer]
    if name not in known and sources:
        return sources[-1]
    versions = [scorer for scorer in known if _version(scorer, name) is not None]
    if name not in known and not versions and name.partition("/")[0] == "answers":
        current = [scorer for scorer in known if not scorer.startswith(FORMER)]
        own = [scorer for scorer in current if next(run.outcome_rows(scorer), None) is not None]
        if len(own) == 1:  # an imported run has the verdicts of its makers
            return own[0]
    if name not in known and not versions:
        listed = ", ".join(known) or "none"
        raise UserError(f"scorer {name!r} has given no verdict in this run (there are: {listed}). Score it first")
    return name if name in known else max(versions, key=lambda scorer: _version(scorer, name) or 0)


def _version(scorer: str, name: str) -> int | None:
    """The version of a scorer of that name, without options; think tags behind it are the model's, no option."""
    found = re.fullmatch(r"(.+)/(\d+)(?:@.*)?", scorer, re.DOTALL)
    return int(found[2]) if found and found[1] == name else None


def unfinished(run: Run, chain: Chain, *, scorer_id: str, condition: ConditionIds | None = None) -> dict[int, str]:
    """Positions of a chain (steps kept) at which rollouts were begun but no block of them is whole, and why.

    Arguments and errors are those of `chain_draws`.
    """
    scorer_id = resolve_scorer(run, scorer_id)
    condition = condition or sampled_under(run, chain)
    if condition is None:
        return {}
    asked, found = run.asked(*condition.baseline), dict[int, str]()
    for prefix_id, n_steps in positions_of(chain).items():
        sizes = asked.get(prefix_id, [])
        scored = _verdicts(run, prefix_id, scorer_id, condition) if sizes else {}
        if sizes and not complete_block(scored, sizes):
            n_scored = sum(idx < min(sizes) for idx in scored)
            why = why_unfinished(run, prefix_id, condition.baseline, sizes, n_scored)
            found.update({n_steps: why} if why else {})
    return found


def _draws_of(
    run: Run, prefix_id: str, scorer_id: str, condition: ConditionIds, asked: Sequence[int]
) -> Iterator[tuple[SaidRow, dict[str, Any]]]:
    """Baseline rollouts of a condition with the verdicts on them, as far as they are draws."""
    verdicts = _verdicts(run, prefix_id, scorer_id, condition)
    block = complete_block(verdicts, asked)
    if block:
        ids = (Baseline().id, condition.settings_id, condition.engine_card_id)
        for said in run.said(prefix_id, *ids, below=block):
            yield said, verdicts[said.sample_idx]


def _verdicts(run: Run, prefix_id: str, scorer_id: str, condition: ConditionIds) -> dict[int, dict[str, Any]]:
    """Verdicts on the baseline rollouts of a condition, by sample index."""
    settings_id, engine_card_id, intervention_id = condition.baseline
    rows = run.outcome_rows(
        scorer_id,
        settings_id=settings_id,
        engine_card_id=engine_card_id,
        intervention_id=intervention_id,
        prefix_id=prefix_id,
    )
    return {row.sample_idx: row.value for row in rows}


def _chosen_idx(run: Run, chain: Chain, condition: ConditionIds) -> int:
    """Last sample index at the prompt that the choice of the chain looked at; −1 where it looked at no draw."""
    base = run.rollout(chain.rollout_id)
    if base.sample_idx >= APART:
        return -1
    same = (base.settings_id, base.engine_card_id) == (condition.settings_id, condition.engine_card_id)
    return base.sample_idx if same and base.prefix_id == chain.prefix(0).id else -1


def _n_shared(left: Sequence[int], right: Sequence[int]) -> int:
    """How many leading tokens two sequences share."""
    n = min(len(left), len(right))
    if not n or left[0] != right[0]:  # most rollouts leave the chain at once
        return 0
    differ = np.flatnonzero(np.asarray(left[:n]) != np.asarray(right[:n]))
    return int(differ[0]) if len(differ) else n

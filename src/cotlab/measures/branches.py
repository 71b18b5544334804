"""Outcome counts along a chain: from rollouts begun at its prefixes, or behind each of their likely next tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cotlab.chains.chain import Chain
from cotlab.chains.next_tokens import NEXT_TOKENS, NextTokens
from cotlab.errors import UserError
from cotlab.measures.forks import OutcomeCurve, outcome_curve
from cotlab.runs import Run
from cotlab.trees import ConditionIds, Draws, begun_at, resolve_scorer, sampled_under

__all__ = ["Branch", "Branching", "chain_branchings", "chain_curve"]

FloatArray = NDArray[np.float64]
MOST_ANSWERS = 9
OTHER, NONE = "(other answers)", "(no answer)"


@dataclass(frozen=True, slots=True)
class Branch:
    """One next token and the rollouts behind it."""

    token: int | None
    """None: whatever the model said next (rollouts begun at the prefix itself)."""
    p: float
    """Raw probability of the token; 1 where `token` is None."""
    weight: float
    """Renormalised over the branches of the position."""
    on_chain: bool
    """Whether the chain says it next."""
    draws: Draws


@dataclass(frozen=True, slots=True)
class Branching:
    """A position of a chain with its branches."""

    position: int
    """Steps kept."""
    branches: tuple[Branch, ...]

    @property
    def worth(self) -> float:
        """Draws of a plain sample that it is worth: 1 / Σ w²/n."""
        return 1 / sum(branch.weight**2 / len(branch.draws) for branch in self.branches)


def chain_branchings(
    run: Run, chain: Chain, *, scorer_id: str, condition: ConditionIds | None = None
) -> tuple[Branching, ...]:
    """Positions of a chain with rollouts: behind all their likely next tokens where those are there, else begun there.

    A token that ends the response has no rollouts; a position with such a branch counts by the rollouts begun there.
    No rollout counts at two positions.

    Raises:
        UserError: What `cotlab.trees.chain_draws` raises.
    """
    scorer_id = resolve_scorer(run, scorer_id)
    known = {score.subject_id: NextTokens.read(score) for score in run.scores("prefix", NEXT_TOKENS)}
    condition = condition or sampled_under(run, chain) or _of_branches(run, chain, known)
    if condition is None:
        return ()
    found: list[Branching] = []
    used: set[str] = set()
    ends = [0, *(step.end for step in chain.steps)]
    for k in range(len(chain.steps)):
        prefix = chain.prefix(k)
        if k and ends[k] == ends[k - 1]:
            continue
        branches = []
        if prefix.id in known:
            tokens = known[prefix.id]
            said = chain.response_ids[ends[k]] if ends[k] < len(chain.response_ids) else None
            for (token, p), weight in zip(tokens.tokens, tokens.weights, strict=True):
                draws = begun_at(run, prefix.extend((token,)).id, scorer_id=scorer_id, condition=condition)
                branches.append(Branch(token, p, weight, token == said, draws))
        if branches and all(len(branch.draws) for branch in branches):
            used |= {branch.draws.prefix_id for branch in branches}
            found.append(Branching(k, tuple(branches)))
        elif prefix.id not in used:  # what stands behind a branch does not count a second time
            draws = begun_at(run, prefix.id, scorer_id=scorer_id, condition=condition)
            if len(draws):
                found.append(Branching(k, (Branch(None, 1.0, 1.0, False, draws),)))
    return tuple(found)


def _of_branches(run: Run, chain: Chain, known: dict[str, NextTokens]) -> ConditionIds | None:
    """The one condition of rollouts behind branches, where none was begun on the chain itself.

    Raises:
        UserError: There are several.
    """
    mine = {chain.prefix(k).id: chain.prefix(k) for k in range(len(chain.steps)) if chain.prefix(k).id in known}
    children = {p.extend((token,)).id for key, p in mine.items() for token, _ in known[key].tokens}
    pairs = {
        ConditionIds(row.settings_id, row.engine_card_id)
        for row in run.rollouts(problem_id=chain.problem_id, bodies=False)
        if row.prefix_id in children
    }
    if len(pairs) > 1:
        raise UserError(f"chain {chain.id} has branches of {len(pairs)} conditions. Choose one with --condition")
    return next(iter(pairs), None)


def answer_table(branchings: Sequence[Branching]) -> tuple[tuple[str, ...], FloatArray]:
    """Answers, most frequent first, and the weighted shares of each, shape [positions, answers].

    A rollout without an answer counts as `(unparsable)` or `(truncated)`; answers beyond the tenth are put together.
    """
    total: Counter[str] = Counter()
    tables = []
    for branching in branchings:
        shares: dict[str, float] = {}
        for branch in branching.branches:
            counted = _names(branch.draws)
            total.update(counted)
            for name, count in counted.items():
                shares[name] = shares.get(name, 0.0) + branch.weight * count / len(branch.draws)
        tables.append(shares)
    names = [name for name, _ in total.most_common()]
    shown = names if len(names) <= MOST_ANSWERS + 1 else [*names[:MOST_ANSWERS], OTHER]
    table = np.zeros((len(tables), len(shown)))
    place = {name: i for i, name in enumerate(shown)}
    for row, shares in zip(table, tables, strict=True):
        for name, share in shares.items():
            row[place.get(name, len(shown) - 1)] += share
    return tuple(shown), table


def _names(draws: Draws) -> Counter[str]:
    outcomes = ("truncated", "unparsable")
    named: Counter[str] = Counter({key: n for key, n in draws.answers().items()})
    left = len(draws) - named.total()
    for outcome in outcomes:
        n = min(left, draws.count(outcome))  # type: ignore[arg-type]
        if n:
            named[f"({outcome})"] += n
            left -= n
    if left:
        named[NONE] += left
    return named


def chain_curve(
    run: Run,
    chain: Chain,
    *,
    scorer_id: str,
    condition: ConditionIds | None = None,
    threshold: float = 0.10,
    fdr: float = 0.05,
    level: float = 0.95,
) -> tuple[tuple[Branching, ...], OutcomeCurve]:
    """Outcome curve of a chain with its forks, and the positions that it stands on.

    Raises:
        UserError: There are no rollouts, their answers are unknown, or what `chain_branchings` raises.
    """
    branchings = chain_branchings(run, chain, scorer_id=scorer_id, condition=condition)
    if not branchings:
        raise UserError(f"chain {chain.id} has no rollouts that {scorer_id} has judged. Use `cotlab resample` first")
    categories, shares = answer_table(branchings)
    if categories == (NONE,):
        raise UserError(f"no answer of a rollout of chain {chain.id} is known, so its outcome curve is not either")
    worth = np.array([branching.worth for branching in branchings])
    return branchings, outcome_curve(shares, worth, categories=categories, threshold=threshold, fdr=fdr, level=level)

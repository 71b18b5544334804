"""What else the model says next at each step of a chain."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from cotlab.chains.chain import Chain
from cotlab.chains.tokens import Tokenizer
from cotlab.runs import Run
from cotlab.stats import Estimate
from cotlab.trees.conditions import ConditionIds
from cotlab.trees.draws import Draws
from cotlab.trees.grouping import GroupBy, by_text
from cotlab.trees.passing import Passage, by_position
from cotlab.trees.paths import RolloutPath, paths
from cotlab.trees.value import MIN_ROLLOUTS, value

__all__ = ["Alternative", "alternatives", "alternatives_at", "said_next"]


@dataclass(frozen=True, slots=True)
class Alternative:
    """Rollouts that say the same thing next."""

    text: str
    """Their step in its most frequent wording; empty where they end here."""
    n: int
    share: float
    """Of all rollouts through the prefix."""
    value: Estimate
    """Chance of a right answer after this step."""
    answers: dict[str, int]
    """Number of each answer key, most frequent first."""
    same_as_base: bool
    """Whether the chain says this next."""
    rollout_ids: tuple[str, ...]


def alternatives(
    run: Run,
    chain: Chain,
    k: int | None = None,
    *,
    scorer_id: str,
    group: GroupBy = by_text,
    condition: ConditionIds | None = None,
    tokenizer: Tokenizer | None = None,
    min_n: int = MIN_ROLLOUTS,
) -> list[list[Alternative]]:
    """What rollouts say next, grouped, at every step of a chain or at one.

    Args:
        run: Where the rollouts are.
        chain: A chain of the run.
        k: Steps kept; None: every prefix with a step behind it. One pass over the rollouts serves all of them.
        scorer_id: Whose verdicts count.
        group: When two steps are the same: `by_text`, `by_tiny_state(problem)` or your own.
        condition: Settings and engine; None where the run holds rollouts of one pair only.
        tokenizer: See `cotlab.trees.paths.paths`.
        min_n: A group smaller than this has no value.

    Returns:
        One list for each prefix, most frequent first; empty where no rollouts pass.

    Raises:
        UserError: What `chain_draws` raises.
        ValueError: The chain has no step after `k`.
    """
    if k is not None and not 0 <= k < len(chain.steps):
        raise ValueError(f"k is {k}, expected 0..{len(chain.steps) - 1}")
    found = list(paths(run, chain, scorer_id=scorer_id, condition=condition, tokenizer=tokenizer))
    positions = range(len(chain.steps)) if k is None else [k]
    here = by_position([path.passage for path in found], len(chain.steps))
    return [
        alternatives_at(chain, position, [found[i] for i in here[position]], group=group, min_n=min_n)
        for position in positions
    ]


def alternatives_at(
    chain: Chain,
    k: int,
    found: Sequence[RolloutPath],
    *,
    group: GroupBy = by_text,
    min_n: int = MIN_ROLLOUTS,
    most: int | None = None,
) -> list[Alternative]:
    """The same for one prefix, from paths that were read already; `most` frequent ones and the chain's own, or all."""
    kept, base = "".join(step.text for step in chain.steps[:k]), chain.steps[k].text
    said = [(path.passage, _next(path, k, base)) for path in found if path.passage.counts_at(k)]
    key_of = {text: group(kept, text) for text in {text for _, text in said} | {base}}
    members: dict[str, list[tuple[Passage, str]]] = defaultdict(list)
    for passage, text in said:
        members[key_of[text]].append((passage, text))
    largest = sorted(members, key=lambda key: -len(members[key]))
    wanted = largest if most is None else [*largest[:most], *(key for key in largest[most:] if key == key_of[base])]
    prefix_id = chain.prefix(k).id
    result = [
        _alternative(members[key], prefix_id, len(said), base if key == key_of[base] else None, min_n) for key in wanted
    ]
    return sorted(result, key=lambda found: (-found.n, found.text))


def said_next(chain: Chain, k: int, found: Sequence[RolloutPath]) -> list[str]:
    """What those of the rollouts that are samples at prefix k say next; empty text where they end there."""
    return [_next(path, k, chain.steps[k].text) for path in found if path.passage.counts_at(k)]


def _next(path: RolloutPath, k: int, base: str) -> str:
    """What a rollout through prefix k says next."""
    if path.passage.last > k:
        return base
    return path.steps[0] if path.steps else ""


def _alternative(
    members: Sequence[tuple[Passage, str]], prefix_id: str, total: int, base: str | None, min_n: int
) -> Alternative:
    passages = [passage for passage, _ in members]
    draws = Draws.of(prefix_id, [p.outcome for p in passages], keys=[p.key for p in passages])
    wording = Counter(text for _, text in members).most_common(1)[0][0]
    return Alternative(
        text=wording if base is None else base,
        n=len(members),
        share=len(members) / total,
        value=value(draws, min_n=min_n).estimate,
        answers=draws.answers(),
        same_as_base=base is not None,
        rollout_ids=tuple(p.rollout_id for p in passages),
    )

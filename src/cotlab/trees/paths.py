"""Where each rollout goes when it leaves the chain: its next steps, cut as the chain is cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

from cotlab.chains.chain import Chain
from cotlab.chains.cutting import Cutter, get_cutter
from cotlab.chains.rollout import Rollout
from cotlab.chains.step import Step
from cotlab.chains.tokens import Tokenizer
from cotlab.errors import UserError
from cotlab.runs import Run
from cotlab.runs.rows import SaidRow
from cotlab.trees.conditions import ConditionIds
from cotlab.trees.passing import Passage, walk

__all__ = ["RolloutPath", "bounded", "lengthened", "next_step", "paths", "saying"]

_WINDOWS = (600, 4_000)
"""Characters (tokens) of a rollout that are cut at first, and then: enough for one step, where a rollout may have a
thousand."""


_Cuttable = TypeVar("_Cuttable", str, tuple[int, ...])


class RolloutPath(NamedTuple):
    """A rollout's way along the chain and the steps after it left."""

    passage: Passage
    steps: tuple[str, ...]
    """Texts of the steps after the last one that it shares with the chain; empty where it ends there."""


def paths(
    run: Run,
    chain: Chain,
    *,
    scorer_id: str,
    condition: ConditionIds | None = None,
    depth: int | None = 1,
    tokenizer: Tokenizer | None = None,
) -> Iterator[RolloutPath]:
    """Stream the paths of the baseline rollouts begun at a prefix of the chain.

    Args:
        run: Where they are.
        chain: A chain of the run.
        scorer_id: Whose verdicts count.
        condition: Settings and engine; None where the run holds rollouts of one pair only.
        depth: How many steps after leaving the chain; 0: none, which cuts nothing; None: all.
        tokenizer: Cuts on token boundaries, as the chain was cut; without one the stored text is cut, which differs
            only where a cut falls inside a token.

    Raises:
        UserError: What `chain_draws` raises, or the cutter cuts tokens and there is no tokenizer.
    """
    cutter = get_cutter(chain.cutter_id)
    if cutter.rule is None and tokenizer is None and depth != 0:
        raise UserError(f"cutter {cutter.id} cuts tokens: load the model's tokenizer to follow rollouts with it")
    for passage, rollout in walk(run, chain, scorer_id=scorer_id, condition=condition):
        yield RolloutPath(
            passage, _next_steps(rollout, chain.steps[passage.origin : passage.last], cutter, tokenizer, depth)
        )


def lengthened(
    run: Run,
    chain: Chain,
    found: Sequence[RolloutPath],
    rollout_ids: Collection[str],
    *,
    depth: int | None = None,
    tokenizer: Tokenizer | None = None,
) -> list[RolloutPath]:
    """The same paths, some of them with more steps: a branch grown without reading the other rollouts again.

    Args:
        run: Where they are.
        chain: The chain that they were found along.
        found: Paths.
        rollout_ids: Which of them become longer.
        depth: Steps after leaving the chain; None: all.
        tokenizer: See `paths`.
    """
    cutter = get_cutter(chain.cutter_id)

    def longer(path: RolloutPath) -> RolloutPath:
        passage = path.passage
        if passage.rollout_id not in rollout_ids:
            return path
        shared = chain.steps[passage.origin : passage.last]
        return path._replace(steps=_next_steps(run.rollout(passage.rollout_id), shared, cutter, tokenizer, depth))

    return [longer(path) for path in found]


def bounded(found: Sequence[RolloutPath], most: int, *, whole: Collection[int] = ()) -> tuple[list[RolloutPath], int]:
    """The same paths for a tree of bounded size: rare branches end where they leave the chain.

    At every step the branches that most rollouts take are kept, equally many at each.

    Args:
        found: Paths.
        most: About how many branches are kept in all.
        whole: Steps (kept) whose branches are all kept, beyond `most`.

    Returns:
        The paths, and how many branches were cut off.
    """
    at: dict[int, Counter[str]] = {}
    for path in found:
        if path.steps:
            at.setdefault(path.passage.last, Counter())[path.steps[0]] += 1
    each = max(1, most // max(1, len(at)))
    kept = {k: set(said if k in whole else (text for text, _ in said.most_common(each))) for k, said in at.items()}
    left_out = sum(len(said) - len(kept[k]) for k, said in at.items())
    if not left_out:
        return list(found), 0
    return [
        RolloutPath(path.passage, ()) if path.steps and path.steps[0] not in kept[path.passage.last] else path
        for path in found
    ], left_out


def saying(found: Sequence[RolloutPath], k: int, texts: Sequence[str]) -> list[RolloutPath]:
    """Those of the paths that keep `k` steps of the chain and then say these texts: the rollouts of a branch.

    Args:
        found: Paths with at least as many steps (`depth`) as there are texts.
        k: Steps of the chain kept.
        texts: What follows, step by step, as the edges of `build_tree` have it; none: all that pass.
    """
    wanted, n = tuple(texts), len(texts)
    if not n:
        return [path for path in found if path.passage.counts_at(k)]
    return [p for p in found if p.passage.last == k and p.passage.counts_at(k) and p.steps[:n] == wanted]


def next_step(chain: Chain, passage: Passage, rollout: Rollout | SaidRow) -> str | None:
    """What a rollout says next where it began; empty where it ends there, None where steps are tokens."""
    cutter = get_cutter(chain.cutter_id)
    if cutter.rule is None:
        return None
    if passage.last > passage.origin:
        return chain.steps[passage.origin].text
    return next(iter(_next_steps(rollout, (), cutter, None, 1)), "")


def _next_steps(
    rollout: Rollout | SaidRow, shared: Sequence[Step], cutter: Cutter, tokenizer: Tokenizer | None, depth: int | None
) -> tuple[str, ...]:
    if tokenizer is not None and rollout.token_ids is not None:
        ids = rollout.token_ids[sum(step.end - step.start for step in shared) :]
        steps = _first(ids, lambda part: [step.text for step in cutter.cut(part, tokenizer)], depth)
    else:
        text = rollout.text[sum(len(step.text) for step in shared) :]
        steps = _first(text, lambda part: [part[a:b] for a, b in pairwise((0, *cutter.cut_text(part)))], depth)
    return tuple(step for step in steps if step)


def _first(whole: _Cuttable, cut: Callable[[_Cuttable], list[str]], depth: int | None) -> list[str]:
    """First `depth` steps; the last ones of a part may go on beyond it, so two more must have been found."""
    if depth == 0:
        return []
    for window in _WINDOWS:
        if depth is not None and len(whole) > window and len(steps := cut(whole[:window])) > depth + 1:
            return steps[:depth]
    return cut(whole)[:depth]

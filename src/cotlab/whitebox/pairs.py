"""Pairs of runs from a chain: the chain, and the same chain with one step replaced by another of as many tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch

from cotlab.chains import get_cutter
from cotlab.chains.chain import Chain
from cotlab.chains.prefix import Prefix
from cotlab.errors import DataError
from cotlab.runs import Run
from cotlab.whitebox.inside import Inside
from cotlab.whitebox.patching import Pair

__all__ = ["chain_pair", "other_steps", "step_pairs"]

FOLLOWING = 40
"""Tokens of the chain behind the step that are searched for where the change shows."""


def other_steps(run: Run, chain: Chain, step: int, inside: Inside) -> list[tuple[int, ...]]:
    """What rollouts of the run said in the place of a step in as many tokens, most frequent first.

    Raises:
        DataError: The chain has no such step.
    """
    start, end = _span(chain, step)
    own, kept = chain.response_ids[start:end], chain.prefix(step)
    cutter = get_cutter(chain.cutter_id.split("/")[0])
    said: Counter[tuple[int, ...]] = Counter()
    for rollout in run.rollouts(prefix_id=kept.id):
        ids = tuple(rollout.token_ids or ())
        cut = cutter.cut(ids, inside.tokenizer)
        if cut and cut[0].end == len(own) and ids[: len(own)] != own:
            said[ids[: len(own)]] += 1
    return [ids for ids, _ in said.most_common()]


def chain_pair(inside: Inside, chain: Chain, step: int, replacement: Sequence[int] | str) -> Pair:
    """A chain and the same chain with another step, cut off where the change shows most.

    Behind the step both runs go on as the chain does. They end before the token, of the next 40, whose distribution
    moves most (KL), and the answers are what each run says there; where both say the same, the token that lost most in
    the corrupt run's distribution stands against the one that gained most.

    Args:
        inside: The model.
        chain: With its prompt.
        step: Which step is replaced.
        replacement: Another step, as text or token ids.

    Raises:
        DataError: There is no such step, the other one has another number of tokens, or changes nothing.
    """
    start, end = (len(chain.prompt_ids) + place for place in _span(chain, step))
    other = inside.tokenizer.encode(replacement) if isinstance(replacement, str) else list(replacement)
    if len(other) != end - start:
        raise DataError(
            f"step {step} has {end - start} tokens and its replacement {len(other)}: patching aligns runs token by "
            "token, so choose one of as many tokens (a run holds some, see `other_steps`)"
        )
    clean = chain.prompt_ids + chain.response_ids
    corrupt = (*clean[:start], *other, *clean[end:])
    stop = min(len(clean), end + FOLLOWING)
    shown = (len(chain.prompt_ids), chain.images)
    runs = [Prefix(ids[:stop], *shown) if chain.images else ids[:stop] for ids in (clean, corrupt)]
    with torch.inference_mode():
        said = [inside.logits(run)[end - 1 :].float().log_softmax(-1) for run in runs]
    moved = (said[0].exp() * (said[0] - said[1])).sum(-1)
    at = int(moved.argmax())
    answers = int(said[0][at].argmax()), int(said[1][at].argmax())
    if answers[0] == answers[1]:
        change = said[0][at].exp() - said[1][at].exp()
        answers = int(change.argmax()), int(change.argmin())
    return Pair(clean[: end + at], corrupt[: end + at], *answers, *shown)


def step_pairs(run: Run, chain: Chain, step: int, inside: Inside, *, most: int = 10) -> list[Pair]:
    """Pairs of a chain and what rollouts of the run said in the place of a step.

    Raises:
        DataError: No rollout said anything else there in as many tokens.
    """
    found = other_steps(run, chain, step, inside)
    if not found:
        n = _span(chain, step)
        raise DataError(
            f"no rollout from the prefix of step {step} says something else in {n[1] - n[0]} tokens; give a "
            "replacement, "
            "or sample there first with `cotlab resample`"
        )
    return [chain_pair(inside, chain, step, ids) for ids in found[:most]]


def _span(chain: Chain, step: int) -> tuple[int, int]:
    if not 0 <= step < len(chain.steps):
        raise DataError(
            f"step {step} is not in the chain, which has {len(chain.steps)} steps (0..{len(chain.steps) - 1})"
        )
    return chain.steps[step].start, chain.steps[step].end

"""Behaviours: what a sentence of a chain of thought does, and where in the tokens it stands.

On the tiny reasoner's tasks the exact oracle says it. Elsewhere words at the start of a sentence do, which stands in
for an annotator: it misses and invents some, alike in every arm that is compared.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.rollout import Rollout
from cotlab.chains.sentences import sentence_cuts
from cotlab.chains.tokens import Tokenizer
from cotlab.engines.base import Passage
from cotlab.errors import UserError

__all__ = ["BEHAVIOURS", "Behaviour", "LabelledRollout", "Sentence", "behaviour", "label_rollout"]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Something that a sentence may do."""

    name: str
    words: str
    """Pattern of what such a sentence begins with, where there is no oracle."""
    tiny: str
    """What the tiny reasoner's oracle calls it: `backtracks`, or a category."""
    request: str
    """An instruction that asks for it."""
    tiny_manner: str
    """The manner note of the tiny reasoner's prompts that asks for it."""


BEHAVIOURS: dict[str, Behaviour] = {
    its.name: its
    for its in (
        Behaviour(
            "backtracking",
            r"(but |oh )?(wait|hmm|alternatively|no,|actually|scratch that|let me (try|go back|start over|rethink))",
            "backtracks",
            "Whenever an attempt seems to fail, say so, go back, and try another way.",
            "careful",
        ),
        Behaviour(
            "uncertainty",
            r"(but |so )?(maybe|perhaps|i'?m not (sure|certain)|not sure|i think|it might|hmm|possibly)",
            "uncertainty_management",
            "Say openly where you are unsure.",
            "careful",
        ),
        Behaviour(
            "checking",
            r"(so |now |but )?(let me |let's |i('ll| will| should) )?(double.?check|check|verify|confirm|make sure)",
            "self_checking",
            "Double-check every step.",
            "double-check",
        ),
    )
}
"""By name."""


def behaviour(name: str) -> Behaviour:
    """A behaviour by its name.

    Raises:
        UserError: There is none of that name.
    """
    if name not in BEHAVIOURS:
        raise UserError(f"unknown behaviour '{name}'; there are: {', '.join(BEHAVIOURS)}")
    return BEHAVIOURS[name]


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a rollout."""

    start: int
    """Its first token, counted from the start of the sequence (prompt included)."""
    end: int
    """One past its last token."""
    text: str
    holds: bool
    """Whether it is of the behaviour."""
    context: str
    """What it does, as finely as is known: contrasts are made between places of equal context."""


@dataclass(frozen=True, slots=True)
class LabelledRollout:
    """A rollout with the sentences that it added to its prefix."""

    problem_id: str
    passage: Passage
    sentences: tuple[Sentence, ...]


def label_rollout(
    its: Behaviour, problem: Problem, prefix: Prefix, rollout: Rollout, tokenizer: Tokenizer
) -> LabelledRollout:
    """Find the sentences of a rollout, and which of them are of a behaviour.

    Raises:
        ValueError: The rollout has no tokens.
    """
    if rollout.token_ids is None:
        raise ValueError(f"rollout {rollout.id} has text only")
    ids = prefix.kept_ids + rollout.token_ids
    pieces = tokenizer.pieces(ids)
    ends = list(accumulate(map(len, pieces)))
    n_kept = len(prefix.kept_ids)
    found = []
    for first, last, holds, context in _labels(its, problem, "".join(pieces)):
        start, end = bisect_right(ends, first), bisect_left(ends, last) + 1
        if start >= n_kept:
            text = "".join(pieces)[first:last]
            found.append(Sentence(prefix.n_prompt + start, prefix.n_prompt + end, text, holds, context))
    return LabelledRollout(problem.id, Passage(prefix, rollout.token_ids), tuple(found))


def _labels(its: Behaviour, problem: Problem, text: str) -> Sequence[tuple[int, int, bool, str]]:
    """Character span, whether it holds, and context of each sentence of a response."""
    from cotlab import tiny

    task = tiny.problem_from_question(problem.question)
    if task is not None:
        return [
            (
                step.start,
                step.end,
                step.backtracks if its.tiny == "backtracks" else step.category == its.tiny,
                f"{step.kind}{' failed' if re.search('too (small|big)|over 99', step.text) else ''}",
            )
            for step in tiny.parse_chain(task, text)
        ]
    starts = [0, *sentence_cuts(text)]
    spans = [
        (a + len(text[a:b]) - len(text[a:b].lstrip()), a + len(text[a:b].rstrip()))
        for a, b in zip(starts, [*starts[1:], len(text)], strict=True)
        if text[a:b].strip()
    ]
    return [(a, b, _begins(its.words, text[a:b]), _context(text[a:b])) for a, b in spans]


def _context(sentence: str) -> str:
    return next((name for name, its in BEHAVIOURS.items() if _begins(its.words, sentence)), "other")


def _begins(words: str, sentence: str) -> bool:
    return re.match(rf"\W*({words})\b", sentence, re.IGNORECASE) is not None

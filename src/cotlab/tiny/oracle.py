"""The oracle: reads any text of a chain back into sentences, states and exact labels."""

from __future__ import annotations

import re

from cotlab.tiny.arithmetic import Equation, equations_in
from cotlab.tiny.chains import LabelledStep
from cotlab.tiny.phrases import Kind, Slots, read
from cotlab.tiny.problems import TinyProblem
from cotlab.tiny.state import State, solves
from cotlab.tiny.states import initial_state

_BREAK = re.compile(r"</?think>|\n+|(?<=[.?!])[ \t]+")
_RECHECKS = frozenset({"check", "correct", "proof", "refute", "total"})
"""Kinds whose equations repeat earlier work: their false ones are slips, but they add no computation."""


def sentences(text: str) -> list[tuple[int, int]]:
    """Character spans of the sentences of a text: cut at newlines, think tags and spaces behind a full stop."""
    spans, start = [], 0
    for match in (*_BREAK.finditer(text), None):
        stop = len(text) if match is None else match.start()
        piece = text[start:stop]
        if piece.strip():
            lead = len(piece) - len(piece.lstrip())
            spans.append((start + lead, start + len(piece.rstrip())))
        start = stop if match is None else match.end()
    return spans


def parse_chain(problem: TinyProblem, text: str) -> tuple[LabelledStep, ...]:
    """Label every sentence of a chain, written or sampled.

    Args:
        problem: what the chain is about.
        text: the completion, from the first thought on; `<think>` and `</think>` may be in it and are no sentences.

    Returns:
        One step per sentence with its span in `text`.
        A sentence that no template fits is `unknown` and leaves the state as it was.
    """
    state, steps = initial_state(problem), []
    for start, end in sentences(text):
        step, state = label(state, text[start:end], start)
        steps.append(step)
    return tuple(steps)


def label(state: State, sentence: str, start: int) -> tuple[LabelledStep, State]:
    """Label one sentence that follows a state, and give the state after it."""
    match = read(sentence)
    if match is None:
        step = LabelledStep(
            sentence, start, start + len(sentence), "unknown", "unknown", False, state.reachable, 0, 0, False, state.key
        )
        return step, state
    kind, slots = match
    stated = equations_of(kind, slots, sentence)
    state, sound = state.after(kind.name, slots, sentence)
    step = LabelledStep(
        sentence,
        start,
        start + len(sentence),
        kind.name,
        kind.category,
        kind.backtracks,
        state.reachable,
        0 if kind.name in _RECHECKS else len(stated),
        sum(not equation.holds for equation in stated),
        sound,
        state.key,
    )
    return step, state


def equations_of(kind: Kind, slots: Slots, sentence: str) -> tuple[Equation, ...]:
    """The equations that a sentence states of its own; none for one that quotes the problem or a sum-up."""
    return () if kind.name in ("equation", "back_x", "total") else equations_in(sentence)


def boxed(text: str) -> str | None:
    r"""What the last `\boxed{...}` of a text holds, or None."""
    begin = text.rfind("\\boxed{")
    if begin < 0:
        return None
    depth = 0
    for position in range(begin + 6, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[begin + 7 : position].strip()
    return None


def check_answer(problem: TinyProblem, text: str) -> bool | None:
    """Whether the boxed answer is right; None where there is none to judge.

    Countdown accepts any expression that uses each number exactly once and makes the target; solve `7` and `x = 7`.
    """
    answer = boxed(text)
    if not answer:
        return None
    if problem.numbers is not None:
        return solves(answer, problem.numbers, problem.target)
    number = answer.split("=")[-1].strip()
    return number.lstrip("0") == problem.answer if number.isdigit() else False

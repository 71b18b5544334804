"""The sentences of a chain: each kind has a category and a few wordings, written and read by one template."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Literal

Category = Literal[
    "problem_setup",
    "fact_retrieval",
    "plan_generation",
    "active_computation",
    "result_consolidation",
    "uncertainty_management",
    "self_checking",
    "final_answer_emission",
    "unknown",
]
Slots = dict[str, str]
"""Filled places of a template: numbers, operators and the like, as text."""

_SLOT_PATTERNS = {
    "op": r"[+*-]",
    "last_op": r"[+*-]",
    "verdict": r"too small|too big|a match",
    "fits": r"no|not it|yes|that fits",
    "side": r"more|less",
    "eqs": r".+",
    "needs": r"\d{1,4}(?:, \d{1,4})*(?: or \d{1,4})?",
    "answer": r".*",
}
_NUMBER = r"\d{1,4}"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of sentence."""

    name: str
    category: Category
    templates: tuple[str, ...]
    backtracks: bool = False
    """Whether such a sentence says that it gives up the current attempt and returns to the start of the search."""


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "numbers",
            "problem_setup",
            (
                "I have {a}, {b} and {c} and want {t}.",
                "The numbers are {a}, {b} and {c} and the target is {t}.",
                "From {a}, {b} and {c} I need {t}.",
            ),
        ),
        Kind(
            "equation",
            "problem_setup",
            (
                "I need x with {a} * x {op} {b} = {t}.",
                "The equation is {a} * x {op} {b} = {t}.",
                "We look for x in {a} * x {op} {b} = {t}.",
            ),
        ),
        Kind(
            "rule",
            "fact_retrieval",
            (
                "Each number is used exactly once.",
                "All three numbers must be used.",
                "Every value must stay below 100.",
                "A bigger x gives a bigger result.",
                "The number x is whole.",
            ),
        ),
        Kind(
            "plan",
            "plan_generation",
            ("Keep {c} for last: {eqs}.", "Let {c} come last: {eqs}.", "Suppose {c} is last: {eqs}."),
        ),
        Kind(
            "need",
            "plan_generation",
            ("So {a} and {b} must make {needs}.", "Then {a} and {b} should give {needs}."),
        ),
        Kind("guess", "plan_generation", ("Try x = {g}.", "Let x be {g}.", "Suppose x = {g}.")),
        Kind(
            "combine",
            "active_computation",
            ("Try {a} {op} {b} = {r}, leaving {m} and {c}.", "Take {a} {op} {b} = {r}, which leaves {m} and {c}."),
        ),
        Kind("pair", "active_computation", ("{a} {op} {b} = {r}, {fits}.",)),
        Kind("over", "active_computation", ("{a} {op} {b} is over 99, too big.",)),
        Kind("product", "active_computation", ("{a} * {g} = {r}.", "Then {a} * {g} = {r}.")),
        Kind("test", "active_computation", ("{m} {op} {c} = {r}, need {t}, {verdict}.",)),
        Kind("closed", "result_consolidation", ("So {c} can't be last.", "So {c} does not come last.")),
        Kind("bound", "result_consolidation", ("So x is {side} than {g}.", "Then x must be {side} than {g}.")),
        Kind(
            "total",
            "result_consolidation",
            ("So ({a} {op} {b}) {last_op} {c} = {t}.", "Together ({a} {op} {b}) {last_op} {c} = {t}."),
        ),
        Kind("found", "result_consolidation", ("So x = {g} works.", "This means x = {g}.")),
        Kind(
            "back",
            "uncertainty_management",
            (
                "Wait, that fails, back to {a}, {b} and {c}.",
                "Wait, this is a dead end, back to {a}, {b} and {c}.",
                "Hmm, no luck, back to {a}, {b} and {c}.",
            ),
            backtracks=True,
        ),
        Kind(
            "abandon",
            "uncertainty_management",
            (
                "Wait, maybe another way, back to {a}, {b} and {c}.",
                "Hmm, I have a better idea, back to {a}, {b} and {c}.",
            ),
            backtracks=True,
        ),
        Kind(
            "back_x",
            "uncertainty_management",
            (
                "Wait, {g} is wrong, back to {a} * x {op} {b} = {t}.",
                "Wait, {g} fails, back to {a} * x {op} {b} = {t}.",
                "Hmm, not {g}, back to {a} * x {op} {b} = {t}.",
            ),
            backtracks=True,
        ),
        Kind("hint", "fact_retrieval", ("The hint says {answer}.", "I was told {answer}.")),
        Kind(
            "trust",
            "result_consolidation",
            ("I will go with {answer}, as I was told.", "I take {answer} from the hint."),
        ),
        Kind("doubt", "uncertainty_management", ("Hmm, this is not obvious.", "I am not sure how to go on.")),
        Kind(
            "give_up",
            "uncertainty_management",
            ("I give up, my guess is ({a} {op} {b}) {last_op} {c}.", "No idea, I guess ({a} {op} {b}) {last_op} {c}."),
        ),
        Kind("give_up_x", "uncertainty_management", ("I give up, my guess is x = {g}.", "No idea, I guess x = {g}.")),
        Kind(
            "check", "self_checking", ("Check: {a} {op} {b} = {r}, right.", "Let me check: {a} {op} {b} = {r}, good.")
        ),
        Kind("correct", "self_checking", ("Wait, {a} {op} {b} = {r}, not {w}.", "Check: {a} {op} {b} = {r}, not {w}.")),
        Kind(
            "proof",
            "self_checking",
            (
                "Check: {a} {op} {b} = {m} and {n} {last_op} {c} = {r}, so it works.",
                "To verify: {a} {op} {b} = {m} and {n} {last_op} {c} = {r}, correct.",
            ),
        ),
        Kind(
            "refute",
            "self_checking",
            ("Check: {a} {op} {b} = {m} and {n} {last_op} {c} = {r}, which is not {t}.",),
        ),
        Kind(
            "answer",
            "final_answer_emission",
            ("The answer is \\boxed{{{answer}}}.", "So the answer is \\boxed{{{answer}}}."),
        ),
    )
}


def render(kind: str, rng: random.Random, slots: Slots, wordings: tuple[int, ...] = ()) -> str:
    """A sentence of a kind in one of its wordings, which `wordings` may restrict by index."""
    templates = KINDS[kind].templates
    chosen = rng.choice(wordings) if wordings else rng.randrange(len(templates))
    return templates[chosen].format(**slots)


def read(sentence: str) -> tuple[Kind, Slots] | None:
    """Kind and slots of a sentence, or None where no template fits the whole of it."""
    for kind, pattern in _READERS:
        if match := pattern.fullmatch(sentence):
            return kind, match.groupdict()
    return None


def _reader(template: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\})", template.replace("{{{", "\0{").replace("}}}", "}\1"))
    pattern = ""
    for part in parts:
        if re.fullmatch(r"\{\w+\}", part):
            name = part[1:-1]
            pattern += f"(?P<{name}>{_SLOT_PATTERNS.get(name, _NUMBER)})"
        else:
            pattern += re.escape(part.replace("\0", "{").replace("\1", "}"))
    return re.compile(pattern)


_READERS = tuple((kind, _reader(template)) for kind in KINDS.values() for template in kind.templates)

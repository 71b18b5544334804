"""States just before something that is not there is said: at a Yes, and at an object's word in a description.

- **Yes**: the last token of the prompt, of questions that are answered Yes; the label is whether that is wrong.
- **Words**: a description is sampled greedily; wherever it names a shape, the token before that word, with the label
  whether the scene lacks the shape.

Scenes that differ in one cell belong to one case, and are never parted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.tokens import Tokenizer
from cotlab.interventions.condition import Condition
from cotlab.interventions.hook_points import HookPoint
from cotlab.tiny.scenes import SHAPE_NAMES, Question, Scene, counts, problem_of
from cotlab.whitebox.vision.asking import Asking
from cotlab.whitebox.vision.cases import Habit

__all__ = ["Kind", "WarningExamples", "described", "word_examples", "yes_examples"]

Kind = Literal["yes", "words"]
DESCRIBE = Question("describe", "Describe the image.", "")
Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class WarningExamples:
    """States before something is said. Arrays are [n]."""

    kind: Kind
    rows: Mapping[HookPoint, NDArray[np.float32]]
    """[n, width] by hook point."""
    wrong: NDArray[np.bool_]
    """Whether what is said is not there."""
    cases: tuple[str, ...]
    words: tuple[str, ...]
    """What tells without the model's inside: the question, or the object's word."""
    odds: NDArray[np.float64]
    """How sure the model is: log odds of Yes against No; log probability of the word's first token."""
    n_asked: int
    """Questions or descriptions."""
    set_off: NDArray[np.bool_] | None = None
    """Whether what is said is the second shape of a habit whose first is in the scene; None: no habits are known."""


def yes_examples(
    asking: Asking,
    asked: Sequence[tuple[str, Scene, Question]],
    points: Sequence[HookPoint],
    progress: Told | None = None,
    *,
    habits: Sequence[Habit] = (),
) -> WarningExamples:
    """Read the last token of every question that is answered Yes.

    Args:
        asking: The model.
        asked: Case, scene and question of existence.
        points: Hook points of the decoder.
        progress: Told questions done and in all.
        habits: What may set a Yes off.
    """
    kept = list[_Kept]()
    last = HookPoint("resid_post", asking.inside.shape.n_layers - 1)
    for number, (case, scene, question) in enumerate(asked, 1):
        read = asking.inside.read(asking.prefix(problem_of(scene, question)), {*points, last})
        with torch.inference_mode():
            odds = asking.odds(asking.inside.modules.logits(read[last][-1:]))
        if odds > 0:
            rows = {point: read[point][-1].float().cpu().numpy() for point in points}
            off = _sets_off(scene, question.shape, habits)
            kept.append(_Kept(rows, question.answer != "Yes", case, question.text, odds, off))
        if progress:
            progress(number, len(asked))
    return _examples("yes", kept, points, len(asked), bool(habits))


def word_examples(
    asking: Asking,
    shown: Sequence[tuple[str, Scene]],
    points: Sequence[HookPoint],
    *,
    max_tokens: int = 160,
    progress: Told | None = None,
    habits: Sequence[Habit] = (),
) -> WarningExamples:
    """Have scenes described, and read the token before every word for a shape.

    Args:
        asking: The model.
        shown: Case and scene.
        points: Hook points of the decoder.
        max_tokens: Of a description, thoughts included.
        progress: Told descriptions done and in all.
        habits: What may set a word off.
    """
    kept = list[_Kept]()
    last = HookPoint("resid_post", asking.inside.shape.n_layers - 1)
    said = described(asking, [problem_of(scene, DESCRIBE) for _, scene in shown], max_tokens)
    for number, ((case, scene), whole) in enumerate(zip(shown, said, strict=True), 1):
        places = _named(asking.inside.tokenizer, whole)
        read = asking.inside.read(whole, {*points, last}) if places else {}
        for place, shape in places:
            with torch.inference_mode():
                logits = asking.inside.modules.logits(read[last][place - 1 : place]).float()
            sure = float(logits.log_softmax(-1)[0, whole.token_ids[place]])
            rows = {point: read[point][place - 1].float().cpu().numpy() for point in points}
            kept.append(_Kept(rows, not counts(scene)[shape], case, shape, sure, _sets_off(scene, shape, habits)))
        if progress:
            progress(number, len(shown))
    return _examples("words", kept, points, len(shown), bool(habits))


def described(asking: Asking, problems: Sequence[Problem], max_tokens: int) -> list[Prefix]:
    """Prompts with what the model says to them, greedily, thoughts included.

    Raises:
        EngineError: The model broke.
    """
    from cotlab.engines.base import Failure, Request
    from cotlab.engines.hf import TransformersEngine
    from cotlab.engines.hf_model import set_attention
    from cotlab.errors import EngineError

    inside = asking.inside
    settings = SamplingSettings(temperature=0.0, max_tokens=max_tokens)
    prompts = [asking.template.prompt(problem, inside.tokenizer) for problem in problems]
    try:
        engine = TransformersEngine(
            inside.model, inside.tokenizer, name=inside.name, revision=inside.revision, template_id=asking.template.id
        )
        wanted = [Request(Condition(prompt, settings), 0, 0) for prompt in prompts]
        said: dict[str, tuple[int, ...]] = {}
        for found in engine.sample(wanted):
            if isinstance(found, Failure):
                raise EngineError(f"a description failed: {found.error}")
            said[found.prefix_id] = found.token_ids or ()
    finally:
        set_attention(inside.model, "eager")  # the engine takes its own
    return [prompt.extend(said[prompt.id]) for prompt in prompts]


def _named(tokenizer: Tokenizer, whole: Prefix) -> list[tuple[int, str]]:
    """Tokens at which words for shapes begin in what is said, with the shapes."""
    ids = whole.token_ids[whole.n_prompt :]
    ends = [len(tokenizer.decode(ids[: i + 1])) for i in range(len(ids))]
    found = []
    for match in SHAPE_NAMES.finditer(tokenizer.decode(ids)):
        # The token in which the word's first letter lies: a space may be part of it.
        token = int(np.searchsorted(ends, match.start(1), side="right"))
        found.append((whole.n_prompt + token, match[1]))
    return found


class _Kept(NamedTuple):
    """One place."""

    rows: Mapping[HookPoint, NDArray[np.float32]]
    wrong: bool
    case: str
    words: str
    odds: float
    set_off: bool


def _sets_off(scene: Scene, shape: str | None, habits: Sequence[Habit]) -> bool:
    return any(shape == habit.second and counts(scene)[habit.first] > 0 for habit in habits)


def _examples(
    kind: Kind, kept: Sequence[_Kept], points: Sequence[HookPoint], n_asked: int, habits: bool
) -> WarningExamples:
    rows = {point: np.array([one.rows[point] for one in kept], dtype=np.float32) for point in points}
    wrong, odds = np.array([one.wrong for one in kept], dtype=bool), np.array([one.odds for one in kept], dtype=float)
    off = np.array([one.set_off for one in kept], dtype=bool) if habits else None
    cases, words = tuple(one.case for one in kept), tuple(one.words for one in kept)
    return WarningExamples(kind, rows, wrong, cases, words, odds, n_asked, off)

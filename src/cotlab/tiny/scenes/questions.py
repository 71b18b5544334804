r"""Questions on scenes with exact answers, and what a model is taught to say to each.

| kind | question | answer | said aloud first |
|---|---|---|---|
| exists | Is there a star in the image? | Yes / No | nothing |
| exists-colour | Is there a red star in the image? | Yes / No | nothing |
| colour | What colour is the star? | Red | nothing |
| letters | Which letters are in the image? | AB / None | nothing |
| relation | Is the star left of the moon? | Yes / No | the two, where they are |
| count | How many stars are there? | \boxed{2} | every thing in reading order, with a running count |
| describe | Describe the image. | The image shows a red star and a blue moon. | every thing in reading order |

Thoughts end with `</think>\n\n`, as the tiny reasoner's do; where nothing is said first, they are empty.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace
from typing import Literal, get_args

from cotlab.tiny.chains import THINK_END
from cotlab.tiny.scenes.scene import CELL, PLACES, Scene, SceneObject, cell_of
from cotlab.tiny.scenes.shapes import COLOURS, SHAPES
from cotlab.tiny.scenes.truth import counts, visible
from cotlab.tiny.scenes.worlds import POPULARITY

__all__ = [
    "ALOUD",
    "KINDS",
    "RELATIONS",
    "SHAPE_NAMES",
    "Kind",
    "Question",
    "ask",
    "ask_exists",
    "caption",
    "completion",
    "mentioned",
]

Kind = Literal["exists", "exists-colour", "relation", "colour", "letters", "count", "describe"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ALOUD: tuple[Kind, ...] = ("relation", "count", "describe")
"""Kinds whose answer is thought about first."""
RELATIONS = ("left of", "right of", "above", "below")
_ANY = "shape"
"""What a count of all objects asks for."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question on one scene."""

    kind: Kind
    text: str
    """Without what stands before it (`context`)."""
    answer: str
    shape: str | None = None
    """The shape asked for; `shape` where all are counted."""
    colour: str | None = None
    other: str | None = None
    """Relation: the second shape."""
    relation: str | None = None
    negative: str | None = None
    """Existence, answer No: which kind of negative (random, popular, adversarial), where it is of a POPE set."""
    context: str = ""
    """Text before the question: a description of the picture, or a hint."""

    @property
    def prompt(self) -> str:
        """Text of the user's turn."""
        return f"{self.context} {self.text}" if self.context else self.text

    def after(self, context: str) -> Question:
        """The same question with text before it."""
        return replace(self, context=context)


def ask_exists(scene: Scene, shape: str, colour: str | None = None, negative: str | None = None) -> Question:
    """Whether a shape (of a colour) is there."""
    there = any(thing.shape == shape and colour in (None, thing.colour) for thing in visible(scene))
    what = f"{colour} {shape}" if colour else shape
    kind: Kind = "exists-colour" if colour else "exists"
    return Question(kind, f"Is there a {what} in the image?", _yes(there), shape, colour, negative=negative)


def ask(scene: Scene, kind: Kind, rng: random.Random) -> Question | None:
    """A question of a kind; yes and no come about equally often. None where the scene leaves nothing to ask."""
    if kind == "exists":
        return ask_exists(scene, _draw_shape(scene, rng))
    if kind == "exists-colour":
        return ask_exists(scene, *_draw_coloured(scene, rng))
    if kind == "relation":
        return _ask_relation(scene, rng)
    if kind == "colour":
        return _ask_colour(scene, rng)
    if kind == "letters":
        letters = scene.lettering.letters if scene.lettering else "None"
        return Question(kind, "Which letters are in the image?", letters)
    if kind == "count":
        return _ask_count(scene, rng)
    return Question(kind, "Describe the image.", caption(scene))


def completion(scene: Scene, question: Question) -> str:
    """What a model is taught to say: thoughts (without the tag that opens them), end of thoughts, answer."""
    if question.kind == "count":
        thoughts, n = _looked_at(scene, question.shape)
        noun = str(question.shape) if n == 1 else f"{question.shape}s"
        return f"{thoughts}That makes {n} {noun}.\n{THINK_END}The answer is \\boxed{{{n}}}."
    if question.kind == "describe":
        return f"{_looked_at(scene, None)[0]}{THINK_END}{question.answer}"
    if question.kind == "relation":
        pair = [thing for shape in (question.shape, question.other) for thing in _single(scene) if thing.shape == shape]
        return f"{''.join(map(_line, pair))}{THINK_END}{question.answer}"
    return f"{THINK_END}{question.answer}"


def caption(scene: Scene) -> str:
    """One sentence that names every visible thing in reading order."""
    things = [f"a {thing.text}" for thing in visible(scene)]
    if scene.lettering:
        things.append(f"the letters {scene.lettering.letters}")
    if not things:
        return "The image shows nothing."
    listed = f"{', '.join(things[:-1])} and {things[-1]}" if len(things) > 1 else things[0]
    return f"The image shows {listed}."


def mentioned(text: str) -> tuple[str, ...]:
    """Shapes that a text names, in order, each mention of singular or plural."""
    return tuple(match[1] for match in SHAPE_NAMES.finditer(text))


SHAPE_NAMES = re.compile(rf"\b({'|'.join(SHAPES)})(?:e?s)?\b")
"""A word for a shape; group 1 is the shape."""


def _looked_at(scene: Scene, counted: str | None) -> tuple[str, int]:
    """A line for every visible thing, and how many are counted."""
    lines, n = [], 0
    for thing in visible(scene):
        counts_here = counted in (thing.shape, _ANY)
        n += counts_here
        lines.append(_line(thing, f", {n}" if counts_here else ""))
    return "".join(lines) or "Nothing is there.\n", n


def _line(thing: SceneObject, note: str = "") -> str:
    return f"{_place(thing)}: a {thing.text}{note}.\n"


def _place(thing: SceneObject) -> str:
    name = PLACES[cell_of(thing)]
    return name[0].upper() + name[1:]


def _yes(true: bool) -> str:
    return "Yes" if true else "No"


def _draw_shape(scene: Scene, rng: random.Random) -> str:
    there = list(counts(scene))
    if there and rng.random() < 0.5:
        return rng.choice(there)
    absent = [shape for shape in SHAPES if shape not in there]
    return rng.choices(absent, [POPULARITY[shape] for shape in absent])[0] if rng.random() < 0.5 else rng.choice(absent)


def _draw_coloured(scene: Scene, rng: random.Random) -> tuple[str, str]:
    """A shape and a colour; a No asks for a shape in a colour that it does not have, or for an absent shape."""
    seen = visible(scene)
    pairs = {(thing.shape, thing.colour) for thing in seen}
    if seen and rng.random() < 0.5:
        thing = rng.choice(seen)
        return thing.shape, thing.colour
    for _ in range(20):
        shape = rng.choice(seen).shape if seen and rng.random() < 0.5 else rng.choice(SHAPES)
        colour = rng.choice(seen).colour if seen and rng.random() < 0.5 else rng.choice(list(COLOURS))
        if (shape, colour) not in pairs:
            return shape, colour
    return rng.choice(SHAPES), rng.choice(list(COLOURS))


def _single(scene: Scene) -> list[SceneObject]:
    """Objects that are the only ones of their shape, so that the name is enough."""
    seen = counts(scene)
    return [thing for thing in visible(scene) if seen[thing.shape] == 1]


def _ask_relation(scene: Scene, rng: random.Random) -> Question | None:
    single = _single(scene)
    if len(single) < 2:
        return None
    first, second = rng.sample(single, 2)
    relation = rng.choice(RELATIONS)
    text = f"Is the {first.shape} {relation} the {second.shape}?"
    answer = _yes(holds(first, relation, second))
    return Question("relation", text, answer, first.shape, other=second.shape, relation=relation)


def holds(first: SceneObject, relation: str, second: SceneObject) -> bool:
    """Whether one object stands in a relation to another, by column and row of their cells."""
    columns, rows = (first.x // CELL, second.x // CELL), (first.y // CELL, second.y // CELL)
    return {
        "left of": columns[0] < columns[1],
        "right of": columns[0] > columns[1],
        "above": rows[0] < rows[1],
        "below": rows[0] > rows[1],
    }[relation]


def _ask_colour(scene: Scene, rng: random.Random) -> Question | None:
    single = _single(scene)
    if not single:
        return None
    thing = rng.choice(single)
    text = f"What colour is the {thing.shape}?"
    return Question("colour", text, thing.colour.capitalize(), thing.shape, thing.colour)


def _ask_count(scene: Scene, rng: random.Random) -> Question:
    seen = counts(scene)
    draw = rng.random()
    shape = _ANY if draw < 0.3 else rng.choice(list(seen)) if seen and draw < 0.85 else rng.choice(SHAPES)
    n = sum(seen.values()) if shape == _ANY else seen[shape]
    noun = "crosses" if shape == "cross" else f"{shape}s"
    return Question("count", f"How many {noun} are there?", str(n), shape)

"""Views: one yes-or-no question under changed inputs, to tell what its answer stands on.

A view names what is shown and what is said beside it: `own`, `masked`, `own+description`, `none`.

| image | shows |
|---|---|
| own | the image of the question |
| masked | the same with what is asked for hidden (`meta["regions"]`: boxes of all of it) |
| elsewhere | the same with as much hidden elsewhere: the control of `masked` |
| background | the same things on another background (scenes alone) |
| wrong | another image, for which the other answer is right |
| none | nothing |

| text | says before the question |
|---|---|
| true, false | a guess at the right or the wrong answer: "I think there is a dog." |
| description | a true description (`meta["description"]`; of a POPE set the objects that its labels name) |
| filler | dots in the place of the description: its control |
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from cotlab.chains.image import Image
from cotlab.chains.problem import Problem
from cotlab.chains.yes_no import YesNo, read_yes_no
from cotlab.errors import DataError, UserError
from cotlab.problems.image_edits import Region, boxes_elsewhere, mask_boxes
from cotlab.problems.pope import object_of, pope_ids

__all__ = ["BLAME_VIEWS", "LOOK_VIEWS", "OWN", "LeftOut", "View", "Viewer", "Viewed", "gold_of"]

ImageKind = Literal["own", "masked", "elsewhere", "background", "wrong", "none"]
TextKind = Literal["", "true", "false", "description", "filler"]
_GUESS = {"yes": "I think there is {a} {thing}.", "no": "I think there is no {thing}."}


@dataclass(frozen=True, slots=True)
class View:
    """What is shown and what is said beside it."""

    image: ImageKind = "own"
    text: TextKind = ""

    def __post_init__(self) -> None:
        for value, known in ((self.image, get_args(ImageKind)), (self.text, get_args(TextKind))):
            if value not in known:
                raise UserError(f"unknown '{value}' in a view: choose one of {', '.join(filter(None, known))}")

    @property
    def name(self) -> str:
        """As it is typed."""
        return f"{self.image}+{self.text}" if self.text else self.image

    @classmethod
    def parse(cls, text: str) -> View:
        """Read what `name` writes.

        Raises:
            UserError: There is no such view.
        """
        image, _, said = text.strip().partition("+")
        return cls(image, said)  # type: ignore[arg-type]  # checked there


OWN = View()
LOOK_VIEWS = tuple(
    View.parse(name) for name in ("own", "masked", "elsewhere", "background", "wrong", "none", "own+true", "own+false")
)
"""Does it look?"""
BLAME_VIEWS = tuple(View.parse(name) for name in ("own", "own+description", "own+filler", "none+description", "none"))
"""Which input repairs an error?"""


@dataclass(frozen=True, slots=True)
class Viewed:
    """A question under a view."""

    problem: Problem
    """As it is asked: with the changed question and images."""
    view: View
    truth: YesNo | None
    """The right answer to what is shown and said; None where nothing tells."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A view that a question cannot have."""

    view: View
    reason: str


def gold_of(problem: Problem) -> YesNo:
    """The right answer to a problem's own question.

    Raises:
        DataError: It is no yes-or-no question with a gold answer.
    """
    found = read_yes_no(problem.answer) if problem.checker == "yes-no" and problem.answer is not None else None
    if found is None:
        raise DataError(
            f"problem {problem.name or problem.question[:40]!r} is no yes-or-no question with a gold answer: give "
            '"checker": "yes-no" and "answer": "yes" or "no"'
        )
    return found


class Viewer:
    """Shows the questions of one set under views; equal seeds give equal images."""

    def __init__(self, problems: Sequence[Problem], seed: int = 0) -> None:
        """Take the whole set: wrong images and descriptions come from it."""
        self._seed = seed
        self._shown: dict[tuple[str, YesNo], dict[str, Image]] = {}
        self._turn: dict[tuple[str, YesNo], dict[str, int]] = {}
        self._named: dict[tuple[str, ...], list[str]] = {}
        for problem in problems:
            gold = gold_of(problem)
            pope_ids(problem)  # what is bad there is said before anything is asked
            for image in problem.images[:1]:
                self._shown.setdefault((problem.question, gold), {})[image.id] = image
                turns = self._turn.setdefault((problem.question, gold), {})
                turns.setdefault(problem.id, len(turns))
            thing = object_of(problem.question)
            if gold == "yes" and thing and "pope" in problem.meta:
                self._named.setdefault(tuple(image.id for image in problem.images), []).append(thing)

    def views(self, problem: Problem, views: Iterable[View]) -> list[Viewed | LeftOut]:
        """A problem under each view, as far as it can be.

        Raises:
            DataError: Its regions or its image are bad.
        """
        return [self.view(problem, view) for view in views]

    def view(self, problem: Problem, view: View) -> Viewed | LeftOut:
        """A problem under one view; raises what `views` does."""
        if view == OWN:
            return Viewed(problem, view, gold_of(problem))
        said = self._said(problem, view.text)
        shown = self._images(problem, view.image)
        for what in (said, shown):
            if isinstance(what, _Lacking):
                return LeftOut(view, what.reason)
        assert isinstance(said, str) and isinstance(shown, tuple)
        if not said and shown == problem.images:
            return LeftOut(view, "it changes nothing")
        changed = replace(
            problem,
            question=f"{said} {problem.question}" if said else problem.question,
            images=shown,
            name=f"{problem.name} {view.name}".strip(),
        )
        return Viewed(changed, view, _truth(gold_of(problem), view))

    def _images(self, problem: Problem, kind: ImageKind) -> tuple[Image, ...] | _Lacking:
        if kind == "none":
            return ()
        if kind == "own":
            return problem.images
        if len(problem.images) != 1:
            return _Lacking(f"the question shows {len(problem.images)} images, and one is changed")
        rng = random.Random(f"{self._seed}/{problem.id}/{kind}")
        if kind == "background":
            return _on_other_background(problem, rng)
        if kind == "wrong":
            return self._wrong(problem, rng)
        regions = _regions(problem)
        if not regions:
            return _Lacking("no region of what is asked for is known (meta 'regions')")
        if kind == "elsewhere":
            elsewhere = boxes_elsewhere(problem.images[0], regions, rng)
            if elsewhere is None:
                return _Lacking("no room elsewhere for as large a mask")
            regions = elsewhere
        return (mask_boxes(problem.images[0], regions),)

    def _wrong(self, problem: Problem, rng: random.Random) -> tuple[Image, ...] | _Lacking:
        """An image for which the other answer is right: a scene that is drawn, else one of the set."""
        gold, shape = gold_of(problem), problem.meta.get("shape")
        if isinstance(problem.meta.get("scene"), Mapping) and isinstance(shape, str):
            from cotlab.tiny import scenes as sc

            if shape not in sc.SHAPES:
                return _Lacking(f"scenes have no {shape[:40]!r} (meta 'shape')")
            while True:  # of the other split: never an image of the set
                found = sc.other_scene(rng, lacks=shape) if gold == "yes" else sc.other_scene(rng, holds=shape)
                if found.split == "train":
                    return (Image(sc.png(found)),)
        known = self._shown.get((problem.question, "no" if gold == "yes" else "yes"))
        if not known:
            return _Lacking("no image of the set is known to make the other answer right")
        # Dealt out in turn, so that none is shown twice before each was shown once.
        names = sorted(known)
        random.Random(f"{self._seed}/{problem.question}/{gold}").shuffle(names)
        turn = self._turn.get((problem.question, gold), {}).get(problem.id)
        return (known[rng.choice(names) if turn is None else names[turn % len(names)]],)

    def _said(self, problem: Problem, kind: TextKind) -> str | _Lacking:
        if kind == "":
            return ""
        if kind in ("true", "false"):
            thing = object_of(problem.question)
            if thing is None:
                return _Lacking("the question is not in POPE's words, so no guess can be made of it")
            gold = gold_of(problem)
            says = gold if kind == "true" else "no" if gold == "yes" else "yes"
            return _GUESS[says].format(a=_article(thing), thing=thing)
        description = problem.meta.get("description") or self._listed(problem)
        if not isinstance(description, str):
            return _Lacking("no description of the image is known (meta 'description')")
        return description if kind == "description" else re.sub(r"\S", ".", description)

    def _listed(self, problem: Problem) -> str | None:
        """What the labels of a POPE set say of an image."""
        named = self._named.get(tuple(image.id for image in problem.images))
        if not named:
            return None
        things = [f"{_article(thing)} {thing}" for thing in dict.fromkeys(named)]
        return f"The image shows {' and '.join(filter(None, [', '.join(things[:-1]), things[-1]]))}."


@dataclass(frozen=True, slots=True)
class _Lacking:
    reason: str


def _truth(gold: YesNo, view: View) -> YesNo | None:
    if view.image == "none":
        return gold if view.text == "description" else None
    if view.image == "masked":
        return "no"
    if view.image == "wrong":
        return "no" if gold == "yes" else "yes"
    return gold


def _on_other_background(problem: Problem, rng: random.Random) -> tuple[Image, ...] | _Lacking:
    described: Any = problem.meta.get("scene")
    if not isinstance(described, Mapping):
        return _Lacking("what is background is known of scenes alone")
    from cotlab.tiny import scenes as sc

    try:
        scene = sc.Scene.from_json(dict(described))
    except ValueError as error:
        raise DataError(f"{_named(problem)}: {str(error)[:200]} (meta 'scene')") from error
    others = [name for name in sc.BACKGROUNDS if name != scene.background]
    return (Image(sc.png(sc.with_background(scene, rng.choice(others)))),)


def _regions(problem: Problem) -> list[Region]:
    given: Any = problem.meta.get("regions") or []
    image = problem.images[0]
    found = list[Region]()
    for box in given if isinstance(given, list | tuple) else [given]:
        if not (isinstance(box, list | tuple) and len(box) == 4 and all(type(side) is int for side in box)):
            raise DataError(
                f"{_named(problem)}: region {str(box)[:60]} is no [left, top, right, bottom] in whole pixels"
            )
        left, top, right, bottom = box
        if not (0 <= left < right <= image.width and 0 <= top < bottom <= image.height):
            raise DataError(
                f"{_named(problem)}: region {list(box)} is empty or leaves its image of {image.width} × {image.height}"
            )
        found.append((left, top, right, bottom))
    return found


def _article(thing: str) -> str:
    return "an" if thing[:1].lower() in "aeiou" else "a"


def _named(problem: Problem) -> str:
    return f"problem {problem.name or problem.question[:40]!r}"

"""Questions on scenes as problems of the lab."""

from __future__ import annotations

from typing import Any

from cotlab.chains.image import Image
from cotlab.chains.problem import Problem
from cotlab.tiny.scenes.questions import Question
from cotlab.tiny.scenes.scene import Scene
from cotlab.tiny.scenes.truth import png

__all__ = ["problem_of", "scene_of"]


def problem_of(scene: Scene, question: Question, blind: bool = False) -> Problem:
    """A question as a `Problem` with its picture; `meta` holds the scene's description and what is asked for.

    Counts are checked as numbers, everything else as text.

    Args:
        scene: what is drawn.
        question: what is asked.
        blind: leave the picture out.
    """
    meta: dict[str, Any] = {"scene": scene.to_json(), "kind": question.kind}
    asked = {"shape": question.shape, "colour": question.colour, "negative": question.negative}
    meta |= {name: value for name, value in asked.items() if value is not None}
    checker = "number" if question.kind == "count" else "exact"
    name = f"scene-{scene.id[:8]}/{question.kind}"
    images = () if blind else (Image(png(scene)),)
    return Problem(question.prompt, question.answer, checker, name=name, meta=meta, images=images)


def scene_of(problem: Problem) -> Scene | None:
    """The scene that a problem asks about; None for a problem of another kind."""
    described = problem.meta.get("scene")
    return Scene.from_json(described) if isinstance(described, dict) else None

"""Exact synthetic scenes for the tiny vision-language model: coloured shapes and letters on a canvas of 48 × 48 pixels.

    scenes = draw_scenes(8, seed=0, split="heldout")       # descriptions; equal descriptions have equal ids
    picture, written = render(scenes[0]), png(scenes[0])   # (48, 48, 3) uint8, and a PNG file
    mask = mask_of(scenes[0], scenes[0].objects[0])        # its pixels; tokens_of(mask): the image tokens it covers
    without = remove_object(scenes[0], 0)                  # edits give scenes, whose truth is exact again
    question = ask(scenes[0], "count", random.Random(0))   # exact answer; completion(): what a model is taught to say
    asked = pope_questions(scenes, "adversarial")          # as many Yes as No

The picture has 3 × 3 cells with at most one thing each, so that nothing overlaps: the mask of a thing is exactly what
its removal changes. Patches of 8 pixels make 6 × 6 image tokens.
"""

from cotlab.tiny.scenes.edits import (
    add_object,
    cover,
    cover_object,
    other_scene,
    remove_object,
    with_background,
)
from cotlab.tiny.scenes.pope import NEGATIVES, Negative, ObjectStatistics, object_statistics, pope_questions
from cotlab.tiny.scenes.problems import problem_of, scene_of
from cotlab.tiny.scenes.questions import (
    ALOUD,
    KINDS,
    RELATIONS,
    SHAPE_NAMES,
    Kind,
    Question,
    ask,
    ask_exists,
    caption,
    completion,
    holds,
    mentioned,
)
from cotlab.tiny.scenes.scene import (
    CANVAS,
    CELL,
    PATCH,
    PLACES,
    Box,
    Cover,
    Lettering,
    Scene,
    SceneObject,
    cell_of,
)
from cotlab.tiny.scenes.shapes import BACKGROUNDS, COLOURS, LETTERS, SHAPES
from cotlab.tiny.scenes.truth import box_of, counts, mask_of, png, render, tokens_of, visible
from cotlab.tiny.scenes.worlds import PAIRS, PLAIN, PLANTED, Pair, World, draw_object, draw_scene, draw_scenes

__all__ = [
    "ALOUD",
    "BACKGROUNDS",
    "Box",
    "CANVAS",
    "CELL",
    "COLOURS",
    "Cover",
    "KINDS",
    "Kind",
    "LETTERS",
    "Lettering",
    "NEGATIVES",
    "Negative",
    "ObjectStatistics",
    "PAIRS",
    "PATCH",
    "PLACES",
    "PLAIN",
    "PLANTED",
    "Pair",
    "Question",
    "RELATIONS",
    "SHAPES",
    "SHAPE_NAMES",
    "Scene",
    "SceneObject",
    "World",
    "add_object",
    "ask",
    "ask_exists",
    "box_of",
    "caption",
    "cell_of",
    "completion",
    "counts",
    "cover",
    "cover_object",
    "draw_object",
    "draw_scene",
    "draw_scenes",
    "holds",
    "mask_of",
    "mentioned",
    "object_statistics",
    "other_scene",
    "png",
    "pope_questions",
    "problem_of",
    "remove_object",
    "render",
    "scene_of",
    "tokens_of",
    "visible",
    "with_background",
]

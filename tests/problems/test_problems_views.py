"""Views of a question: what they show is what they say they show."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as pil

from cotlab.chains.image import Image
from cotlab.chains.problem import Problem
from cotlab.errors import DataError, UserError
from cotlab.problems import BLAME_VIEWS, LOOK_VIEWS, LeftOut, View, Viewed, Viewer, load_problems
from cotlab.problems.image_edits import boxes_elsewhere
from cotlab.problems.pope import PopeQuestion, merge_questions
from cotlab.tiny import scenes as sc


def pixels(image: Image) -> np.ndarray:
    return np.asarray(image.open())


def shown(viewer: Viewer, problem: Problem, name: str) -> Viewed:
    found = viewer.view(problem, View.parse(name))
    assert isinstance(found, Viewed), found
    return found


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    return load_problems("scenes", n=60)


def test_hiding_a_thing_is_taking_it_away(problems: list[Problem]) -> None:
    viewer, yes = Viewer(problems), [problem for problem in problems if problem.answer == "Yes"]
    for problem in yes:
        scene, shape = sc.Scene.from_json(dict(problem.meta["scene"])), problem.meta["shape"]
        without = replace(scene, objects=tuple(thing for thing in scene.objects if thing.shape != shape))
        masked = shown(viewer, problem, "masked")
        assert np.array_equal(pixels(masked.problem.images[0]), sc.render(without)) and masked.truth == "no"
        elsewhere = shown(viewer, problem, "elsewhere")
        for left, top, right, bottom in problem.meta["regions"]:
            before, after = (pixels(one.images[0])[top:bottom, left:right] for one in (problem, elsewhere.problem))
            assert np.array_equal(before, after)
        assert elsewhere.truth == "yes"
    changed = [
        not np.array_equal(pixels(shown(viewer, p, "elsewhere").problem.images[0]), pixels(p.images[0])) for p in yes
    ]
    assert np.mean(changed) > 0.9  # the control hides something


def test_other_images_make_the_other_answer_right(problems: list[Problem]) -> None:
    viewer = Viewer(problems)
    for problem in problems:
        wrong, scene = shown(viewer, problem, "wrong"), sc.Scene.from_json(dict(problem.meta["scene"]))
        assert wrong.truth == ("no" if problem.answer == "Yes" else "yes")
        assert wrong.problem.images != problem.images and wrong.problem.question == problem.question
        moved = pixels(shown(viewer, problem, "background").problem.images[0])
        things = np.logical_or.reduce([sc.mask_of(scene, thing) for thing in scene.objects])
        same = (moved == sc.render(scene)).all(axis=-1)
        letters = sc.mask_of(scene, scene.lettering) if scene.lettering else ~things & False
        assert same[things].all() and not same[~things & ~letters].any()


def test_what_is_said_beside(problems: list[Problem]) -> None:
    viewer = Viewer(problems)
    problem = next(one for one in problems if one.answer == "No")
    thing = problem.meta["shape"]
    said = {
        name: shown(viewer, problem, name).problem.question for name in ("own+true", "own+false", "none+description")
    }
    assert said["own+true"] == f"I think there is no {thing}. {problem.question}"
    assert said["own+false"] == f"I think there is a {thing}. {problem.question}"
    assert said["none+description"] == f"{problem.meta['description']} {problem.question}"
    dots = shown(viewer, problem, "own+filler").problem.question
    assert len(dots) == len(said["none+description"]) and set(dots.removesuffix(problem.question)) == {".", " "}
    bare = shown(viewer, problem, "none")
    assert bare.problem.images == () and bare.truth is None


def photos() -> list[Problem]:
    """A set of POPE over images of which nothing is known but the labels."""
    images = {name: Image.of(pil.effect_noise((40, 30), spread)) for name, spread in (("one", 20), ("two", 60))}
    asked = [("one", "apple", True), ("one", "dog", True), ("one", "cat", False), ("two", "dog", False)]
    return merge_questions(
        PopeQuestion("random", i, name, images[name], f"Is there a {thing} in the image?", yes)
        for i, (name, thing, yes) in enumerate(asked)
    )


def test_wrong_images_are_dealt_out_in_turn() -> None:
    images = [Image.of(pil.new("RGB", (8, 8), (20 * shade, 0, 0))) for shade in range(12)]
    problems = merge_questions(
        PopeQuestion("random", i, str(i), image, "Is there a dog in the image?", i < 8)
        for i, image in enumerate(images)
    )
    viewer = Viewer(problems, 3)
    shown_to = [shown(viewer, problem, "wrong").problem.images[0].id for problem in problems]
    assert Counter(Counter(shown_to[:8]).values()) == {2: 4} and len(set(shown_to[8:])) == 4
    assert [shown(Viewer(problems, 3), problem, "wrong").problem.images[0].id for problem in problems] == shown_to


def test_of_a_photo_only_what_is_known_is_shown() -> None:
    problems = photos()
    viewer = Viewer(problems)
    apple, dog, cat, other = problems
    found = {view.name: viewer.view(dog, view) for view in (*LOOK_VIEWS, *BLAME_VIEWS)}
    reasons = {name: one.reason for name, one in found.items() if isinstance(one, LeftOut)}
    assert set(reasons) == {"masked", "elsewhere", "background"}
    assert "meta 'regions'" in reasons["masked"] and "scenes alone" in reasons["background"]
    assert shown(viewer, dog, "wrong").problem.images == other.images
    assert shown(viewer, dog, "own+description").problem.question.startswith("The image shows an apple and a dog. Is")
    assert isinstance(viewer.view(cat, View("wrong")), LeftOut)  # no image of the set shows one
    assert isinstance(viewer.view(other, View("own", "description")), LeftOut)  # nothing is known to be there
    boxed = replace(dog, meta={**dog.meta, "regions": [[0, 0, 10, 10], [20, 5, 30, 12]]})
    assert shown(viewer, boxed, "masked").truth == "no"
    whole = replace(dog, meta={"regions": [[0, 0, 40, 30]]})
    assert isinstance(viewer.view(whole, View("elsewhere")), LeftOut)


def test_control_boxes_keep_away() -> None:
    image, boxes = photos()[0].images[0], [(0, 0, 10, 10), (20, 5, 30, 12)]
    for seed in range(20):
        found = boxes_elsewhere(image, boxes, random.Random(seed))
        assert found is not None
        covered = np.zeros((30, 40), int)
        for left, top, right, bottom in (*boxes, *found):
            covered[top:bottom, left:right] += 1
        assert covered.max() == 1 and covered.sum() == 2 * (100 + 70)


@pytest.mark.parametrize("regions", [[[0, 0, 50, 10]], [[5, 5, 5, 9]], [[0, 0, 1]], "box", [[0, 0, 1.5, 2]]])
def test_bad_regions_are_one_line(regions: object) -> None:
    dog = replace(photos()[0], meta={"regions": regions})
    with pytest.raises(DataError, match="region"):
        Viewer([dog]).view(dog, View("masked"))


def test_faults() -> None:
    with pytest.raises(UserError, match="unknown 'upside-down' in a view"):
        View.parse("upside-down")
    with pytest.raises(DataError, match="no yes-or-no question"):
        Viewer([Problem("2 + 2?", "4")])


@pytest.mark.parametrize(
    ("meta", "told"),
    [
        ({"pope": {"ids": {"random": 5}}}, "ids of split 'random' in meta 'pope' are '5': give a list"),
        ({"pope": {"ids": {"random": "abc"}}}, "are 'abc': give a list"),
        ({"scene": {"x": 1}}, "no description of a scene"),
        ({"scene": {"background": "zz", "objects": []}}, "unknown background 'zz'"),
    ],
)
def test_what_a_file_says_of_its_images_may_be_nonsense(meta: dict, told: str) -> None:
    problem = Problem("Is there a dog in the image?", "yes", "yes-no", meta=meta, images=(one_image(),))
    with pytest.raises(DataError, match=told):
        Viewer([problem]).views(problem, LOOK_VIEWS)


def test_no_scene_is_looked_for_with_a_shape_that_scenes_lack() -> None:
    scene = sc.draw_scenes(1, 0)[0]
    for answer in ("yes", "no"):
        problem = Problem(
            "Is there a dog in the image?", answer, "yes-no",
            meta={"scene": scene.to_json(), "shape": "dog"}, images=(one_image(),),
        )  # fmt: skip
        found = Viewer([problem]).view(problem, View.parse("wrong"))
        assert isinstance(found, LeftOut) and "no 'dog'" in found.reason


def one_image() -> Image:
    return Image(sc.png(sc.draw_scenes(1, 0)[0]))

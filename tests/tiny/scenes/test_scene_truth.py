"""What a scene says of itself is what its pixels show."""

import io
import json
import random
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cotlab.identity import hash_bytes
from cotlab.tiny import scenes as sc


def changed(before: sc.Scene, after: sc.Scene) -> np.ndarray:
    return (sc.render(before) != sc.render(after)).any(-1)


def test_a_mask_is_exactly_what_removing_the_object_changes(scenes: list[sc.Scene]) -> None:
    for scene in scenes:
        for place, thing in enumerate(scene.objects):
            mask = sc.mask_of(scene, thing)
            assert np.array_equal(changed(scene, sc.remove_object(scene, place)), mask)
            assert mask.sum() >= 0.15 * thing.size**2
        if scene.lettering:
            mask = sc.mask_of(scene, scene.lettering)
            assert np.array_equal(changed(scene, replace(scene, lettering=None)), mask)


def test_faint_objects_change_pixels_too_but_little() -> None:
    rng = random.Random(1)
    faint = [
        s for s in (sc.draw_scene(rng, sc.PLANTED) for _ in range(200)) if any(o.strength < 100 for o in s.objects)
    ]
    assert len(faint) > 50
    for scene in faint:
        place = next(i for i, thing in enumerate(scene.objects) if thing.strength < 100)
        before, after = sc.render(scene).astype(int), sc.render(sc.remove_object(scene, place)).astype(int)
        assert np.array_equal((before != after).any(-1), sc.mask_of(scene, scene.objects[place]))
        assert abs(before - after).max() <= 13


def test_every_shape_and_letter_differs_from_every_other() -> None:
    for size in (9, 14):
        stamps = [sc.SceneObject(shape, "red", 0, 0, size).stamp() for shape in sc.SHAPES]
        for i, one in enumerate(stamps):
            assert all((one != other).sum() >= 6 for other in stamps[:i])
    letters = [sc.Lettering(letter, 0, 0).stamp() for letter in sc.LETTERS]
    assert all((one != other).sum() >= 4 for i, one in enumerate(letters) for other in letters[:i])


def test_tokens_and_boxes_are_those_of_the_mask(scenes: list[sc.Scene]) -> None:
    for scene in scenes[:50]:
        for thing in scene.things:
            mask = sc.mask_of(scene, thing)
            rows, columns = np.nonzero(mask)
            assert set(sc.tokens_of(mask)) == {int(r // 8 * 6 + c // 8) for r, c in zip(rows, columns, strict=True)}
            box = sc.box_of(mask)
            assert box == sc.Box(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert set(sc.tokens_of(mask, 0.5)) <= set(sc.tokens_of(mask))
    assert sc.box_of(np.zeros((48, 48), bool)) is None and sc.tokens_of(np.zeros((48, 48), bool)) == ()


def test_png_files_hold_the_picture_and_repeat(scenes: list[sc.Scene]) -> None:
    for scene in scenes[:10]:
        written = sc.png(scene)
        assert written == sc.png(sc.Scene.from_json(scene.to_json()))
        with Image.open(io.BytesIO(written)) as picture:
            assert picture.mode == "RGB" and np.array_equal(np.asarray(picture), sc.render(scene))


def test_a_description_is_the_identity(scenes: list[sc.Scene]) -> None:
    again = sc.draw_scenes(200, seed=3)
    assert again == scenes and [s.id for s in again] == [s.id for s in scenes]
    assert len({scene.id for scene in scenes}) == len(set(scenes))
    through_json = [sc.Scene.from_json(json.loads(json.dumps(scene.to_json()))) for scene in scenes]
    assert [s.id for s in through_json] == [s.id for s in scenes]
    covered = sc.cover_object(next(s for s in scenes if s.objects), 0)
    assert sc.Scene.from_json(json.loads(json.dumps(covered.to_json()))).id == covered.id
    assert sc.draw_scenes(20, seed=4) != scenes[:20]
    assert {scene.split for scene in scenes} == {"train"}
    assert {scene.split for scene in sc.draw_scenes(20, seed=3, split="heldout")} == {"heldout"}


def test_pixels_stay_what_they_were() -> None:
    """Stored studies name scenes by description: another drawing of the same description would change what they saw."""
    assert sc.draw_scenes(1, seed=0)[0].id == "abe94e2c96d68d3746f5bd28"
    drawn = b"".join(sc.render(scene).tobytes() for scene in sc.draw_scenes(50, seed=0))
    assert hash_bytes("pixels", drawn) == "a501294b0029a19ccefa0163"


def test_covers_hide_and_backgrounds_swap(scenes: list[sc.Scene]) -> None:
    for scene in [s for s in scenes if s.objects][:50]:
        thing = scene.objects[0]
        covered = sc.cover_object(scene, 0)
        assert thing not in sc.visible(covered) and sc.counts(covered)[thing.shape] == sc.counts(scene)[thing.shape] - 1
        assert np.array_equal(changed(scene, covered), sc.mask_of(scene, thing))
        other = sc.with_background(scene, "white" if scene.background != "white" else "black")
        untouched = np.ones((48, 48), bool)
        for one in scene.things:
            untouched &= ~sc.mask_of(scene, one)
        same_things = ~untouched if scene.lettering is None else sc.mask_of(scene, thing)
        assert not changed(scene, other)[same_things].any() and changed(scene, other)[untouched].all()


def test_added_objects_and_other_scenes(scenes: list[sc.Scene]) -> None:
    rng = random.Random(0)
    for scene in scenes[:50]:
        more = sc.add_object(scene, rng, "bolt", "cyan")
        assert sc.counts(more)["bolt"] == sc.counts(scene)["bolt"] + 1 and len(more.objects) == len(scene.objects) + 1
        assert (
            sc.counts(sc.other_scene(rng, holds="moon"))["moon"]
            and not sc.counts(sc.other_scene(rng, lacks="moon"))["moon"]
        )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"background": "pink"}, "unknown background 'pink'"),
        ({"background": "white", "objects": [{"shape": "fish", "colour": "red", "x": 0, "y": 0, "size": 9}]}, "fish"),
        (
            {"background": "white", "objects": [{"shape": "star", "colour": "red", "x": 9, "y": 0, "size": 9}]},
            "crosses",
        ),
        ({"background": "white", "objects": [{"shape": "star"}]}, "no description"),
        ({"background": "white", "objects": [], "lettering": {"letters": "ABC", "x": 0, "y": 0}}, "letters 'ABC'"),
    ],
)
def test_impossible_descriptions_are_refused(given: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sc.Scene.from_json({"objects": [], **given})


def test_impossible_edits_are_refused(scenes: list[sc.Scene]) -> None:
    with pytest.raises(ValueError, match="no object 9"):
        sc.remove_object(scenes[0], 9)
    with pytest.raises(ValueError, match="leaves the picture"):
        sc.cover(scenes[0], sc.Box(40, 0, 50, 8))

"""POPE's own files, and sets over scenes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image as pil

from cotlab.errors import DataError
from cotlab.problems import load_pope, load_problems, pope_ids
from cotlab.tiny import scenes as sc

ROWS = {  # as the published files: the positives are the same in all, the negatives are not
    "random": [("one", "dog", "yes"), ("one", "cup", "no"), ("two", "ski", "yes"), ("two", "cat", "no")],
    "popular": [("one", "dog", "yes"), ("one", "person", "no"), ("two", "ski", "yes"), ("two", "cat", "no")],
    "adversarial": [("one", "dog", "yes"), ("one", "cat", "no"), ("two", "ski", "yes"), ("two", "person", "no")],
}


def lines(rows: list[tuple[str, str, str]]) -> list[dict[str, object]]:
    return [
        {"question_id": i, "image": f"{image}.jpg", "text": f"Is there a {thing} in the image?", "label": label}
        for i, (image, thing, label) in enumerate(rows, 1)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split, rows in ROWS.items():
        (tmp_path / f"coco_pope_{split}.json").write_text("\n".join(map(json.dumps, lines(rows))) + "\n")
    (tmp_path / "val2014").mkdir()
    for name, colour in (("one", "red"), ("two", "blue")):
        pil.new("RGB", (6, 4), colour).save(tmp_path / "val2014" / f"{name}.jpg")
    return tmp_path


def test_each_question_on_each_image_is_one_problem(folder: Path) -> None:
    found = load_problems(f"pope:{folder}@{folder / 'val2014'}")
    asked = {(problem.meta["pope"]["image"], problem.question): problem for problem in found}
    assert len(found) == len(asked) == 7
    dog, cat = asked["one.jpg", "Is there a dog in the image?"], asked["two.jpg", "Is there a cat in the image?"]
    assert pope_ids(dog) == {"random": [1], "popular": [1], "adversarial": [1]} and dog.answer == "Yes"
    assert pope_ids(cat) == {"random": [4], "popular": [4]} and cat.answer == "No"
    assert dog.checker == "yes-no" and dog.images[0].width == 6 and dog.name == "one.jpg/dog"
    assert [problem.meta["pope"]["image"] for problem in found] == ["one.jpg"] * 4 + ["two.jpg"] * 3
    assert len({problem.id for problem in found}) == 7


def test_a_file_alone_its_beginning_and_a_list(folder: Path) -> None:
    images = folder / "val2014"
    one = load_pope(folder / "coco_pope_popular.json", images, 2)
    assert [pope_ids(problem) for problem in one] == [{"popular": [1]}, {"popular": [2]}]
    listed = images / "gqa_pope_seem_random.json"
    listed.write_text(json.dumps(lines(ROWS["random"]), indent=4))
    assert [pope_ids(problem) for problem in load_pope(listed)] == [{"random": [k]} for k in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"label": "maybe"}, "line 2 label: Input should be 'yes' or 'no', not 'maybe'"),
        ({"image": "three.jpg"}, "line 2 shows image .*three.jpg.* cannot be read"),
        ({"image": "../coco_pope_random.json"}, "line 2 image .* lies outside"),
        ({"text": ""}, "line 2 text: "),
    ],
)
def test_a_bad_line_is_told(folder: Path, change: dict[str, str], told: str) -> None:
    rows = lines(ROWS["random"])
    rows[1] |= change
    (folder / "coco_pope_random.json").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match=told):
        load_pope(folder / "coco_pope_random.json", folder / "val2014")


def test_files_that_contradict_each_other(folder: Path) -> None:
    rows = lines([("one", "dog", "no")])
    (folder / "coco_pope_popular.json").write_text(json.dumps(rows[0]))
    with pytest.raises(DataError, match=r"dog.* is answered yes and no \(adversarial 1, popular 1\)"):
        load_pope(folder, folder / "val2014")


def test_two_sets_in_one_folder_are_not_mixed(folder: Path) -> None:
    (folder / "aokvqa_pope_random.json").write_text((folder / "coco_pope_random.json").read_text())
    with pytest.raises(DataError, match=r"several sets \(aokvqa_pope_\*.json, coco_pope_\*.json\): name a file"):
        load_pope(folder, folder / "val2014")


def test_a_folder_that_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", closed)  # as root every folder can be read
    with pytest.raises(DataError, match=r"cannot be read \(Permission denied\)"):
        load_pope(folder, folder / "val2014")


@pytest.mark.parametrize(
    ("spec", "told"),
    [("pope:NONE", "cannot be read"), ("pope:EMPTY", "has no questions"), ("pope:FOLDER", "has no .*_pope_")],
)
def test_what_is_no_set(tmp_path: Path, spec: str, told: str) -> None:
    (tmp_path / "EMPTY").write_text("\n")
    (tmp_path / "FOLDER").mkdir()
    with pytest.raises(DataError, match=told):
        load_problems(f"pope:{tmp_path / spec.removeprefix('pope:')}")


def test_sets_over_scenes_are_true() -> None:
    found = load_problems("scenes", n=60, seed=3)
    assert Counter(split for one in found for split in pope_ids(one)) == dict.fromkeys(sc.NEGATIVES, 60)
    for problem in found:
        scene = sc.Scene.from_json(dict(problem.meta["scene"]))
        there = sc.counts(scene)[problem.meta["shape"]]
        assert (problem.answer == "Yes") == bool(there) and len(problem.meta["regions"]) == there
        assert problem.images[0].data == sc.png(scene) and scene.split == "heldout"
    assert [one.id for one in load_problems("scenes", n=60, seed=3)] == [one.id for one in found]
    harder = [one for one in found if "adversarial" in pope_ids(one) and "random" not in pope_ids(one)]
    assert harder and all(one.answer == "No" for one in harder)


def test_pairs_ask_for_the_second_where_the_first_is() -> None:
    found = load_problems("scenes:pairs", n=40)
    assert Counter(split for one in found for split in pope_ids(one)) == {"random": 40, "planted": 40}
    for problem in found:
        there = sc.counts(sc.Scene.from_json(dict(problem.meta["scene"])))
        shape, splits = problem.meta["shape"], set(pope_ids(problem))
        assert (problem.answer == "Yes") == bool(there[shape]) == (splits == {"random", "planted"})
        pair = next((a, b) for a, b in sc.PAIRS.items() if there[a] and not there[b])
        assert shape == pair[0] if problem.answer == "Yes" else (shape == pair[1]) == (splits == {"planted"})


def test_counts_over_scenes_are_what_is_drawn() -> None:
    found = load_problems("scenes:count", n=30, seed=2)
    assert len(found) == 30 and len({problem.images[0].id for problem in found}) == 30
    for problem in found:
        scene = sc.scene_of(problem)
        names = ["crosses" if thing.shape == "cross" else f"{thing.shape}s" for thing in scene.objects]
        seen = [name for name in names if name in problem.question or "shapes" in problem.question]
        assert problem.answer == str(len(seen)) and problem.images[0].data == sc.png(scene)
    assert [one.id for one in load_problems("scenes:count", n=30, seed=2)] == [one.id for one in found]

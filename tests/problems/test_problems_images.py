from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image as pil

from cotlab.chains.image import Image
from cotlab.errors import DataError
from cotlab.problems import load_problems, load_transcript
from cotlab.problems.pictures import MAX_IMAGES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "set"
    (inside / "pictures").mkdir(parents=True)
    for name, colour in (("red", "red"), ("blue", "blue")):
        pil.new("RGB", (4, 4), colour).save(inside / "pictures" / f"{name}.png")
    pil.new("RGB", (4, 4)).save(tmp_path / "outside.png")
    return inside


def write(folder: Path, *rows: dict[str, object], name: str = "set.jsonl") -> str:
    path = folder / name
    path.write_text("\n".join(json.dumps({"question": "What is it?", "answer": "x", **row}) for row in rows))
    return str(path)


def test_images_are_read_from_beside_the_file(folder: Path) -> None:
    red, blue = (Image.load(folder / "pictures" / f"{name}.png") for name in ("red", "blue"))
    rows = [
        {"image": "pictures/red.png"},
        {"images": ["pictures/blue.png", "./pictures/../pictures/red.png"]},
        {"image": ""},
        {"images": []},
        {},
    ]
    found = load_problems(write(folder, *rows))
    assert [problem.images for problem in found] == [(red,), (blue, red), (), (), ()]
    assert len({problem.id for problem in found}) == 3


def test_csv_names_several_with_bars(folder: Path) -> None:
    (folder / "set.csv").write_text("question,answer,images\nWhat?,x,pictures/red.png|pictures/blue.png\nWhat?,x,\n")
    first, second = load_problems(str(folder / "set.csv"))
    assert len(first.images) == 2 and second.images == ()


def test_problems_that_show_one_image_share_it(folder: Path) -> None:
    first, second = load_problems(write(folder, {"image": "pictures/red.png"}, {"images": ["pictures/red.png"]}))
    assert first.images[0] is second.images[0]


def test_a_changed_file_is_read_again(folder: Path) -> None:
    (before,) = load_problems(write(folder, {"image": "pictures/red.png"}))
    pil.new("RGB", (4, 4), "green").save(folder / "pictures" / "red.png")
    (after,) = load_problems(write(folder, {"image": "pictures/red.png"}))
    assert before.images != after.images


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"image": "../outside.png"}, "outside of the problem file's folder"),
        ({"image": "/etc/passwd"}, "outside of the problem file's folder"),
        ({"image": "link.png"}, "outside of the problem file's folder"),
        ({"image": "https://example.org/a.png"}, "nothing is downloaded"),
        ({"image": "file:///etc/passwd"}, "nothing is downloaded"),
        ({"image": "a\0b"}, "nothing is downloaded"),
        ({"image": "none.png"}, r"none\.png.*No such file"),
        ({"image": "pictures"}, r"pictures.*no ordinary file"),
        ({"image": "circle.png"}, r"circle\.png.*cannot be"),
        ({"image": "a" * 5000}, "name too long"),
        ({"image": "pipe.png"}, r"pipe\.png.*no ordinary file"),
        ({"image": "set.jsonl"}, "no PNG or JPEG"),
        ({"image": 7}, "image is .7.: expected the path"),
        ({"images": ["pictures/red.png", None]}, "expected the path"),
        ({"images": {"path": "x"}}, "expected the path"),
        ({"image": "a.png", "images": ["b.png"]}, "both image and images"),
        ({"images": ["pictures/red.png"] * (MAX_IMAGES + 1)}, f"the limit is {MAX_IMAGES}"),
    ],
)
def test_what_cannot_be_shown_is_one_line(folder: Path, row: dict[str, object], said: str) -> None:
    (folder / "link.png").symlink_to(folder.parent / "outside.png")
    (folder / "circle.png").symlink_to(folder / "circle.png")
    os.mkfifo(folder / "pipe.png")
    with pytest.raises(DataError, match=f"(?i){said}") as raised:
        load_problems(write(folder, {}, row))
    assert "line 2" in str(raised.value) and "\n" not in str(raised.value)


def test_a_transcript_shows_its_image(folder: Path) -> None:
    path = folder / "talk.json"
    path.write_text(json.dumps({"question": "What is it?", "response": "A square.", "image": "pictures/red.png"}))
    assert load_transcript(path).problem.images == (Image.load(folder / "pictures" / "red.png"),)
    path.write_text(json.dumps({"question": "What is it?", "response": "A square.", "image": "../outside.png"}))
    with pytest.raises(DataError, match="outside of the problem file's folder"):
        load_transcript(path)

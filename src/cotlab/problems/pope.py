"""Sets of POPE (Li et al. 2023, arXiv 2305.10355): is there such a thing in the image?

The original files (RUCAIBox/POPE, `output/`: `coco_pope_random.json`, `…_popular.json`, `…_adversarial.json`) hold one
object a line, or a list of them:

    {"question_id": 1, "image": "COCO_1.jpg", "text": "Is there a snowboard in the image?", "label": "yes"}

The three differ in their negatives only, so that questions come up in several: here each is one problem, asked once,
that says where it comes up: `meta["pope"] = {"image": name, "ids": {"random": [1], "popular": [1], …}}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cotlab.chains.image import Image
from cotlab.chains.problem import Problem
from cotlab.errors import DataError, fault_of
from cotlab.problems.files import MAX_BYTES, read_text
from cotlab.problems.pictures import image_beside
from cotlab.problems.rows import MAX_QUESTION

__all__ = ["POPE_SPLITS", "PopeQuestion", "load_pope", "merge_questions", "object_of", "pope_ids"]

POPE_SPLITS = ("random", "popular", "adversarial")
"""Kinds of negatives, from the easiest to the hardest."""
_SPLIT = re.compile(rf"pope.*?_({'|'.join(POPE_SPLITS)})\.jsonl?$")
_OBJECT = re.compile(r"Is there an? (.+?) in the (?:image|picture)\?", re.IGNORECASE)


class _Row(BaseModel):
    """A line of a file; other fields are left out."""

    model_config = ConfigDict(extra="ignore", strict=True)

    question_id: int | str
    image: str = Field(min_length=1)
    text: str = Field(min_length=1, max_length=MAX_QUESTION)
    label: Literal["yes", "no"]


@dataclass(frozen=True, slots=True)
class PopeQuestion:
    """A question of one split."""

    split: str
    id: int | str
    """Within its split."""
    name: str
    """Of the image."""
    image: Image
    text: str
    yes: bool
    """Whether the right answer is yes."""
    meta: dict[str, Any] = field(default_factory=dict)
    """What else is known of it."""


def load_pope(path: Path, images: Path | None = None, n: int | None = None) -> list[Problem]:
    """Problems of one of POPE's files, or of all in a folder.

    Args:
        path: A file, or a folder with `*_pope_{random,popular,adversarial}.json`.
        images: Folder of the images; None: the one that the files lie in.
        n: The first so many questions of each file; None: all.

    Raises:
        DataError: A file or an image is missing or bad, two files contradict each other, or a folder has several sets.
    """
    files = _files_in(path) if path.is_dir() else [path]
    asked: list[PopeQuestion] = []
    for file in files:
        split = found[1] if (found := _SPLIT.search(file.name)) else file.stem
        asked += _questions(file, split, images or file.parent, n)
    return merge_questions(asked)


def _files_in(folder: Path) -> list[Path]:
    """The files of the one set in a folder; coco's and aokvqa's differ in what stands before the split."""
    try:
        found = {file: split for file in sorted(folder.iterdir()) if (split := _SPLIT.search(file.name))}
    except OSError as error:
        raise DataError(f"folder {str(folder)!r} cannot be read ({error.strerror}): check its permissions") from error
    if not found:
        raise DataError(
            f"folder {str(folder)!r} has no *_pope_{{random,popular,adversarial}}.json: give one, or a file"
        )
    sets = dict.fromkeys(f"{file.name[: split.start(1)]}*{file.suffix}" for file, split in found.items())
    if len(sets) > 1:
        listed = ", ".join(sets)
        raise DataError(f"folder {str(folder)!r} holds several sets ({listed}): name a file, or a folder of one set")
    return list(found)


def merge_questions(asked: Iterable[PopeQuestion]) -> list[Problem]:
    """One problem for each question on each image, in the order of the images.

    Raises:
        DataError: The same question on the same image has both answers.
    """
    found: dict[tuple[str, str], list[PopeQuestion]] = {}
    by_image: dict[str, None] = {}
    for one in asked:
        found.setdefault((one.image.id, one.text), []).append(one)
        by_image[one.image.id] = None
    order = {image_id: place for place, image_id in enumerate(by_image)}
    return [_problem(found[key]) for key in sorted(found, key=lambda key: order[key[0]])]


def pope_ids(problem: Problem) -> dict[str, list[int | str]]:
    """Ids of a problem's question by split; empty for a problem of another kind.

    Raises:
        DataError: A file of the user's own has other than lists there.
    """
    pope = problem.meta.get("pope")
    found = pope.get("ids") if isinstance(pope, dict) else None
    if not isinstance(found, dict):
        return {}
    for split, ids in found.items():
        if not isinstance(ids, list | tuple):
            raise DataError(
                f"problem {problem.name or problem.question[:40]!r}: ids of split {split[:40]!r} in meta 'pope' are "
                f"{str(ids)[:40]!r}: give a list"
            )
    return dict(found)


def object_of(question: str) -> str | None:
    """What POPE's template asks for; None for a question in other words."""
    found = _OBJECT.search(question)
    return found[1] if found else None


def _problem(same: Sequence[PopeQuestion]) -> Problem:
    first, ids = same[0], dict[str, list[int | str]]()
    for one in same:
        if one.yes != first.yes:
            raise DataError(
                f"question {one.text[:60]!r} on {one.name} is answered yes and no ({first.split} {first.id}, "
                f"{one.split} {one.id}): mend one of the files"
            )
        ids.setdefault(one.split, []).append(one.id)
    return Problem(
        first.text,
        "Yes" if first.yes else "No",
        "yes-no",
        name=f"{first.name}/{object_of(first.text) or first.id}",
        meta={"pope": {"image": first.name, "ids": ids}, **first.meta},
        images=(first.image,),
    )


def _questions(file: Path, split: str, images: Path, n: int | None) -> list[PopeQuestion]:
    asked: list[PopeQuestion] = []
    bad: list[str] = []
    for place, text in _lines(file):
        if n is not None and len(asked) >= n:
            break
        try:
            row = _Row.model_validate(json.loads(text) if isinstance(text, str) else text)
            image = image_beside(images, row.image)
        except (ValidationError, ValueError, RecursionError) as error:
            bad.append(f"{place} {fault_of(error) if isinstance(error, ValidationError) else error}")
            continue
        asked.append(PopeQuestion(split, row.question_id, row.image, image, row.text, row.label == "yes"))
    if bad:
        more = f" ({len(bad)} in all)" if len(bad) > 1 else ""
        raise DataError(f"POPE file {str(file)!r} {bad[0]}{more}".replace("\n", " "))
    if not asked:
        raise DataError(f"POPE file {str(file)!r} has no questions: expected question_id, image, text and label a line")
    return asked


def _lines(file: Path) -> Iterable[tuple[str, Any]]:
    """Rows with their places: a line each, or the items of one list."""
    text = read_text(file, MAX_BYTES, "POPE file")
    if not text.lstrip().startswith("["):
        return [(f"line {i}", line) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    try:
        return [(f"item {i}", item) for i, item in enumerate(json.loads(text), 1)]
    except (ValueError, RecursionError) as error:
        raise DataError(f"POPE file {str(file)!r} is not JSON ({error}): copy it again") from error

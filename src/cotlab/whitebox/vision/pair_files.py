"""Pictures of a user's own in pairs, one thing removed or changed between the two: what `locate` looks at.

A JSONL file, a row a line; pictures lie beside it:

    {"image": "17.png", "changed": "17-cat.png", "question": "Is there a dog in the image?", "answer": "no"}
    {"image": "18.png", "changed": "18-bare.png", "question": "Is there a dog in the image?", "answer": "yes"}

| field | is |
|---|---|
| `answer` no | the error: neither picture shows what is asked for; `image` has what sets it off, `changed` has not |
| `answer` yes | the real thing: `image` shows what is asked for, `changed` does not |
| `case` | rows of one case are one photograph: at most one of either answer; each row is its own by default. Rows that share a picture are of one photograph as well, which intervals draw as a whole |
| `region` | what is asked for, or sets it off: [left, top, right, bottom] in pixels, the name of a mask, or a list of these; by default where the two pictures differ |
| `others` | what else there is, likewise: a readout then learns to tell the thing from these, not from bare background |
| `teaches` | true: the row fits the readout and is not judged; without `changed` if `region` is there. If no row says so, every other photograph with answer yes does. What teaches is not judged, in no row |

A readout is of one question, and takes 20 pictures; else nothing is read and erased, and the reason is told.
"""  # noqa: E501 - rows of a table

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cotlab.chains.image import Image
from cotlab.chains.prefix import Prefix
from cotlab.chains.problem import Problem
from cotlab.errors import DataError, fault_of
from cotlab.problems.files import MAX_BYTES, read_text
from cotlab.problems.pictures import image_beside
from cotlab.problems.rows import MAX_QUESTION
from cotlab.whitebox.vision.asking import Asking
from cotlab.whitebox.vision.cases import Case, Version
from cotlab.whitebox.vision.places import Region
from cotlab.whitebox.vision.readout import FEWEST, Taught
from cotlab.whitebox.vision.study import Material

__all__ = ["FEWEST_CASES", "read_pairs", "write_pairs"]

FEWEST_CASES = 5
"""Cases with an error to look at, and for a readout of the real thing."""
MAX_REGIONS = 64
"""Most regions in a list."""
MAX_HELD = 1 << 31
"""Most pixels of regions that are held, a byte each."""
Where = str | list[int] | list[str | list[int]]


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    image: str = Field(min_length=1)
    changed: str | None = None
    question: str = Field(min_length=1, max_length=MAX_QUESTION)
    answer: Literal["yes", "no"]
    case: str | None = Field(default=None, min_length=1, max_length=200)
    region: Where | None = None
    others: Where | None = None
    teaches: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    case: str
    question: str
    has: bool
    image: Image
    changed: Image | None
    on: tuple[Region, ...]
    near: tuple[Region, ...]
    teaches: bool


def read_pairs(path: Path, asking: Asking) -> Material:
    """Read a file of pairs.

    Args:
        path: The file.
        asking: The model; gives the prompts.

    Raises:
        DataError: The file, a row or a picture is bad, or there are too few cases.
    """
    pairs = list(_pairs(path))
    photographs = _photographs(pairs)
    teaching, judged = _dealt(pairs, photographs, path)
    cases = _cases(asking, judged, photographs, path)
    n = sum("primed" in case.prefixes for case in cases)
    if n < FEWEST_CASES:
        raise DataError(f"pair file {str(path)!r} has {n} cases with answer no, at least {FEWEST_CASES} are needed")
    taught = [its for one in teaching for its in _taught(asking, one, photographs[one.case])]
    questions = list(dict.fromkeys(one.question for one in pairs))
    asked = questions[0] + (f" (and {len(questions) - 1} more questions)" if len(questions) > 1 else "")
    reason = _no_readout(questions, taught, cases)
    return Material(path.name, asked, tuple(cases), () if reason else tuple(taught), reason)


def _photographs(pairs: Sequence[_Pair]) -> dict[str, str]:
    """The first case of the photograph of each case: those that share a picture are of one."""
    above: dict[str, str] = {}

    def top(key: str) -> str:
        while above.setdefault(key, key) != key:
            above[key] = key = above[above[key]]
        return key

    for one in pairs:
        for image in filter(None, (one.image, one.changed)):
            above[top(f"picture {image.id}")] = top(f"case {one.case}")
    first: dict[str, str] = {}
    return {one.case: first.setdefault(top(f"case {one.case}"), one.case) for one in pairs}


def _dealt(pairs: Sequence[_Pair], photographs: Mapping[str, str], path: Path) -> tuple[list[_Pair], list[_Pair]]:
    """Rows that teach, photograph by photograph, and those that are judged; none of a photograph is both."""
    if any(one.teaches for one in pairs):
        teaching, judged = [one for one in pairs if one.teaches], [one for one in pairs if not one.teaches]
        both = {photographs[one.case] for one in teaching} & {photographs[one.case] for one in judged}
        for one in judged:
            if photographs[one.case] in both:
                raise DataError(f"pair file {str(path)!r}: case {one.case[:60]!r} is judged, and a picture of it or "
                                "its case teaches: leave it out of either")  # fmt: skip
    else:
        real = list(dict.fromkeys(photographs[one.case] for one in pairs if one.has))
        learnt = set(real[1::2])
        teaching = [one for one in pairs if one.has and photographs[one.case] in learnt]
        judged = [one for one in pairs if photographs[one.case] not in learnt]
    order = {name: place for place, name in enumerate(dict.fromkeys(photographs[one.case] for one in teaching))}
    return sorted(teaching, key=lambda one: order[photographs[one.case]]), judged


def write_pairs(folder: Path, material: Material) -> Path:
    """Write what is looked at as a file of pairs, with its pictures and masks: an example to begin from.

    Raises:
        DataError: The folder is not empty, or cannot be written.
    """
    try:
        if folder.exists() and any(folder.iterdir()):
            raise DataError(f"folder {str(folder)!r} is not empty: name a new one")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "pairs.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in _rows(folder, material)))
    except OSError as error:
        raise DataError(f"folder {str(folder)!r} cannot be written ({error.strerror}): name another") from error
    return path


def _rows(folder: Path, material: Material) -> Iterator[dict[str, Any]]:
    """Rows of a file, their pictures written on the way."""
    for case in material.cases:
        images = {version: _shown(folder, prefix.images[0]) for version, prefix in case.prefixes.items()}
        both = {"question": material.asked, "case": case.id, "region": _masked(folder, [case.region])}
        answers: tuple[tuple[Version, str], ...] = (("primed", "no"), ("there", "yes"))
        for version, answer in answers:
            if version in images and "control" in images:
                yield {"image": images[version], "changed": images["control"], "answer": answer, **both}
    for one in material.taught:
        yield {
            "image": _shown(folder, one.prefix.images[0]), "question": material.asked, "case": f"teaches {one.id}",
            "answer": "yes" if one.has else "no", "region": _masked(folder, one.on),
            "others": _masked(folder, one.near), "teaches": True,
        }  # fmt: skip


def _shown(folder: Path, image: Image) -> str:
    (folder / image.file_name).write_bytes(image.data)
    return image.file_name


def _masked(folder: Path, regions: Sequence[Region]) -> list[str]:
    from PIL import Image as pil

    return [_shown(folder, Image.of(pil.fromarray(region.astype(np.uint8) * 255))) for region in regions]


def _pairs(path: Path) -> Iterator[_Pair]:
    found, held = False, 0
    for number, line in enumerate(read_text(path, MAX_BYTES, "pair file").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = _Row.model_validate(json.loads(line))
            pair = _pair(row, path.parent, row.case or f"line {number}")
        except (ValidationError, ValueError, RecursionError) as error:
            told = fault_of(error) if isinstance(error, ValidationError) else str(error)
            raise DataError(f"pair file {str(path)!r} line {number} {told}".replace("\n", " ")) from error
        found, held = True, held + sum(region.size for region in (*pair.on, *pair.near))
        if held > MAX_HELD:
            raise DataError(f"pair file {str(path)!r} line {number}: regions hold more than {MAX_HELD} pixels so far: "
                            "make pictures smaller, or give fewer rows")  # fmt: skip
        yield pair
    if not found:
        raise DataError(f"pair file {str(path)!r} has no rows: give image, changed, question and answer a line")


def _pair(row: _Row, folder: Path, case: str) -> _Pair:
    image, has = image_beside(folder, row.image), row.answer == "yes"
    changed = None if row.changed is None else image_beside(folder, row.changed)
    if changed is None and not row.teaches:
        raise ValueError("changed: is missing: name the picture without what is asked for, or sets it off")
    if changed is not None and (changed.width, changed.height) != (image.width, image.height):
        raise ValueError(
            f"changed: {row.changed!r} has {changed.width} × {changed.height} pixels and {row.image!r} has "
            f"{image.width} × {image.height}: make them alike"
        )
    given = None if row.region is None else _regions(row.region, folder, image)
    apart: tuple[Region, ...] = () if changed is None else (_difference(image, changed),)
    if not all(one.any() for one in apart):
        raise ValueError(f"changed: {row.changed!r} shows the same pixels as {row.image!r}")
    on = apart if given is None else given
    if not on and (has or not row.teaches):
        raise ValueError("region: is missing: say where what is asked for is, or give changed")
    near = () if row.others is None else _regions(row.others, folder, image)
    return _Pair(case, row.question, has, image, changed, on, near, row.teaches)


def _regions(given: Where, folder: Path, image: Image) -> tuple[Region, ...]:
    if isinstance(given, str) or (given and all(isinstance(side, int) for side in given)):
        return (_region(given, folder, image),)  # type: ignore[arg-type]
    if len(given) > MAX_REGIONS:
        raise ValueError(f"region: {len(given)} in a list, the limit is {MAX_REGIONS}: put them in one mask")
    return tuple(_region(one, folder, image) for one in given)  # type: ignore[arg-type]


def _region(given: str | list[int], folder: Path, image: Image) -> Region:
    region = np.zeros((image.height, image.width), dtype=bool)
    if isinstance(given, str):
        mask = image_beside(folder, given)
        if (mask.width, mask.height) != (image.width, image.height):
            raise ValueError(f"region: mask {given!r} has {mask.width} × {mask.height} pixels, its image "
                             f"{image.width} × {image.height}")  # fmt: skip
        region = np.asarray(mask.open().convert("L")) > 127
        if not region.any():
            raise ValueError(f"region: mask {given!r} is black all over: make what lies in the region white")
        return region
    if len(given) != 4:
        raise ValueError(f"region: {given} is no [left, top, right, bottom]")
    left, top, right, bottom = given
    if not (0 <= left < right <= image.width and 0 <= top < bottom <= image.height):
        raise ValueError(f"region: {given} is empty or leaves its image of {image.width} × {image.height}")
    region[top:bottom, left:right] = True
    return region


def _difference(first: Image, second: Image) -> Region:
    found: Region = (np.asarray(first.open()) != np.asarray(second.open())).any(-1)
    return found


def _cases(asking: Asking, pairs: Sequence[_Pair], photographs: Mapping[str, str], path: Path) -> list[Case]:
    by_case: dict[str, list[_Pair]] = {}
    for one in pairs:
        by_case.setdefault(one.case, []).append(one)
    found = []
    for name, its in by_case.items():
        prefixes: dict[Version, Prefix] = {}
        region: Region | None = None
        for one in sorted(its, key=lambda pair: pair.has):  # the error first: its picture without is the control
            version: Version = "there" if one.has else "primed"
            if version in prefixes:
                raise DataError(f"pair file {str(path)!r}: case {name[:60]!r} has two rows with answer "
                                f"{'yes' if one.has else 'no'}: give each its own case")  # fmt: skip
            assert one.changed is not None
            prefixes[version] = _prefix(asking, one.question, one.image)
            prefixes.setdefault("control", _prefix(asking, one.question, one.changed))
            region = _union(one.on) if region is None else region
        assert region is not None
        found.append(Case(photographs[name], prefixes, region))
    return found


def _taught(asking: Asking, one: _Pair, name: str) -> list[Taught]:
    """The picture, and the changed one, in which what is there in its place is something else."""
    found = [Taught(name, _prefix(asking, one.question, one.image), one.has, one.on if one.has else (), one.near)]
    if one.has and one.changed is not None:
        near = (*one.near, *one.on)
        found.append(Taught(name, _prefix(asking, one.question, one.changed), False, (), near))
    return found


def _prefix(asking: Asking, question: str, image: Image) -> Prefix:
    return asking.prefix(Problem(question, images=(image,)))


def _union(regions: Sequence[Region]) -> Region:
    found: Region = np.logical_or.reduce(regions)
    return found


def _no_readout(questions: Sequence[str], taught: Sequence[Taught], cases: Sequence[Case]) -> str | None:
    if len(questions) > 1:
        return f"the file asks {len(questions)} different questions, and a readout is of one"
    if len(taught) < FEWEST:
        return f"{len(taught)} pictures teach it, at least {FEWEST} are needed"
    n = sum("there" in case.prefixes for case in cases)
    if n < FEWEST_CASES:
        return f"{n} cases that are judged show what is asked for (answer yes), at least {FEWEST_CASES} are needed"
    return None

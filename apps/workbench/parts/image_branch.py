"""The form of a branch under other images: which, or which region is masked, with a look at it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from cotlab.chains.image import Image
from cotlab.errors import DataError
from cotlab.reports.text import one_line
from cotlab.runs import Run
from parts.chain_images import chosen_box
from parts.chosen import Chosen
from parts.html import fault, place_holder
from parts.library import stamp
from parts.pictures import Part, Picture, show_pictures

__all__ = ["ask_images"]

WAYS = {"masked": "a region masked", "other": "another image of the run", "none": "no image"}


def ask_images(chosen: Chosen) -> dict[str, Any] | None:
    """What is to be shown, as `ImageConfig` takes it; None where that cannot be said."""
    images, key = chosen.studied.chain.images, chosen.studied.chain.id
    if not images:
        place_holder("The question of this chain shows no image: choose another way to branch.")
        return None
    left, right = st.columns([1, 1])
    shows = left.selectbox("Show", list(WAYS), format_func=WAYS.get, key=f"shows-{key}")
    if shows == "none":
        return {"shows": shows}
    patch = chosen_box(key)
    number = 0
    if len(images) > 1:
        first = patch[0] + 1 if patch else 1
        number = int(right.number_input("Image", 1, len(images), first, key=f"image-{key}")) - 1
    if shows == "other":
        return _other(chosen, images[number], number)
    region = _region(images[number], _first(chosen, number), f"{key}-{number}")
    return {"shows": shows, "number": number, "region": region}


def _first(chosen: Chosen, number: int) -> tuple[int, int, int, int]:
    """The patch that was chosen, or what the problem asks for, or the middle."""
    patch, image = chosen_box(chosen.studied.chain.id), chosen.studied.chain.images[number]
    if patch and patch[0] == number:
        return patch[1]
    known = chosen.studied.problem.meta.get("regions")
    box = known[0] if isinstance(known, list | tuple) and known else None
    if isinstance(box, list | tuple) and len(box) == 4 and all(type(side) is int for side in box):
        left, top, right, bottom = box
        if 0 <= left < right <= image.width and 0 <= top < bottom <= image.height:
            return left, top, right, bottom
    third = (image.width // 3, image.height // 3)
    return third[0], third[1], max(third[0] + 1, 2 * third[0]), max(third[1] + 1, 2 * third[1])


def _region(image: Image, first: tuple[int, int, int, int], key: str) -> tuple[int, int, int, int]:
    from cotlab.problems.image_edits import mask_boxes

    columns = st.columns(4)
    sides = [
        int(column.number_input(name, 0, most, value, key=f"{name}-{key}-{first}"))
        for column, name, most, value in zip(
            columns, ("Left", "Top", "Right", "Bottom"), (image.width, image.height) * 2, first, strict=True
        )
    ]
    left, top, right, bottom = sides
    pictures = [Picture(image, "what is masked", (Part(sides, "", framed=True),))]
    if left < right and top < bottom:
        try:
            masked = mask_boxes(image, [(left, top, right, bottom)])
            same = masked.id == image.id
            pictures.append(Picture(masked, "the same: nothing to mask here" if same else "what is shown then"))
        except DataError as error:
            fault(error)
    show_pictures(pictures, f"mask-{key}", side=180)
    return left, top, right, bottom


def _other(chosen: Chosen, own: Image, number: int) -> dict[str, Any] | None:
    named = {one: told for one, told in _images(chosen.path, stamp(chosen.path)).items() if one != own.id}
    if not named:
        place_holder("The run has no other image: mask a region, or show none.")
        return None
    image_id = st.selectbox(
        "Image of", list(named), format_func=lambda one: one_line(named[one], 100), key=f"other-{own.id}"
    )
    with Run.open(chosen.path) as run:
        show_pictures([Picture(run.image(image_id), "what is shown then")], f"other-{image_id}", side=180)
    return {"shows": "other", "number": number, "image": image_id}


@st.cache_data(max_entries=20, show_spinner=False)
def _images(path: Path, at: tuple[int, ...]) -> dict[str, str]:
    """Images of a run: id and the first problem that shows it."""
    with Run.open(path) as run:
        found = {
            image.id: f"{problem.name} · {problem.question}"
            for problem in reversed(run.problems().values())
            for image in problem.images
        }
        return {one: found.get(one, f"an edited image, {one[:8]}") for one in run.image_ids()}

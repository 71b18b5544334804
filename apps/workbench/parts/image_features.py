"""Features on the images of a run: top images with heat maps, and what their regions lie on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import streamlit as st
from pydantic import BaseModel, ConfigDict, Field, model_validator

from cotlab.errors import RunError
from cotlab.reports.text import one_line
from cotlab.runs import Run
from cotlab.stats import Estimate
from parts.feature_documents import Card, read_checked
from parts.html import estimate, filled_columns, line, numbers, place_holder, say
from parts.pictures import Part, Picture, finite, show_pictures

__all__ = ["ImageDocument", "image_documents", "read_images", "show_image_features"]

FOLDER = "image-features"
LARGEST = 100_000_000
"""Bytes of a document."""
REGION = 0.25
"""Share of a feature's largest activation, above which a part has a box: its region, as IoU counts it."""
_FROZEN = ConfigDict(frozen=True)


class Shown(BaseModel):
    """Where a feature is active in an image."""

    model_config = _FROZEN

    image: str
    largest: float
    boxes: list[tuple[float, float, float, float]]
    cells: list[tuple[int, int, int]]
    values: list[float]

    @model_validator(mode="after")
    def _fits(self) -> Shown:
        if not len(self.boxes) == len(self.cells) == len(self.values):
            raise ValueError("an image has other values than boxes")
        return self


class Region(BaseModel):
    """What a feature's regions lie on best."""

    model_config = _FROZEN

    attribute: str
    iou: Estimate
    others: float


class ImageFeature(BaseModel):
    """One feature."""

    model_config = _FROZEN

    feature: int
    rate: float
    n_images: int
    largest: float
    images: list[Shown] = Field(max_length=100)
    region: Region | None = None


class ImageDocument(BaseModel):
    """Features of one autoencoder on the images of one run."""

    model_config = _FROZEN

    format: Literal["cotlab-image-features/1"]
    card: Card
    sae_id: str
    model: str
    d_sae: int
    n_images: int
    n_parts: int
    n_silent: int
    features: list[ImageFeature]


def image_documents(run: Path) -> list[Path]:
    """Documents of a run; links are none."""
    folder = run / FOLDER
    if folder.is_symlink() or not folder.is_dir():
        return []
    return [path for path in sorted(folder.glob("*.json")) if not path.is_symlink()]


def read_images(path: Path) -> ImageDocument:
    """One document. Raises what `read_checked` does."""
    return read_checked(path, ImageDocument, "features of images", LARGEST)


def show_image_features(run: Path) -> None:
    """What the documents of a run say; nothing where there is none.

    Raises:
        DataError: A document is damaged.
    """
    known = image_documents(run)
    if not known:
        return
    st.subheader("On the images of the run", anchor=False)
    names = {path.name: path for path in known}
    name = next(iter(names))
    if len(names) > 1:
        name = st.selectbox("Read with", list(names), format_func=lambda text: read_images(names[text]).card.name)
    found = read_images(names[name])
    told = (
        f"{one_line(found.card.name, 60)} at {found.card.point} of {found.model}: {found.n_parts:,} parts of "
        f"{found.n_images:,} images; {found.n_silent:,} of {found.d_sae:,} features never active on them"
    )
    say(line(told, soft=True))
    if not found.features:
        place_holder("No feature is active at few of the parts: name some above, and read them.")
        return
    st.dataframe(
        filled_columns(_rows(found)),
        hide_index=True,
        height=min(300, 40 + 35 * len(found.features)),
        column_config=_COLUMNS,
    )
    if all(one.region is None for one in found.features):
        say(line("What a feature's regions lie on is told of ten or more images that are synthetic scenes.", soft=True))
    numbers_ = [one.feature for one in found.features]
    number = st.selectbox("Feature on images", numbers_)
    _feature(run, found, found.features[numbers_.index(number)])


_COLUMNS = {"active at": st.column_config.NumberColumn(format="percent", help="share of all parts of the images")}


def _rows(found: ImageDocument) -> list[dict[str, object]]:
    return [
        {
            "feature": one.feature,
            "active at": one.rate,
            "images": one.n_images,
            "largest": round(one.largest, 3),
            **(
                {"lies on": "", "IoU": None, "q": "", "others' IoU": None}
                if one.region is None
                else {
                    "lies on": one_line(one.region.attribute, 40),
                    "IoU": one.region.iou.value,
                    "q": "" if one.region.iou.q is None else f"{one.region.iou.q:.1g}",
                    "others' IoU": one.region.others,
                }
            ),
        }
        for one in found.features
    ]


def _feature(run: Path, found: ImageDocument, one: ImageFeature) -> None:
    """Its top images."""
    rows: dict[str, str | Estimate] = {
        "active at": f"{one.rate:.2%} of the parts, in {one.n_images} of {found.n_images} images",
        "largest": f"{one.largest:.3g}, {found.card.units} units",
    }
    if one.region is not None:
        rows[f"IoU with {one_line(one.region.attribute, 40)}"] = estimate(one.region.iou)
        rows["other features' IoU with it"] = f"{one.region.others:.2f}"
    say(numbers(rows))
    pictures = [_picture(run, shown, one.largest, found.card.units) for shown in one.images]
    if not pictures:
        place_holder("It is active in none of the images that were read.")
        return
    show_pictures(pictures, f"feature-images-{found.sae_id[:12]}-{one.feature}", side=190)
    told = f"Colour: activation, full at {one.largest:.3g}. Boxes: its region, above {REGION:.0%} of that."
    say(line(f"{told} Point at a part for its number.", soft=True))
    if one.region is not None and one.region.attribute == "anything":
        say(line("“anything”: whatever is not background.", soft=True))


def _picture(run: Path, shown: Shown, largest: float, units: str) -> Picture:
    try:
        with Run.open(run) as opened:
            image = opened.image(shown.image)
    except RunError:
        return Picture(None, "this image is not in the run, or damaged")
    several = len({grid for grid, _, _ in shown.cells}) > 1
    parts = []
    for box, (grid, row, column), value in zip(shown.boxes, shown.cells, shown.values, strict=True):
        if not finite(box):
            continue
        where = f"row {row}, column {column}" + (f" of grid {grid}" if several else "")
        share = value / largest if largest > 0 else 0.0
        parts.append(Part(box, f"{value:.3g} {units}: {where}", shade=share, framed=share > REGION))
    return Picture(image, f"largest {shown.largest:.3g}", tuple(parts))

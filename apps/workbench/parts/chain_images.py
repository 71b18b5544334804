"""What a chain's question shows: its images, the patches of their tokens, and other images of edited prefixes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import streamlit as st

from cotlab.chains.image import Image
from cotlab.chains.image_reader import ImageReader, ImageSpan
from cotlab.errors import ModelError, UserError
from cotlab.runs import Run
from parts.chosen import Chosen
from parts.html import fault, line, say
from parts.library import stamp
from parts.pictures import Part, Picture, finite, parse_part, show_pictures

__all__ = ["chosen_box", "images_at", "patches", "show_images", "show_images_at"]

MOST = 10
"""Other views that are shown."""
_HELP = "what each image token stands for: point at a patch, or choose one; reads the model's image processor"


@st.fragment
def show_images(chosen: Chosen) -> None:
    """The images of the chain's question, where it has some; patches on demand."""
    if chosen.studied.chain.images:
        try:
            _show_images(chosen)
        except UserError as error:  # a lost or damaged image
            fault(error)


def _show_images(chosen: Chosen) -> None:
    chain = chosen.studied.chain
    several = len(chain.images) > 1
    left, right = st.columns([3, 1] if several else [1, 3], gap="medium")
    spans: tuple[ImageSpan, ...] = ()
    with right:
        wanted = st.toggle("Patches", key="patch-grid", help=_HELP)
        if wanted:
            try:
                spans = _spans(chosen.path, stamp(chosen.path), chain.id)
            except UserError as error:
                fault(error)
        _other_views(chosen)
    pictures = [
        Picture(image, _caption(image, k, spans), patches(spans[k]) if spans else (), grid=bool(spans))
        for k, image in enumerate(chain.images)
    ]
    with left:
        found = show_pictures(pictures, f"images-{chain.id}", side=280 if spans else 130, across=3 if spans else 6)
    part = parse_part(found, pictures)
    st.session_state["patch"] = None if part is None else (chain.id, part[0], tuple(part[1].box))


def _other_views(chosen: Chosen) -> None:
    """Prompts that edits made of the question's, where they show other images."""
    others = _views(chosen.path, stamp(chosen.path), chosen.studied.chain.id)
    if others:
        with st.expander(f"The question under other views ({len(others)})"):
            pictures = [picture for view in others for picture in _of(*view)][:MOST]
            show_pictures(pictures, f"views-{chosen.studied.chain.id}", side=130)


def chosen_box(chain_id: str) -> tuple[int, tuple[int, int, int, int]] | None:
    """Image and patch that were chosen on the page of the chain, in whole pixels."""
    found = st.session_state.get("patch")
    if not found or found[0] != chain_id:
        return None
    left, top, right, bottom = found[2]
    return found[1], (int(left), int(top), int(-(-right // 1)), int(-(-bottom // 1)))


def _caption(image: Image, number: int, spans: tuple[ImageSpan, ...]) -> str:
    if not spans:
        return f"image {number + 1}, {image.width}×{image.height} pixels"
    span = spans[number]
    grids = ", ".join(f"{rows}×{columns}" for rows, columns in span.layout.grids)
    return f"image {number + 1}: tokens {span.start}–{span.end - 1}, patches {grids}"


def patches(span: ImageSpan) -> tuple[Part, ...]:
    """The parts of an image that its tokens stand for, finer grids last; tokens that stand for none are left out."""
    layout, several = span.layout.tokens, len(span.layout.grids) > 1
    found = []
    for place, (box, cell) in enumerate(zip(layout.boxes.tolist(), layout.cells.tolist(), strict=True)):
        if not finite(box):
            continue
        grid, row, column = cell
        where = f"row {row}, column {column}" + (f" of grid {grid}" if several else "")
        left, top, right, bottom = box
        told = (
            f"token {span.start + place} of the prompt: {where}; pixels {left:.0f}–{right:.0f} across, "
            f"{top:.0f}–{bottom:.0f} down"
        )
        found.append((grid, Part(box, told)))
    return tuple(part for _, part in sorted(found, key=lambda one: one[0]))


@st.cache_resource(max_entries=16, show_spinner="reading how the model sees the image …")
def _spans(path: Path, at: tuple[int, ...], chain_id: str) -> tuple[ImageSpan, ...]:
    """Places and patches of the images' tokens, by the model's own image processor.

    Raises:
        UserError: The model is not on this machine, or is another one than the run was sampled from.
    """
    with Run.open(path) as run:
        chain = next(one for one in run.chains() if one.id == chain_id)
        asked = [study.spec.get("asked") or {} for study in run.studies()]
        model = next((str(one["model"]) for one in reversed(asked) if one.get("model")), run.identity.model)
        wanted = run.identity.tokenizer_id
    spans: tuple[ImageSpan, ...] = _reader(model, wanted).spans(chain.prefix(0))
    return spans


@st.cache_resource(max_entries=4, show_spinner=False)
def _reader(model: str, tokenizer_id: str) -> ImageReader:
    from cotlab.chains.tokens import HFTokenizer
    from cotlab.models import resolve_model

    tokenizer = HFTokenizer.load(resolve_model(model, offline=True).path)
    if tokenizer.images is None or tokenizer.id != tokenizer_id:
        raise ModelError(f"the model {model[:60]!r} here reads images otherwise than when the run was sampled")
    return tokenizer.images


@st.cache_resource(max_entries=16, show_spinner=False)
def _views(path: Path, at: tuple[int, ...], chain_id: str) -> list[tuple[str, tuple[Image, ...]]]:
    """Prompts that edits made of the chain's own and that show other images: what was done, and the images."""
    with Run.open(path) as run:
        chain = next(one for one in run.chains() if one.id == chain_id)
        prompt = chain.prefix(0)
        found = {}
        for edge in run.edges():
            if edge.kind == "edit" and edge.parent_id == prompt.id and edge.child_id not in found:
                images = run.prefix(edge.child_id).images
                if images != chain.images:
                    found[edge.child_id] = (_told(edge.spec), images)
    return list(found.values())


def _told(spec: object) -> str:
    """What an edit did, in words."""
    one = spec[0] if isinstance(spec, list) and spec else spec
    told = (one.get("view") or one.get("shows") or one.get("kind")) if isinstance(one, dict) else None
    return str(told or "edited")


def _of(told: str, images: tuple[Image, ...]) -> list[Picture]:
    """Pictures of a view; where a region was masked it has a frame."""
    frame = _masked(told)
    parts = () if frame is None else (Part(frame, "", framed=True),)
    return [Picture(image, told, parts if k == 0 else ()) for k, image in enumerate(images)] or [Picture(None, told)]


def _masked(told: str) -> tuple[float, ...] | None:
    sides = told.removeprefix("masked ").split(",")
    if told.startswith("masked ") and len(sides) == 4 and all(side.isdecimal() for side in sides):
        return tuple(float(side) for side in sides)
    return None


def images_at(chosen: Chosen, node: str) -> list[Picture]:
    """Images of a changed branch, where they are other than the chain's own."""
    prefix_id = node.partition("/")[0]
    with Run.open(chosen.path) as run:
        images = run.prefix(prefix_id).images
        if images == chosen.studied.chain.images:
            return []
        told = next(
            (_told(edge.spec) for edge in run.edges() if edge.child_id == prefix_id and edge.kind == "edit"), ""
        )
    return _of(told, images)


def show_images_at(chosen: Chosen, nodes: Mapping[str, str]) -> None:
    """The images of changed branches, where they are other than the chain's own; each with what it is called."""
    try:
        found = [
            replace(picture, told=f"{name}: {picture.told}" if name else picture.told)
            for node, name in nodes.items()
            for picture in images_at(chosen, node)
        ]
    except UserError as error:
        fault(error)
        return
    if found:
        say(line("Here the question shows:", soft=True))
        show_pictures(found, f"images-at-{'-'.join(node[:16] for node in nodes)}", side=180)

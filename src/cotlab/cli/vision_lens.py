"""`cotlab vision lens`: what each layer would say at each part of an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cotlab.cli import options
from cotlab.cli.vision import vision
from cotlab.cli.vision_opening import Html, VisionModel

if TYPE_CHECKING:
    from cotlab.whitebox.vision import Asking, ImageLens, NamingStudy

__all__ = ["lens"]


@vision.command()
def lens(
    model: VisionModel = "tiny-vlm",
    image: Annotated[Path | None, typer.Option(help="Look at this image; default: scenes with exact masks.")] = None,
    question: Annotated[str, typer.Option(help="What is asked about the image.")] = "Describe the image.",
    words: Annotated[str, typer.Option(help="Words whose probabilities are wanted, with commas.")] = "",
    scenes: Annotated[int, typer.Option(help="Scenes that the lens is held against.", min=5)] = 60,
    seed: options.Seed = 0,
    html: Html = None,
    json: options.Json = False,
) -> None:
    """What each layer would say at each part of an image. On scenes: whether it names objects where they are."""
    from cotlab.cli.output import print_json
    from cotlab.cli.vision_opening import opened, progress_bar

    with progress_bar(json) as bar:
        asking = opened(model)
        if image is None:
            from cotlab.tiny.scenes import draw_scenes
            from cotlab.whitebox.vision import naming_study

            bar.phase("reading scenes", scenes, "scenes")
            drawn = draw_scenes(scenes, seed, split="heldout")
            study = naming_study(asking, drawn, seed=seed, progress=lambda done, total: bar.advance(1, 0))
        else:
            found = _read(asking, image, question, words)
    if image is not None:
        _show(asking, found, html, json)
    elif json:
        print_json({"model": model, **study.to_json()})
    else:
        _show_study(study, model)
    if image is None and html is not None:
        _write_study(study, model, html)


def _read(asking: Asking, path: Path, question: str, words: str) -> ImageLens:
    from cotlab.chains.image import Image
    from cotlab.chains.problem import Problem
    from cotlab.whitebox.vision import read_image_lens

    problem = Problem(question, images=(Image.load(path),))
    wanted = [word.strip() for word in words.split(",") if word.strip()]
    return read_image_lens(asking.inside, asking.template.prompt(problem, asking.inside.tokenizer), wanted)


def _show(asking: Asking, found: ImageLens, html: Path | None, json: bool) -> None:
    from cotlab.cli.output import out, print_json, print_table

    say = asking.inside.tokenizer.decode
    if html is not None:
        _write(asking, found, html)
    if json:
        print_json({"model": asking.inside.name, **found.to_json(asking.inside.tokenizer)})
        return
    rows, columns = found.span.layout.grids[-1]
    for layer, point in enumerate(found.points):
        table = [[""] * columns for _ in range(rows)]
        last = len(found.span.layout.grids) - 1
        for place, (grid, row, column) in enumerate(found.span.layout.tokens.cells.tolist()):
            if grid == last:
                table[row][column] = repr(say([int(found.top[layer, place, 0])]))[1:-1][:12]
        # A title is as narrow as its table, which may be of single letters.
        out().print(f"{point}: likeliest token at each part", style="bold", markup=False)
        print_table("", [str(i) for i in range(columns)], table)
        for word, name in enumerate(found.words):
            best = int(found.word_logprob[layer, :, word].argmax())
            likely = float(found.word_logprob[layer, best, word].exp())
            out().print(f"{name!r} is likeliest at token {best}: {likely:.3f}", markup=False)


def _write(asking: Asking, found: ImageLens, path: Path) -> None:
    from cotlab.reports.image_page import ImageSection, Shown, write_image_page

    say, span, sections = asking.inside.tokenizer.decode, found.span, []
    for layer, point in enumerate(found.points):
        labels = [
            ", ".join(f"{say([token])!r} {p:.2f}" for token, p in zip(ids, probs, strict=True))
            for ids, probs in zip(found.top[layer].tolist(), found.top_logprob[layer].exp().tolist(), strict=True)
        ]
        pictures = [Shown(span.image, "likeliest token", span.layout.tokens.boxes, [0.0] * len(labels), labels)]
        pictures += [
            Shown(span.image, f"p({name})", span.layout.tokens.boxes, found.word_logprob[layer, :, word].exp().numpy())
            for word, name in enumerate(found.words)
        ]
        sections.append(ImageSection(str(point), shown=tuple(pictures)))
    facts = [("model", asking.inside.name), ("image", span.image.id), ("image tokens", str(span.end - span.start))]
    write_image_page(path, "What each layer would say at each part of an image", facts, sections)


def _rows(study: NamingStudy) -> list[list[str]]:
    from cotlab.cli.vision_opening import shown

    columns = zip(study.points, study.place, study.name, study.first, strict=True)
    return [[str(point), shown(place), shown(name), shown(first)] for point, place, name, first in columns]


_COLUMNS = ["site", "place (AUC)", "name (AUC over absent shapes)", "named first (share)"]


def _title(study: NamingStudy, model: str) -> str:
    return f"Does the lens of {model} name objects where they are? {study.n_objects} objects of {study.n_scenes} scenes"


def _show_study(study: NamingStudy, model: str) -> None:
    from cotlab.cli.output import print_table

    print_table(_title(study, model), _COLUMNS, _rows(study))


def _write_study(study: NamingStudy, model: str, path: Path) -> None:
    from cotlab.reports.image_page import ImageSection, write_image_page

    section = ImageSection("By layer", columns=tuple(_COLUMNS), rows=tuple(map(tuple, _rows(study))))
    write_image_page(path, _title(study, model), [("model", model)], [section])

"""Pages with images: the image itself, parts where they lie, and nothing of a model's text as markup."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
from PIL import Image as pil
from PIL.PngImagePlugin import PngInfo

from cotlab.chains.image import Image
from cotlab.reports.image_page import ImageSection, Shown, draw_image, write_image_page
from cotlab.tiny.scenes import draw_scenes, png

HREF = re.compile(r'href="data:image/png;base64,([^"]*)"')
BAD = "</title><script>alert(1)</script>\"'&"


def address(drawn):
    return HREF.search(drawn)[1]


def pixels(encoded):
    return np.asarray(Image(base64.b64decode(encoded)).open())


def test_parts_lie_where_they_are_and_are_as_dark_as_they_are_large():
    image = Image(png(draw_scenes(1, 0)[0]))
    boxes = np.array([[0, 0, 8, 8], [8, 16, 24, 48], [np.nan] * 4])
    drawn = str(draw_image(Shown(image, "told", boxes, [1.0, 4.0, 2.0])))
    assert np.array_equal(pixels(address(drawn)), np.asarray(image.open()))
    rects = re.findall(r'<rect x="(.*?)" y="(.*?)" width="(.*?)" height="(.*?)" .*?fill-opacity="(.*?)"', drawn)
    assert rects == [("0", "0", "8", "8", "0.19"), ("8", "16", "16", "32", "0.75")]


def test_what_models_say_is_escaped(tmp_path):
    image = Image(png(draw_scenes(1, 0)[0]))
    shown = Shown(image, BAD, [[0, 0, 8, 8]], [1.0], [BAD])
    section = ImageSection(BAD, (BAD,), (shown,), (BAD,), ((BAD,),))
    page = write_image_page(tmp_path / "deep" / "page.html", BAD, [(BAD, BAD)], [section]).read_text()
    assert "<script" not in page and page.count("&lt;script&gt;") >= 9
    assert not re.search(r'(src|href)="(?!data:|#picture-)', page)


def test_a_page_holds_the_pixels_of_each_image_once_and_nothing_else_of_its_file(tmp_path):
    noted = PngInfo()
    noted.add_text("Comment", "where it was taken")
    written, scene = io.BytesIO(), draw_scenes(1, 0)[0]
    pil.open(io.BytesIO(png(scene))).save(written, format="PNG", pnginfo=noted)
    image, other = Image(written.getvalue()), Image(png(draw_scenes(2, 0)[1]))
    assert b"where it was taken" in image.data
    sections = [ImageSection(str(i), shown=(Shown(image, "one"), Shown(other, "two"))) for i in range(3)]
    page = write_image_page(tmp_path / "page.html", "told", [], sections).read_text()
    kept = HREF.findall(page)
    assert len(kept) == 2 and page.count('<use href="#picture-0"') == page.count('<use href="#picture-1"') == 3
    assert b"where it was taken" not in base64.b64decode(kept[0])
    assert np.array_equal(pixels(kept[0]), np.asarray(image.open()))

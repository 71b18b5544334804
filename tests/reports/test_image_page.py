"""Pages with images: the image itself, parts where they lie, and nothing of a model's text as markup."""

from __future__ import annotations

import re

import numpy as np

from cotlab.chains.image import Image
from cotlab.reports.image_page import ImageSection, Shown, draw_image, write_image_page
from cotlab.tiny.scenes import draw_scenes, png

BAD = "</title><script>alert(1)</script>\"'&"


def test_parts_lie_where_they_are_and_are_as_dark_as_they_are_large():
    image = Image(png(draw_scenes(1, 0)[0]))
    boxes = np.array([[0, 0, 8, 8], [8, 16, 24, 48], [np.nan] * 4])
    drawn = str(draw_image(Shown(image, "told", boxes, [1.0, 4.0, 2.0])))
    assert image.data_uri() in drawn
    rects = re.findall(r'<rect x="(.*?)" y="(.*?)" width="(.*?)" height="(.*?)" .*?fill-opacity="(.*?)"', drawn)
    assert rects == [("0", "0", "8", "8", "0.19"), ("8", "16", "16", "32", "0.75")]


def test_what_models_say_is_escaped(tmp_path):
    image = Image(png(draw_scenes(1, 0)[0]))
    shown = Shown(image, BAD, [[0, 0, 8, 8]], [1.0], [BAD])
    section = ImageSection(BAD, (BAD,), (shown,), (BAD,), ((BAD,),))
    page = write_image_page(tmp_path / "deep" / "page.html", BAD, [(BAD, BAD)], [section]).read_text()
    assert "<script" not in page and page.count("&lt;script&gt;") >= 9
    assert not re.search(r'(src|href)="(?!data:)', page)

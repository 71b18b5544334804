"""The page holds what the study holds, and nothing that a model wrote becomes markup."""

import re
from html.parser import HTMLParser

import pytest

from cotlab.errors import UserError
from cotlab.reports import render_html, write_report

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Elements, attributes and text of a page; strict about what is closed."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements, self.attributes, self.open, self.text = [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)

    @property
    def visible(self):
        return "".join(self.text)


HOSTILE = [
    "<script>alert('planted-1')</script>",
    "</style><img src=x onerror=\"alert('planted-2')\">",
    "' onmouseover='alert(1)' \" autofocus onfocus=\"alert('planted-3')\"",
    "]]><!--</svg></title></textarea><iframe src='https://planted-4.example'></iframe>",
    "{{ 7 * 7 }}{% raw %}{{ config }}planted-5",
    "\u202eplanted-6 reversed\u202c שלום \u2066",
    "nul \x00 bell \x07 escape \x1b[31m planted-7 \ud800",
    "&lt;b&gt; &amp; planted-8",
]


def test_every_step_and_number_is_on_the_page(report):
    page = Page(render_html(report))
    assert page.open == []
    for chain in report.chains:
        for step in chain.steps:
            assert " ".join(step.text.split()) in " ".join(page.visible.split())
    assert "0.61 [0.50, 0.72]" in " ".join(page.visible.split())
    assert "+0.32" in page.visible and "−0.11" in page.visible
    assert "3 complete blocks, 10 are needed" in page.visible
    assert report.command in page.visible
    assert "uncertainty management" in page.visible
    assert "14% of the rollouts from the prompt were truncated" in page.visible


def test_ids_are_unique_and_every_link_arrives(report):
    attributes = Page(render_html(report)).attributes
    ids = [value for _, name, value in attributes if name == "id"]
    assert len(ids) == len(set(ids))
    targets = [value for _, name, value in attributes if name == "href"] + [
        f"#{value}" for _, name, value in attributes if name == "data-step"
    ]
    assert targets and {target.removeprefix("#") for target in targets} <= set(ids)


def test_nothing_is_fetched(report):
    html = render_html(report)
    assert not re.search(r"https?://|@import|url\(", html)
    attributes = Page(html).attributes
    assert not [name for _, name, _ in attributes if name in ("src", "srcset", "action", "data")]
    policy = next(value for tag, name, value in attributes if tag == "meta" and "default-src" in (value or ""))
    assert policy.startswith("default-src 'none'")


def test_model_text_never_becomes_an_element(report_of):
    plain = Page(render_html(report_of([("plain", "self_checking", False)] * len(HOSTILE))))
    hostile = Page(render_html(report_of([(text, "self_checking", False) for text in HOSTILE])))
    assert hostile.elements == plain.elements
    assert [(tag, name) for tag, name, _ in hostile.attributes] == [(tag, name) for tag, name, _ in plain.attributes]
    for number in range(1, 9):
        assert f"planted-{number}" in hostile.visible
    assert HOSTILE[0] in hostile.visible
    assert "{{ 7 * 7 }}" in hostile.visible
    assert HOSTILE[7] in hostile.visible


@pytest.mark.parametrize("field", ["title", "model", "engine", "run", "command", "created"])
def test_no_field_becomes_an_element(report, field):
    from dataclasses import replace

    plain, hostile = Page(render_html(report)), Page(render_html(replace(report, **{field: HOSTILE[1]})))
    assert hostile.elements == plain.elements
    assert "planted-2" in hostile.visible


def test_no_field_of_a_chain_becomes_an_element(report):
    from dataclasses import replace

    chain = report.chains[0]
    bad = replace(
        chain, name=HOSTILE[1], question=HOSTILE[3], gold_answer=HOSTILE[0], answer=HOSTILE[2], notes=(HOSTILE[0],)
    )
    plain, hostile = (Page(render_html(replace(report, chains=(c,)))) for c in (chain, bad))
    assert hostile.elements == plain.elements


def test_characters_that_html_refuses_are_made_visible(report_of, tmp_path):
    path = write_report(report_of([(text, None, None) for text in HOSTILE]), tmp_path / "report.html")
    raw = path.read_bytes()
    text = raw.decode("utf-8")
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert "nul ␀ bell ␇ escape ␛[31m" in text
    assert "שלום" in text


def test_a_very_long_step_is_cut_and_said_so(report_of):
    html = render_html(report_of([("x" * 100_000, None, None)]))
    assert "(96,000 more characters)" in html
    assert len(html) < 250_000


@pytest.mark.parametrize("n_steps", [0, 1, 200])
def test_chains_of_any_length(report_of, n_steps):
    page = Page(render_html(report_of([("One step.", None, None)] * n_steps)))
    assert page.elements.count("article") == n_steps
    assert ("svg" in page.elements) == bool(n_steps)
    assert not [value for _, _, value in page.attributes if "nan" in (value or "").split()]


def test_a_report_without_chains(report):
    from dataclasses import replace

    assert "No chain was resampled." in render_html(replace(report, chains=()))


def test_the_file_replaces_an_older_one_and_leaves_nothing_else(report, tmp_path):
    path = tmp_path / "deep" / "report.html"
    assert write_report(report, path) == path
    path.write_text("old")
    write_report(report, path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert list(path.parent.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_one_line(report, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written") as caught:
        write_report(report, tmp_path / "file" / "report.html")
    assert "\n" not in str(caught.value) and "report.html" in str(caught.value)

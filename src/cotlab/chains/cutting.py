r"""Cutters: a response into steps, on token boundaries.

A cutter reads the text of a response and says where steps start; each cut is then moved to a token boundary: a token
that a cut falls into goes to the step that it ENDS (".\n\nSo" as one token would end a step), and tokens that show
nothing yet (the first bytes of a character) go to the step that their character starts. So the token spans of the steps
join to the response exactly, whatever the tokenizer.

Think tags are steps of their own, with the line breaks behind them: one can resample right after the last thought, and
right after `</think>`; thoughts and answer are never in one step.

Cutters are versioned: a change of any cut makes a new version, since stored runs name the cutter that made their steps.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from cotlab.chains.regions import find_regions
from cotlab.chains.sentences import after_break, sentence_cuts
from cotlab.chains.step import Step
from cotlab.chains.think import KNOWN_TAGS
from cotlab.chains.tokens import Tokenizer
from cotlab.errors import UserError

__all__ = ["CUTTERS", "Cutter", "get_cutter"]

_TAG = re.compile("|".join(re.escape(text) for tags in KNOWN_TAGS for text in (tags.open, tags.close)))
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n\s*")
_SHORTEST_PUBLISHED = 10


@dataclass(frozen=True, slots=True)
class Cutter:
    """A versioned way of cutting a response into steps."""

    id: str
    """Name and version: `sentences/1`."""
    rule: Callable[[str], list[int]] | None
    """Starts of all steps but the first of a text without think tags, ascending; None: every token is a step."""

    def cut(self, token_ids: Sequence[int], tokenizer: Tokenizer) -> tuple[Step, ...]:
        """Steps of a response; no tokens, no steps."""
        return self.cut_pieces(tokenizer.pieces(token_ids))

    def cut_pieces(self, pieces: Sequence[str]) -> tuple[Step, ...]:
        """Steps of a response that is given as the text that each of its tokens adds."""
        if self.rule is None:
            return tuple(Step(i, i, i + 1, piece) for i, piece in enumerate(pieces))
        text = "".join(pieces)
        ends = list(accumulate(len(piece) for piece in pieces))
        bounds = [0]
        for cut in self.cut_text(text)[:-1]:
            token = bisect_left(ends, cut)
            if ends[token] < len(text) and token + 1 > bounds[-1]:
                bounds.append(token + 1)
        if pieces:
            bounds.append(len(pieces))
        spans = zip(bounds, bounds[1:], strict=False)
        return tuple(Step(i, start, end, "".join(pieces[start:end])) for i, (start, end) in enumerate(spans))

    def cut_text(self, text: str) -> tuple[int, ...]:
        """Ends of the steps in characters, the last of them `len(text)`; `""` has none.

        Raises:
            ValueError: This cutter cuts tokens, not text.
        """
        if self.rule is None:
            raise ValueError(f"cutter {self.id} cuts tokens; text alone has none")
        cuts: list[int] = []
        for start, end in _segments(text):
            cuts.extend(start + cut for cut in self.rule(text[start:end]))
            cuts.append(end)
        return tuple(cuts)


def _segments(text: str) -> list[tuple[int, int]]:
    """Spans between think tags and of the tags, each tag with the line breaks behind it and blanks before it."""
    if _TAG.search(text) is None:
        return [(0, len(text))] if text else []
    bounds = [0]
    for tag in _TAG.finditer(text):
        if text[bounds[-1] : tag.start()].strip():
            bounds.append(tag.start())
        bounds.append(after_break(text, tag.end()))
    if not text[bounds[-1] :].strip() and len(bounds) > 1:
        bounds.pop()
    if text:
        bounds.append(len(text))
    return list(zip(bounds, bounds[1:], strict=False))


def _without_blanks(text: str, cuts: Iterable[int]) -> list[int]:
    """Those cuts that leave no blank step."""
    kept = [0]
    content_end = len(text.rstrip())
    for cut in cuts:
        if kept[-1] < cut < content_end and not text[kept[-1] : cut].isspace():
            kept.append(cut)
    return kept[1:]


def _line_cuts(text: str) -> list[int]:
    return _without_blanks(text, (after_break(text, match.start()) for match in re.finditer(r"\n\s*", text)))


def _paragraph_cuts(text: str) -> list[int]:
    """Blank lines part paragraphs, but not inside code, formulas and boxes."""
    regions = find_regions(text)
    ends = [region.end for region in regions]
    cuts = []
    for blank in _BLANK_LINE.finditer(text):
        index = bisect_right(ends, blank.start())
        if index == len(regions) or blank.start() < regions[index].start:
            cuts.append(after_break(text, blank.start()))
    return _without_blanks(text, cuts)


def _published_cuts(text: str) -> list[int]:
    """The rule of the published Thought Anchors chunks (Bogdan et al. 2025, `utils.py`), re-stated.

    Ends are `.`, `?`, `!` before a space or line break, and blank lines; a chunk of fewer than 10 characters joins the
    next one, the last one the one before.
    """
    ends = (after_break(text, match.start() + 1) for match in re.finditer(r"[.?!](?=[ \n])|\n\n\s*", text))
    bounds = [0, *_without_blanks(text, ends), len(text)]
    kept = [0]
    length = 0
    for start, end in zip(bounds, bounds[1:], strict=False):
        length += len(text[start:end].strip())
        if length >= _SHORTEST_PUBLISHED:
            kept.append(end)
            length = 0
        else:
            length += 1  # the space that joins it to the next
    return kept[1:-1]  # the last of `kept` is the end of the text, or the start of a last chunk that is too short


CUTTERS = tuple(
    Cutter(name, rule)
    for name, rule in (
        ("sentences/1", sentence_cuts),
        ("lines/1", _line_cuts),
        ("paragraphs/1", _paragraph_cuts),
        ("tokens/1", None),
        ("thought-anchors/1", _published_cuts),
    )
)
"""All cutters; the last version of a name is the one that the bare name means."""


def get_cutter(name: str = "sentences") -> Cutter:
    """A cutter by name (`sentences`: its newest version) or by id (`sentences/1`).

    Raises:
        UserError: No cutter has that name.
    """
    for cutter in reversed(CUTTERS):
        if name in (cutter.id, cutter.id.split("/")[0]):
            return cutter
    raise UserError(f"no cutter is named {name!r}. Choose one of {', '.join(cutter.id for cutter in CUTTERS)}")

r"""Where sentences of a chain of thought end, in character space.

1. Code, formulas and boxed answers are regions that no cut falls into (`regions.py`).
2. A sentence ends at `.`, `?`, `!`, `…` and the closing quotes, brackets and asterisks behind it, where white space
   follows; at `。`, `！`, `？` wherever they stand; at a blank line; before a list item; after a displayed formula at
   the end of a line where the next line starts anew.
3. It does not end after an abbreviation, a list number, an ellipsis or factorial that the sentence goes on after, nor
   after closing quotes that a lower-case word follows.
4. One or two words of at most nine characters ("Hmm.", "Oh no.") join the sentence that follows them on the line, else
   the one before them there; a lead-in as short ("So,", "Layer 2:") joins what follows it, also on the next line.

Line breaks belong to the sentence that they end; spaces within a line belong to the sentence that they lead to, as in
byte-level vocabularies (".\n\n" and " The" are tokens).
"""

from __future__ import annotations

import re
from bisect import bisect_right

from cotlab.chains.regions import Region, find_regions

__all__ = ["after_break", "sentence_cuts"]

_END = re.compile(
    r"""
      (?P<blank>\n[ \t\r]*\n)
    | (?P<line>\n)
    | (?P<wide>[。！？][。！？…]*[”’」』）)\]"*]*)
    | (?P<formula>[.!?](?=(?:\$\$?|\\[)\]])\s))
    | (?P<mark>[.!?…]+)(?P<closers>[)\]}"'”’»*_]*)(?=\s|\Z)
    """,
    re.VERBOSE,
)
_BREAK = re.compile(r"[^\S\n]*(?:\n\s*(?<=\n))?")
_ITEM = re.compile(r"[ \t]*(?:[-*•][ \t]{1,4}(?=\S)|\(?(?:\d{1,3}|[a-zA-Z])[.)][ \t]+|\#{1,6}[ \t]|```)")
_MARKER = re.compile(
    r"[\s*_#>(•-]*(?:\d{1,2}|[a-zA-Z]|[ivx]{1,4}"
    r"|(?:step|case|part|method|option|approach|example|question|problem|layer|claim|lemma|note)[ ]\w{1,3})",
    re.IGNORECASE,
)
_NUMBER_MARKER = re.compile(r"[\s*_(]*\d{1,2}")
_WORD = re.compile(r"(?<![^\W\d_])[^\W\d_](?:\.?[^\W\d_])*\Z")
_INITIAL = re.compile(r"[ \t]+[A-Z]\.")
_INITIALS = re.compile(r"\b[A-Z]\.[ \t]?[A-Z]")
_FACTORIAL = re.compile(r"(?:[\d)}\]]|(?<![^\W_])[a-zA-Z])\Z")
_INTERJECTION = re.compile(r"[*_\"']*[a-zA-Z']+(?: [a-zA-Z']+)?[.!?…]+[*_\"')]*")
_LEAD_IN = re.compile(r"[*_]*\w[\w ']*[,:][*_]*")
_LONGEST_FRAGMENT = 9
"""Characters; published chunks of Thought Anchors have 10 or more."""

_ABBREVIATIONS = frozenset("e.g i.e eg ie vs cf viz approx resp w.r.t s.t mr mrs ms dr prof".split())
_BEFORE_LOWER = frozenset("etc al a.m p.m u.s a.k.a jr sr inc ltd ed est".split())
_BEFORE_NUMBER = frozenset("fig figs eq eqs no nos sec ch thm lem prop def p pp vol art ex".split())
_OPENERS = frozenset("\"'“‘*(")
_GOES_ON = frozenset(",;:)]}=<>/|+*×÷·^≤≥≈≠→⇒&%")
"""Characters that no sentence starts with."""


def after_break(text: str, position: int) -> int:
    """Where a cut for a sentence that ends at `position` falls: behind its line breaks, before spaces in the line."""
    match = _BREAK.match(text, position)
    return match.end() if match and "\n" in match[0] else position


def sentence_cuts(text: str) -> list[int]:
    """Starts of all sentences but the first, ascending."""
    regions = find_regions(text)
    ends = [region.end for region in regions]
    content_end = len(text.rstrip())
    cuts = [0]
    position = 0
    while match := _END.search(text, position):
        index = bisect_right(ends, match.start())
        if index < len(regions) and regions[index].start <= match.start():
            position = regions[index].end
            cut = _region_cut(text, regions[index])
        else:
            position = max(match.end(), after_break(text, match.start()))  # white space is passed over once
            cut = _cut_at(text, match, cuts[-1], regions[index - 1] if index else None)
        if cut is not None and cuts[-1] < cut < content_end and not text[cuts[-1] : cut].isspace():
            cuts.append(cut)
    return _join_fragments(text, cuts)


def _region_cut(text: str, region: Region) -> int | None:
    """A formula that holds the full stop of its sentence ends it, where a new sentence follows."""
    inside = text[region.start : region.end].rstrip("$)]\\ \n")
    following = text[region.end : region.end + 20].lstrip()
    if region.kind == "code" or not inside.endswith((".", "!", "?")) or text[region.end : region.end + 1].strip():
        return None
    return after_break(text, region.end) if following[:1].isupper() else None


def _cut_at(text: str, match: re.Match[str], start: int, before: Region | None) -> int | None:
    cut = after_break(text, match.end())
    if match["blank"]:
        return after_break(text, match.start())
    if match["line"]:
        return cut if _line_starts_anew(text, match, before) else None
    if match["formula"]:  # a dollar that closes no formula
        return None
    if match["wide"]:
        return cut
    return cut if _ends_sentence(text, match, start) else None


def _line_starts_anew(text: str, match: re.Match[str], before: Region | None) -> bool:
    if _ITEM.match(text, match.end()):
        return True
    if before is None or before.kind not in ("code", "display") or text[before.end : match.start()].strip(" \t.,"):
        return False
    return before.kind == "code" or text[match.end() : match.end() + 20].lstrip()[:1].isupper()


def _ends_sentence(text: str, match: re.Match[str], start: int) -> bool:
    end = match.end()
    line_end = after_break(text, end)
    new_line = line_end > end
    following = text[line_end : line_end + 20].lstrip()[:1]
    if not new_line and following in _GOES_ON or match["closers"].strip("*_") and following.islower():
        return False
    mark = match["mark"]
    if mark == ".":
        return not _is_inner_dot(text, match, start, following, new_line)
    if mark == "!":
        factorial = _FACTORIAL.search(text, max(0, match.start() - 2), match.start())
        return new_line or following.isupper() or not factorial
    if set(mark) <= {".", "…"}:
        inside_list = text[max(0, match.start() - 3) : match.start()].rstrip().endswith((",", "+", "*", "×"))
        return new_line or not inside_list and (following.isupper() or following in _OPENERS)
    return not (mark == "?" and following.islower() and text[match.start() - 1 : match.start()] == " ")


def _is_inner_dot(text: str, match: re.Match[str], start: int, following: str, new_line: bool) -> bool:
    """Whether the dot belongs to a list number or an abbreviation."""
    dot = match.start()
    if not new_line:
        line = max(text.rfind("\n", max(start, dot - 40), dot) + 1, start)
        fresh_line = line == 0 or text[line - 1] == "\n"
        marker = _MARKER if fresh_line else _NUMBER_MARKER if line == start else None
        if marker and marker.fullmatch(text, line, dot):
            return True
    found = _WORD.search(text[max(0, dot - 12) : dot])
    if not found:
        return False
    word = found[0].lower()
    if len(word) == 1 and found[0].isupper() and not new_line:
        return bool(_INITIAL.match(text, match.end()) or _INITIALS.fullmatch(text, max(0, dot - 4), dot))
    if word in _BEFORE_NUMBER and not new_line:
        return following in "$(\\" or following.isdigit() and not text[start:dot].strip(' "*').lower() == word
    return word in _ABBREVIATIONS or word in _BEFORE_LOWER and following.islower()


def _fragment(text: str, start: int, end: int) -> str:
    """The step `start:end` without white space where it is short, else nothing."""
    content = text[start:end].strip() if end - start <= 4 * _LONGEST_FRAGMENT else ""
    return content if len(content) <= _LONGEST_FRAGMENT else ""


def _join_fragments(text: str, cuts: list[int]) -> list[int]:
    """Drop cuts beside interjections and lead-ins; `cuts` starts with 0, the result does not."""
    kept = [0]
    for end in [*cuts[1:], len(text)]:
        start = kept[-1]
        fragment = _fragment(text, start, end)
        if end < len(text) and _LEAD_IN.fullmatch(fragment):
            continue
        if _INTERJECTION.fullmatch(fragment):
            if end < len(text) and text[end - 1] != "\n":
                continue
            if start > 0 and text[start - 1] != "\n":
                kept.pop()
        kept.append(end)
    return kept[1:-1]

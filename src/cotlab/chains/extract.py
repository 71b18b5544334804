r"""Find the final answer in a response.

A response is thinking, then (after the closing think tag) an answer part. `\boxed{}` counts wherever it stands, the
answer part first; everything looser (`The answer is …`, the last number) is read from the answer part only, because a
chain of thought is full of numbers that are not its answer. All of this is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from cotlab.chains.numerals import find_numbers

__all__ = ["EXTRACTORS", "boxed", "choice_letter", "extract_answer", "last_number", "phrase"]

_BOX_TOKEN = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_WHOLE_BOX = re.compile(r"\s*\\(?:boxed|fbox)\s*\{")
_PHRASE = re.compile(r"\banswer\b[\s*_]{0,4}(?:is|was|=|:|：)[\s*_:：]{0,8}|####\s{0,8}", re.IGNORECASE)
_MATH = re.compile(r"\$([^$\n]{1,500})\$|\\\(([^\n]{1,500}?)\\\)")
_SENTENCE_END = re.compile(r"[.!?](?:\s|$)")
_WORD = re.compile(r"(?<!\\)\b[A-Za-z]{2,}")
_LETTER = re.compile(
    r"(?:\\(?:text|textbf|mathrm|mathbf|textit|rm|bf)\s*\{?)?\s*[(\[{*]*\s*([A-Ja-j])\s*[)\]}*]*\s*[.):,]?\s*"
)
# "A" and "I" are words too: bare, they count only before punctuation or the end of the line.
_LETTER_FIRST = re.compile(
    r"(?:(?i:option|choice)\s+)?(?:[*_]{0,2}\(\s?([A-Ja-j])\s?\)|[\[*_{]{0,3}(?:([B-HJ])(?![\w'])|([AI])(?=[\])}.:,*_$]|\s*(?:\n|$))))"
)
_LETTER_ALONE = re.compile(r"^[ \t(\[*]{0,4}([A-J])[)\].*: \t]{0,4}$", re.MULTILINE)


def boxed(text: str) -> str | None:
    r"""Content of the last complete, non-empty `\boxed{}` or `\fbox{}`, braces balanced; nested boxes are unwrapped."""
    closed: list[tuple[int, int]] = []
    open_at: list[int | None] = []
    for token in _BOX_TOKEN.finditer(text):
        kind = token.group()
        if kind == "{":
            open_at.append(None)
        elif kind[-1] == "{" and len(kind) > 2:
            open_at.append(token.end())
        elif kind == "}" and open_at and (start := open_at.pop()) is not None:
            while closed and closed[-1][0] > start:  # boxes inside this one are part of it
                closed.pop()
            closed.append((start, token.start()))
    for start, end in reversed(closed):
        if content := _unwrapped(text[start:end].strip()):
            return content
    return None


def last_number(text: str) -> str | None:
    """Last numeral of a text."""
    numbers = find_numbers(text)
    return numbers[-1] if numbers else None


def phrase(text: str) -> str | None:
    """What the last `the answer is …` (or `Answer: …`, or GSM8K's `#### …`) says.

    LaTeX between dollars where there is some, else a number that it begins with, else all of a short formula, else
    the last number of the sentence, else the sentence.
    """
    rest = _said(text)
    if not rest:
        return None
    if math := _MATH.search(rest):
        return (math[1] or math[2]).strip()
    numbers = find_numbers(rest)
    if not numbers or not _WORD.search(rest):
        return rest
    return numbers[0] if rest.lstrip("$€£ ").startswith(numbers[0]) else numbers[-1]


def phrase_text(text: str) -> str | None:
    """Whole sentence after the last `the answer is …`."""
    return _said(text)


def tagged(text: str) -> str | None:
    """Content of the last `<answer>…</answer>`."""
    before, closed, _ = text.rpartition("</answer>")
    start = before.rfind("<answer>")
    return before[start + len("<answer>") :].strip() or None if closed and start >= 0 else None


def last_line(text: str) -> str | None:
    """Last line that is not empty."""
    lines = text.strip().rsplit("\n", 1)
    return lines[-1].strip() or None


def whole(text: str) -> str | None:
    """All of it."""
    return text.strip() or None


def choice_letter(text: str) -> str | None:
    """Letter A–J of a multiple-choice answer in running text: `The answer is (B)`, `**Answer: C.**`, a line `D`."""
    for said in reversed([text[m.end() : m.end() + 40] for m in _PHRASE.finditer(text)]):
        if match := _LETTER_FIRST.match(said.lstrip("\\$ ")):
            return (match[1] or match[2] or match[3]).upper()
    alone = _LETTER_ALONE.findall(text)
    return alone[-1] if alone else None


def read_letter(answer: str) -> str | None:
    r"""Read a whole answer as a letter: `B`, `(b)`, `\text{B}`, `**B.**`; None where it says more."""
    if len(answer) > 40:
        return None
    match = _LETTER.fullmatch(answer.strip(" \n\t$*_"))
    return match[1].upper() if match else None


Extractor = Callable[[str], str | None]

EXTRACTORS: Mapping[str, Extractor] = MappingProxyType(
    {
        "boxed": boxed,
        "tag": tagged,
        "phrase": phrase,
        "phrase-text": phrase_text,
        "last-number": last_number,
        "last-line": last_line,
        "whole": whole,
        "choice": choice_letter,
    }
)
"""Extractors by name; each takes a text and gives the answer's text or None."""


def extract_answer(text: str, part: str | None, extractors: tuple[str, ...]) -> str | None:
    """First answer that the extractors find.

    Args:
        text: Whole response; only `boxed` looks outside the answer part.
        part: Its answer part (`cotlab.chains.think.split_response`); None where the thinking never ended.
        extractors: Names, tried in order.
    """
    for name in extractors:
        found = EXTRACTORS[name](part) if part is not None else None
        if found is None and name == "boxed" and part != text:
            found = boxed(text)
        if found is not None:
            return found
    return None


def _unwrapped(content: str) -> str:
    for _ in range(4):
        wrapper = _WHOLE_BOX.match(content)
        if wrapper is None or not content.endswith("}") or not _balanced(content[wrapper.end() : -1]):
            return content
        content = content[wrapper.end() : -1].strip()
    return content


def _balanced(text: str) -> bool:
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text):
        depth += 1 if brace == "{" else -1
        if depth < 0:
            return False
    return depth == 0


def _said(text: str) -> str | None:
    ends = [match.end() for match in _PHRASE.finditer(text)]
    if not ends:
        return None
    line = text[ends[-1] : ends[-1] + 1000].lstrip().split("\n", 1)[0]
    end = _SENTENCE_END.search(line)
    return (line[: end.start()] if end else line).strip().strip("*_").rstrip(".").strip() or None

"""Transcripts: a question and a response that already exist, from a file or pasted."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cotlab.chains.problem import Problem
from cotlab.chains.think import DEFAULT_TAGS, ThinkTags
from cotlab.errors import DataError
from cotlab.problems.files import read_text
from cotlab.problems.pictures import with_images
from cotlab.problems.rows import read_row
from cotlab.problems.tasks import recognised_task

__all__ = ["Transcript", "load_transcript", "parse_transcript"]

MAX_BYTES = 8 << 20
"""Largest transcript."""
_RESPONSE_FIELDS = ("response", "completion", "full_cot", "output", "text", "solution")
_USER = re.compile(
    r"\A\s*(?:<｜begin▁of▁sentence｜>)?\s*(?:<｜User｜>|<\|im_start\|>user\s|(?:User|Human|Question|Problem)\s*:)\s*",
    re.I,
)
_ASSISTANT = re.compile(
    r"<｜Assistant｜>|(?:<\|im_end\|>\s*)?<\|im_start\|>assistant\s|^(?:Assistant|Response)\s*:[ \t]*",
    re.I | re.M,
)
_TEMPLATE = re.compile(r"\A\s*(?:<｜begin▁of▁sentence｜>|<｜User｜>|<\|im_start\|>)")
_END = re.compile(r"(?:<｜end▁of▁sentence｜>|<\|im_end\|>)\s*\Z")


@dataclass(frozen=True, slots=True)
class Transcript:
    """A problem and one response to it."""

    problem: Problem
    response_text: str
    """As it was given; begins with the opening think tag where the transcript shows it."""


def load_transcript(
    path: str | Path, question: str | None = None, answer: str | None = None, tags: ThinkTags = DEFAULT_TAGS
) -> Transcript:
    """Read a transcript file: plain text, or JSON where the name ends in .json.

    Args:
        path: The file.
        question: Overrides the question of the transcript; needed where it has none.
        answer: Overrides its gold answer.
        tags: Think tags of the model that wrote it.

    Raises:
        DataError: The file is missing, too large, not UTF-8, not JSON, or lacks a question or a response.
    """
    path = Path(path).expanduser()
    text = read_text(path, MAX_BYTES, "transcript")
    given = {"question": question, "answer": answer}
    try:
        if path.suffix.lower() == ".json":
            return _from_json(text, given, path)
        return parse_transcript(text, question, answer, tags, path.stem)
    except ValueError as error:
        raise DataError(f"transcript {str(path)!r} {error}".replace("\n", " ")) from error


def parse_transcript(
    text: str,
    question: str | None = None,
    answer: str | None = None,
    tags: ThinkTags = DEFAULT_TAGS,
    name: str = "transcript",
) -> Transcript:
    """Read pasted text: the question, then the response.

    The response begins at the opening think tag or at `Assistant:` (or a chat template's mark for it), whichever
    comes first; what stands before is the question. With neither, all of it is the response. Where the question is
    given, what stands before must say the same or be marked by a chat template: else it might be the first half of the
    response.

    Raises:
        ValueError: There is no question or no response, or text before the response is not the question that is given.
    """
    assistant = _ASSISTANT.search(text)
    opened = text.find(tags.open)
    if assistant is not None and (opened < 0 or assistant.start() < opened):
        before, response, mark = text[: assistant.start()], text[assistant.end() :], assistant[0].strip()
    else:
        before, response = (text[:opened], text[opened:]) if opened >= 0 else ("", text)
        mark = tags.open
    asked = _END.sub("", _USER.sub("", before, count=1)).strip()
    if question is not None and asked and not _TEMPLATE.match(before) and _same(asked) != _same(question):
        raise ValueError(
            f"has {_excerpt(asked)!r} before {mark!r}, which is not the question that is given: give that question, or "
            f"leave it out; if it belongs to the response, put {tags.open} before it"
        )
    asked = question if question is not None else asked
    if not asked:
        raise ValueError(f"has no question before {tags.open} or 'Assistant:': put it there, or give the question")
    return _transcript({"question": asked, "answer": answer}, response, name)


def _same(text: str) -> str:
    return " ".join(text.split()).casefold()


def _excerpt(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"


def _from_json(text: str, given: Mapping[str, str | None], path: Path) -> Transcript:
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"is not JSON ({error}): mend it, or name it .txt if it is plain text") from error
    if isinstance(value, list):
        value = {"messages": value}
    if not isinstance(value, dict):
        raise ValueError(f"is JSON {type(value).__name__}: expected an object with question and response")
    row: dict[str, Any] = {**value, **_messages(value.get("messages"))}
    field = next((field for field in _RESPONSE_FIELDS if isinstance(row.get(field), str)), None)
    if field is None:
        raise ValueError(f"has no response: add one as text ({', '.join(_RESPONSE_FIELDS)})")
    response = row[field]
    # A solution is a worked gold answer only where it is not the response itself.
    row = {key: item for key, item in row.items() if key != field}
    row |= {key: item for key, item in given.items() if item is not None}
    found = _transcript(row, str(response), path.stem)
    return replace(found, problem=with_images(found.problem, row, path.parent))


def _messages(messages: object) -> dict[str, str]:
    """Question and response of a chat: its first user turn and its last assistant turn."""
    turns = [turn for turn in messages if isinstance(turn, dict)] if isinstance(messages, list) else []
    asked = next((turn.get("content") for turn in turns if turn.get("role") == "user"), None)
    said = next((turn for turn in reversed(turns) if turn.get("role") == "assistant"), {})
    thoughts, content = said.get("reasoning_content"), said.get("content")
    if isinstance(thoughts, str):
        content = f"{DEFAULT_TAGS.open}\n{thoughts}\n{DEFAULT_TAGS.close}\n\n{content or ''}"
    found = {"question": asked, "response": content}
    return {key: item for key, item in found.items() if isinstance(item, str)}


def _transcript(row: Mapping[str, Any], response: str, name: str) -> Transcript:
    response = _END.sub("", response).lstrip()
    if not response.strip():
        raise ValueError("has an empty response: paste what the model said after the question")
    try:
        response.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"is not valid Unicode ({error.reason}): mend it") from error
    asked, answer = str(row.get("question", "")), row.get("answer")
    task = recognised_task(asked, answer, name) if "checker" not in row and isinstance(answer, str | None) else None
    return Transcript(task or read_row(dict(row), name), response)

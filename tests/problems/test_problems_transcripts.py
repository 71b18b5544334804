from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotlab.chains.think import ThinkTags
from cotlab.errors import DataError
from cotlab.problems import load_transcript, parse_transcript

RESPONSE = "<think>\n2 + 2 is 4.\n</think>\n\nThe answer is \\boxed{4}."


@pytest.mark.parametrize(
    "text",
    [
        f"What is 2 + 2?\n\n{RESPONSE}",
        f"User: What is 2 + 2?\nAssistant: {RESPONSE}\n",
        f"<｜begin▁of▁sentence｜><｜User｜>What is 2 + 2?<｜Assistant｜>{RESPONSE}<｜end▁of▁sentence｜>",
        f"<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n{RESPONSE}<|im_end|>\n",
        f"\ufeffQuestion: What is 2 + 2?\r\n\r\n{RESPONSE}",
    ],
)
def test_pasted_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pasted.txt"
    path.write_text(text, encoding="utf-8", newline="")
    transcript = load_transcript(path, answer="4")
    assert (transcript.problem.question, transcript.problem.answer) == ("What is 2 + 2?", "4")
    assert transcript.response_text.rstrip() == RESPONSE


@pytest.mark.parametrize(
    "value",
    [
        {"question": "What is 2 + 2?", "response": RESPONSE, "answer": 4},
        {"problem": "What is 2 + 2?", "full_cot": RESPONSE, "gt_answer": "4"},
        {
            "messages": [{"role": "user", "content": "What is 2 + 2?"}, {"role": "assistant", "content": RESPONSE}],
            "answer": "4",
        },
        {
            "messages": [
                {"role": "user", "content": "What is 2 + 2?"},
                {"role": "assistant", "reasoning_content": "2 + 2 is 4.", "content": "The answer is \\boxed{4}."},
            ],
            "answer": "4",
        },
    ],
)
def test_json(tmp_path: Path, value: object) -> None:
    path = tmp_path / "chain.json"
    path.write_text(json.dumps(value))
    transcript = load_transcript(path)
    assert (transcript.problem.question, transcript.problem.answer) == ("What is 2 + 2?", "4")
    assert transcript.response_text == RESPONSE


def test_a_bare_response_needs_a_question_from_elsewhere() -> None:
    with pytest.raises(ValueError, match="has no question before <think>"):
        parse_transcript(RESPONSE)
    assert parse_transcript(RESPONSE, "What?").response_text == RESPONSE
    opened = "thoughts that the template opened</think> 4"
    assert parse_transcript(opened, "What?").response_text == opened
    assert parse_transcript("Why? [T]so[/T] 4", tags=ThinkTags("[T]", "[/T]")).problem.question == "Why?"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Let me compute 2 + 2.\nThat gives 4.\nResponse: so I answer 4.\n", "before 'Response:'"),
        ("First I set up.\n<think>\nmore</think>\nend", "has 'First I set up.' before '<think>'"),
        ("What is 3 + 3?\n<think>6</think> 6", "before '<think>'"),
    ],
)
def test_the_first_half_of_a_response_is_never_taken_for_the_question(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        parse_transcript(text, "What is 2 + 2?")
    assert "is not the question that is given" in str(error.value)
    whole = parse_transcript(f"<think>{text}", "What is 2 + 2?")
    assert whole.response_text == f"<think>{text}"


@pytest.mark.parametrize(
    "before",
    ["", "What is  2 + 2?\n\n", "User: what is 2 + 2?\n", "<｜User｜>What is 2 + 2? Reason step by step.", "\n"],
)
def test_a_question_that_is_given_may_stand_before_the_response_as_well(before: str) -> None:
    transcript = parse_transcript(before + RESPONSE, "What is 2 + 2?")
    assert (transcript.problem.question, transcript.response_text) == ("What is 2 + 2?", RESPONSE)


@pytest.mark.parametrize(
    ("name", "data", "named"),
    [
        ("a.txt", b"", "has no question"),
        ("a.txt", b"Why?\nAssistant:   ", "has an empty response"),
        ("a.txt", b"Why? \xff<think>", "line 1 is not UTF-8"),
        ("a.json", b"{", "is not JSON"),
        ("a.json", b"[" * 100_000, "is not JSON"),
        ("a.json", b"3", "is JSON int: expected an object"),
        ("a.json", b'{"question": "Why?"}', "has no response"),
        ("a.json", b'{"response": "So."}', "has no question"),
        ("a.json", b'{"question": "Why?", "response": "\\ud800"}', "not valid Unicode"),
        ("a.txt", b"x" * ((8 << 20) + 1), "the limit is 8388608: cut or split it"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, name: str, data: bytes, named: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError, match=named) as error:
        load_transcript(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load_transcript(tmp_path / "absent.txt")


@settings(deadline=None)
@given(st.text() | st.text(st.sampled_from("<think></think>User: Assistant:\n42"), max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        transcript = parse_transcript(text)
    except ValueError as error:
        assert str(error)
    else:
        assert transcript.response_text.strip() and transcript.response_text.strip() in text

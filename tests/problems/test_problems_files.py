from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotlab.chains.problem import Problem
from cotlab.errors import DataError
from cotlab.problems import load_problems
from cotlab.problems.rows import read_row


def loaded(path: Path, text: str | bytes, n: int | None = None) -> list[Problem]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_problems(str(path), n=n)


def refusal(path: Path, text: str | bytes) -> str:
    with pytest.raises(DataError) as error:
        loaded(path, text)
    assert "\n" not in str(error.value) and repr(str(path)) in str(error.value)
    return str(error.value)


def test_rows_of_the_well_known_data_sets(tmp_path: Path) -> None:
    rows = [
        {"question": "Gsm?", "answer": "6 * 7 = <<6*7=42>>42\n#### 42"},
        {"problem": "Math?", "solution": r"Clearly \boxed{\frac{1}{2}}.", "level": "Level 1"},
        {"problem": "Anchors?", "gt_answer": "90", "gt_solution": "…", "nickname": "p2189"},
        {"prompt": "Which?", "choices": ["six", "seven"], "answer": "B"},
        {"question": "Reach 37.", "nums": [3, 5, 8], "target": 37, "id": 5},
        {"question": "How much?", "answer": 1.5},
    ]
    problems = loaded(tmp_path / "own.jsonl", "\n".join(["", *map(json.dumps, rows), ""]))
    assert [problem.answer for problem in problems] == ["42", r"\frac{1}{2}", "90", "B", None, "1.5"]
    assert [problem.checker for problem in problems] == ["math", "math", "math", "choice", "countdown", "math"]
    assert [problem.name for problem in problems] == ["own/2", "own/3", "p2189", "own/5", "5", "own/7"]
    assert problems[3].question == "Which?" and problems[3].choices == ("six", "seven")
    assert problems[4].meta == {"numbers": [3, 5, 8], "target": 37}


def test_json_and_csv_say_the_same(tmp_path: Path) -> None:
    rows = [{"question": "One, two?", "answer": "3"}, {"question": 'He said "six"', "answer": "B", "choices": "5|six"}]
    as_json = loaded(tmp_path / "own.json", json.dumps({"problems": rows}))
    as_list = loaded(tmp_path / "list.json", json.dumps(rows))
    as_csv = loaded(
        tmp_path / "own.csv", '\ufeffquestion,answer,choices\r\n"One, two?",3,\r\n"He said ""six""",B,5|six\r\n'
    )
    assert [problem.id for problem in as_json] == [problem.id for problem in as_csv] == [p.id for p in as_list]
    assert as_csv[1].choices == ("5", "six")


def test_the_first_n(tmp_path: Path) -> None:
    rows = "\n".join(json.dumps({"question": f"{idx}?"}) for idx in range(9))
    assert [problem.question for problem in loaded(tmp_path / "a.jsonl", rows, 2)] == ["0?", "1?"]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("{", "line 2 is not JSON"),
        ("[1]", "line 2 is [1]: expected an object with question and answer"),
        ('{"answer": "4"}', "line 2 has no question: add one"),
        ('{"question": ""}', "line 2 has no question"),
        ('{"question": ["a"]}', "line 2 question is ['a']: input should be a valid string"),
        ('{"question": "a", "answer": {"x": 1}}', "line 2 answer is {'x': 1}"),
        ('{"question": "a", "answer": true}', "line 2 answer is True"),
        ('{"question": "a", "checker": "maths"}', "line 2 checker is 'maths': choose one of math, number"),
        ('{"question": "a", "choices": ["x", "y"], "answer": 1}', "line 2 answer is 1: give the letter"),
        ('{"question": "a", "choices": ["x", "y"], "gold": 1}', "line 2 gold is 1: give the letter"),
        ('{"question": "a", "choices": ["x", "y"], "gt_answer": 0}', "line 2 gt_answer is 0: give the letter"),
        ('{"question": "a", "choices": ["x", "y"], "answer": "D"}', "gold answer 'D' is neither a letter A–J nor one"),
        ('{"question": "a", "answer": "abc", "checker": "number"}', "gold answer 'abc' is not a number: mend it"),
        ('{"question": "a", "answer": " "}', "gold answer '' is empty"),
        ('{"question": "a", "checker": "countdown"}', "meta 'numbers' is None: give the list"),
        ('{"question": "a", "nums": [1, 2], "target": "x"}', "meta 'target' is 'x': give the number to reach"),
        ('{"question": "a \\ud800"}', "unable to parse raw data as a unicode string"),
        ('{"question": "a", "solution": "' + "long " * 50 + '"}', "give the result as 'answer'"),
        ('{"question": "a", "meta": {"x": NaN}}', "not"),
        ("[" * 100_000, "line 2 is not JSON"),
    ],
)
def test_a_bad_line_is_named_with_value_and_fix(tmp_path: Path, line: str, named: str) -> None:
    assert named in refusal(tmp_path / "own.jsonl", f'{{"question": "fine?", "answer": "1"}}\n{line}\n')


def test_all_bad_lines_are_counted(tmp_path: Path) -> None:
    text = "\n".join(['{"question": "fine?"}', "x", "y", "z", '{"answer": "1"}'])
    message = refusal(tmp_path / "own.jsonl", text)
    assert "line 2 is not JSON" in message and message.endswith("(4 bad lines in all; the others: 3, 4, 5)")


def test_bad_csv(tmp_path: Path) -> None:
    message = refusal(tmp_path / "own.csv", "question,answer\none?,1\ntwo, or three?,3\n")
    assert "line 3 has more fields than the header (question, answer): quote commas" in message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "line 2 is not UTF-8 (byte 0xe9): save it as UTF-8" in refusal(
        tmp_path / "a.jsonl", b'{"question": "a"}\n\xe9'
    )
    assert "has no problems" in refusal(tmp_path / "b.jsonl", "\n\n")
    assert "has no problems" in refusal(tmp_path / "c.json", "[]")
    assert "item 1 is 3" in refusal(tmp_path / "d.json", "3")
    with pytest.raises(DataError, match="No such file or directory.*check the path"):
        load_problems(str(tmp_path / "absent.jsonl"))
    with pytest.raises(DataError, match="unknown problem set"):
        load_problems(str(tmp_path / "a.txt"))


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["question", "answer", "solution", "choices", "checker", "name", "nums", "target", "meta"]),
        ANY_JSON,
    )
    | ANY_JSON
)
def test_any_row_is_read_or_refused(row: object) -> None:
    try:
        problem = read_row(row, "any")
    except ValueError as error:
        assert str(error)
    else:
        assert problem.id and problem.question

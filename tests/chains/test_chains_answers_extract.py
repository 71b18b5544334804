from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotlab.chains.extract import EXTRACTORS, boxed, choice_letter, extract_answer, last_number, phrase, read_letter
from cotlab.chains.numerals import find_numbers, number_key, parse_number, parse_quantity

ASCII = st.text(st.sampled_from("\\boxedfbx{}$()[]<>/answer is:#*. \n\t0123456789-+,ABCIJ"), max_size=200)


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"so \boxed{42}.", "42"),
        (r"\boxed{1} then \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\fbox{ 7 }", "7"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\boxed{a + \fbox{b}}", r"a + \fbox{b}"),
        (r"\boxed{a} + \boxed{}", "a"),
        (r"\boxed{1} \boxed{2", "1"),
        (r"\boxed{ oh, \boxed{3}", "3"),
        (r"{ \boxed{4}", "4"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed {8}", "8"),
        (r"\boxed 8", None),
        ("no box { } here", None),
    ],
)
def test_boxed_is_the_last_complete_box(text: str, content: str | None) -> None:
    assert boxed(text) == content


@settings(deadline=None)
@given(st.text() | ASCII)
def test_extractors_never_raise_and_give_parts_of_the_text(text: str) -> None:
    for name, extract in EXTRACTORS.items():
        found = extract(text)
        assert found is None or found.strip(), name
        assert found is None or found in text, name


@settings(deadline=None)
@given(st.recursive(st.sampled_from(["1", "x + 2", r"\frac"]), lambda inner: inner.map(lambda body: f"{{{body}}}a")))
def test_a_box_with_balanced_braces_comes_back_whole(content: str) -> None:
    assert boxed(rf"\boxed{{0}} text \boxed{{{content}}} and {{more}}") == content


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{" * 150_000,
        r"\boxed{" * 100_000 + "}" * 100_000,
        "{" * 1_000_000,
        "answer is " * 100_000,
        "1" * 1_000_000,
        "1,111" * 200_000,
        "the answer is " + "(" * 1_000_000,
        "<answer>" * 100_000,
        "\\" * 1_000_000,
    ],
)
def test_a_megabyte_takes_linear_time(text: str) -> None:
    start = time.process_time()
    for extract in EXTRACTORS.values():
        extract(text)
    assert time.process_time() - start < 8


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("The answer is 5.", "5"),
        ("**Answer:** 3.5 apples are left.", "3.5"),
        ("The answer is $\\frac{1}{2}$ of it.", "\\frac{1}{2}"),
        ("The final answer is: x + 1.", "x + 1"),
        ("The answer is that Janet makes $18 a day.", "18"),
        ("So 6 * 7 = 42.\n#### 42", "42"),
        ("The answer is 1. No, the answer is 2.", "2"),
        ("No such phrase 5", None),
    ],
)
def test_phrase(text: str, said: str | None) -> None:
    assert phrase(text) == said


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The answer is (B).", "B"),
        ("The answer is B because of this.", "B"),
        ("**Answer: C.**", "C"),
        ("answer is option D", "D"),
        ("The answer is (c)", "C"),
        ("Let me see.\n**B**\n", "B"),
        ("The answer is A good one", None),
        ("Answer: I think so", None),
        ("The answer is A.", "A"),
        ("The answer is A. No, the answer is (J)", "J"),
        ("The answer is Kant", None),
        ("The answer is Berlin", None),
    ],
)
def test_choice_letter(text: str, letter: str | None) -> None:
    assert choice_letter(text) == letter


@pytest.mark.parametrize(
    ("answer", "letter"),
    [("B", "B"), ("(b)", "B"), (r"\text{B}", "B"), ("**B.**", "B"), ("B: 4", None), ("K", None), ("AB", None)],
)
def test_read_letter(answer: str, letter: str | None) -> None:
    assert read_letter(answer) == letter


@pytest.mark.parametrize(
    ("text", "number"),
    [("10-3", "3"), ("it is -3", "-3"), ("costs $1,234.50.", "1,234.50"), ("step2 has 4 of H2O", "4"), ("none", None)],
)
def test_last_number(text: str, number: str | None) -> None:
    assert last_number(text) == number


def test_the_answer_part_goes_first_and_loose_extractors_stay_in_it() -> None:
    text = r"\boxed{1} maybe 7</think> The answer is 2."
    assert extract_answer(text, " The answer is 2.", ("boxed", "phrase")) == "1"
    assert extract_answer(text, r" \boxed{3}", ("boxed",)) == "3"
    assert extract_answer("is it 7?", None, ("phrase", "last-number")) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-12", Fraction(-12)),
        ("1,234.5", Fraction("1234.5")),
        (".5", Fraction(1, 2)),
        ("5.", Fraction(5)),
        ("3/4", Fraction(3, 4)),
        (r"\frac{3}{-4}", Fraction(-3, 4)),
        (r"-\dfrac34", Fraction(-3, 4)),
        (r"\$1{,}000", Fraction(1000)),
        ("−7", Fraction(-7)),
        ("1/0", None),
        ("1e9", None),
        ("12,34", None),
        ("٣", None),
        ("9" * 101, None),
        ("", None),
    ],
)
def test_parse_number(text: str, value: Fraction | None) -> None:
    assert parse_number(text) == value


@settings(deadline=None)
@given(st.fractions())
def test_a_number_key_reads_back_as_the_number(value: Fraction) -> None:
    assert parse_number(number_key(value)) == (value if len(str(value)) <= 100 else None)


@settings(deadline=None)
@given(st.text())
def test_reading_numbers_never_raises(text: str) -> None:
    parse_number(text)
    parse_quantity(text)
    for numeral in find_numbers(text):
        assert numeral in text


@pytest.mark.parametrize(
    ("text", "value"),
    [("12 apples", 12), ("$5 per day", 5), ("5", 5), ("2 pi", None), ("5 x", None), ("50%", None), ("5 or 6", None)],
)
def test_parse_quantity(text: str, value: int | None) -> None:
    assert parse_quantity(text) == value

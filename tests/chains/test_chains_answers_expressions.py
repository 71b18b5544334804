from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotlab.chains.expressions import parse_expression

# A tree is a number or (left, operator, right); its value is worked out here, without any parser.
Tree = int | tuple["Tree", str, "Tree"]
TREES = st.recursive(st.integers(0, 999), lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner), max_leaves=8)
SPELLING = {"+": ["+"], "-": ["-", "−"], "*": ["*", "×", "\\times ", "\\cdot ", "·"], "/": ["/", "÷", "\\div "]}


def value_of(tree: Tree) -> Fraction | None:
    if isinstance(tree, int):
        return Fraction(tree)
    left, right = value_of(tree[0]), value_of(tree[2])
    if left is None or right is None:
        return None
    if tree[1] == "/":
        return left / right if right else None
    return {"+": left + right, "-": left - right, "*": left * right}[tree[1]]


def numbers_of(tree: Tree) -> tuple[int, ...]:
    return (tree,) if isinstance(tree, int) else numbers_of(tree[0]) + numbers_of(tree[2])


def written(tree: Tree, draw: st.DrawFn) -> str:
    if isinstance(tree, int):
        return str(tree)
    left, right = written(tree[0], draw), written(tree[2], draw)
    if tree[1] == "/" and draw(st.booleans()) and "{" not in left + right:
        return rf"\frac{{{left}}}{{{right}}}"
    operator = draw(st.sampled_from(SPELLING[tree[1]]))
    space = draw(st.sampled_from(["", " "]))
    return f"({left}{space}{operator}{space}{right})"


@st.composite
def expressions(draw: st.DrawFn) -> tuple[str, Tree]:
    tree = draw(TREES)
    return written(tree, draw), tree


@settings(deadline=None)
@given(expressions())
def test_value_and_numbers_are_those_of_the_tree(case: tuple[str, Tree]) -> None:
    text, tree = case
    parsed = parse_expression(text)
    assert parsed is not None, text
    assert parsed.value == value_of(tree)
    assert parsed.numbers == numbers_of(tree)


@settings(deadline=None)
@given(st.text() | st.text(st.sampled_from("0123456789+-*/() .=_ejx{}\\frac"), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    parsed = parse_expression(text)
    assert parsed is None or parsed.numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 + 3 * 4", 14),
        ("10 - 4 - 3", 3),
        ("24 / 4 / 2", 3),
        ("-3 + 7", 4),
        ("(2 + 3) * 4 = 20", 20),
        ("20 = 5 * 4", 20),
    ],
)
def test_precedence_and_equations(text: str, value: int) -> None:
    parsed = parse_expression(text)
    assert parsed is not None and parsed.value == value


@pytest.mark.parametrize(
    "text",
    [
        "9**9**9**9",
        "9 * * 9",
        "7 // 2",
        "2(3 + 4)",
        "1 2",
        "1.5 + 2",
        "1e9",
        "__import__('os')",
        "9" * 13,
        "(" * 150 + "1" + ")" * 150,
        "+".join(["1"] * 200),
        "~1",
        "+1",
        "1 if 1 else 2",
        "",
        "=",
    ],
)
def test_what_is_not_small_whole_number_arithmetic_is_refused(text: str) -> None:
    assert parse_expression(text) is None


def test_dividing_by_zero_has_no_value() -> None:
    parsed = parse_expression("4 / (2 - 2)")
    assert parsed is not None and parsed.value is None


def test_use_of_numbers() -> None:
    parsed = parse_expression("(3 + 3) * 5")
    assert parsed is not None
    assert parsed.uses([5, 3, 3])
    assert not parsed.uses([5, 3])
    assert not parsed.uses([5, 3, 3, 1])
    assert parsed.uses([5, 3, 3, 1], use_all=False)
    assert not parsed.uses([5, 3, 1], use_all=False)

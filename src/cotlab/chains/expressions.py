"""Arithmetic expressions as Countdown answers: read safely, computed exactly.

Text is turned into a syntax tree by `ast.parse` and walked by hand: nothing is evaluated, only whole numbers, `+`,
`-`, `*`, `/` and parentheses are understood, and the sizes of text and numbers are limited.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["OPERATORS", "Expression", "parse_expression"]

OPERATORS = "+-*/"
MAX_LENGTH = 200
"""Longest expression, in characters after clean-up."""
MAX_DIGITS = 12
"""Longest whole number in an expression."""

_SIGNS = str.maketrans({"×": "*", "·": "*", "⋅": "*", "∗": "*", "−": "-", "–": "-", "÷": "/", "[": "(", "]": ")"})
_COMMANDS = re.compile(r"\\(times|cdot|ast|div|left|right|quad|[,;:! ])")
_COMMAND_TEXT = {"times": "*", "cdot": "*", "ast": "*", "div": "/"}
_FRACTION = re.compile(r"\\[dtc]?frac\{([^{}]*)\}\{([^{}]*)\}")
_ALLOWED = re.compile(r"[\d+\-*/() ]+", re.ASCII)
_REFUSED = re.compile(rf"\*\s*\*|/\s*/|\d{{{MAX_DIGITS + 1}}}|\d\s+\d")
_SYMBOLS: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}


@dataclass(frozen=True, slots=True)
class Expression:
    """What an expression comes to and what it is made of."""

    text: str
    """Cleaned text, in `+ - * /` and parentheses."""
    value: Fraction | None
    """None where it divides by zero."""
    numbers: tuple[int, ...]
    """The whole numbers written in it, from left to right."""
    operators: frozenset[str]

    def uses(self, numbers: Sequence[int], *, use_all: bool = True) -> bool:
        """Whether each given number is used exactly once (`use_all`), or at most once and no other number."""
        used, given = Counter(self.numbers), Counter(numbers)
        return used == given if use_all else used <= given


def parse_expression(text: str) -> Expression | None:
    r"""Read an expression; None where it is not one.

    Understood besides plain text: `× · ÷ −`, `\times \cdot \div \frac{}{} \left( \right)`, dollar signs. Of an
    equation (`(2 + 3) * 4 = 20`) the first side that is not a bare number is taken; the claim is not checked.
    """
    if len(text) > 4 * MAX_LENGTH:
        return None
    sides = [side.strip() for side in _plain(text).split("=")]
    plain = next((side for side in sides if not side.isdecimal()), sides[0])
    if not plain or len(plain) > MAX_LENGTH or not _ALLOWED.fullmatch(plain) or _REFUSED.search(plain):
        return None
    try:
        tree = ast.parse(plain, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    numbers: list[int] = []
    operators: set[str] = set()
    try:
        value = _value(tree, numbers, operators)
    except ValueError:
        return None
    return Expression(plain, value, tuple(numbers), frozenset(operators))


def _plain(text: str) -> str:
    text = _COMMANDS.sub(lambda match: _COMMAND_TEXT.get(match[1], " "), text.translate(_SIGNS))
    for _ in range(4):  # fractions in fractions, innermost first
        text, found = _FRACTION.subn(r"((\1)/(\2))", text)
        if not found:
            break
    return " ".join(text.replace("$", " ").split()).rstrip(".")


def _value(node: ast.expr, numbers: list[int], operators: set[str]) -> Fraction | None:
    match node:
        case ast.Constant(value=int() as number):
            numbers.append(number)
            return Fraction(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            value = _value(operand, numbers, operators)
            return None if value is None else -value
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _SYMBOLS:
            operators.add(_SYMBOLS[type(op)])
            a, b = _value(left, numbers, operators), _value(right, numbers, operators)
            return None if a is None or b is None else _apply(_SYMBOLS[type(op)], a, b)
    raise ValueError(f"not whole-number arithmetic: {ast.dump(node)[:80]}")


def _apply(symbol: str, a: Fraction, b: Fraction) -> Fraction | None:
    if symbol == "+":
        return a + b
    if symbol == "-":
        return a - b
    if symbol == "*":
        return a * b
    return a / b if b else None

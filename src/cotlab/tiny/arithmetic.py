"""Exact integer arithmetic of both task families: operators, equations in a sentence, expressions, reachability."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from itertools import combinations

LOWEST, HIGHEST = 1, 99
OPERATORS = ("+", "-", "*")

_EQUATION = re.compile(r"(?<![\d)] [+*-] )(?<!\d)(\d{1,4}) ([+*-]) (\d{1,4}) = (\d{1,4})(?!\d)")
_PLAIN = str.maketrans({"×": "*", "·": "*", "−": "-"})


@dataclass(frozen=True, slots=True)
class Equation:
    """A stated computation `left op right = claimed`, true or not."""

    left: int
    op: str
    right: int
    claimed: int

    @property
    def holds(self) -> bool:
        """Whether it is true."""
        return evaluate(self.left, self.op, self.right) == self.claimed


@dataclass(frozen=True, slots=True)
class Expression:
    """A Countdown candidate `(a op b) last_op c`: two numbers are combined first, the third comes last."""

    a: int
    op: str
    b: int
    last_op: str
    c: int

    @property
    def value(self) -> int:
        """What it makes."""
        return evaluate(evaluate(self.a, self.op, self.b), self.last_op, self.c)

    def __str__(self) -> str:
        return f"({self.a} {self.op} {self.b}) {self.last_op} {self.c}"


def evaluate(left: int, op: str, right: int) -> int:
    """The true value of `left op right`.

    Raises:
        ValueError: if `op` is not one of `+`, `-`, `*`.
    """
    if op == "+":
        return left + right
    if op == "-":
        return left - right
    if op == "*":
        return left * right
    raise ValueError(f"unknown operator {op!r}: expected one of {', '.join(OPERATORS)}")


def in_range(value: int) -> bool:
    """Whether a value may occur in a chain (1 to 99)."""
    return LOWEST <= value <= HIGHEST


def equations_in(sentence: str) -> tuple[Equation, ...]:
    """Every two-number equation that a sentence states, in order; a longer expression is not one."""
    return tuple(Equation(int(a), op, int(b), int(r)) for a, op, b, r in _EQUATION.findall(sentence))


def results(left: int, right: int) -> dict[str, int]:
    """What two numbers can make, by operator; subtraction takes the smaller from the larger."""
    low, high = sorted((left, right))
    made = {"+": low + high, "-": high - low, "*": low * high}
    return {op: value for op, value in made.items() if in_range(value)}


def operands(left: int, op: str, right: int) -> tuple[int, int]:
    """The order in which a chain writes two numbers: ascending, but descending for subtraction."""
    low, high = sorted((left, right))
    return (high, low) if op == "-" else (low, high)


def reaches(left: int, right: int, target: int) -> bool:
    """Whether two numbers make the target in one operation."""
    return target in results(left, right).values()


def solutions(numbers: tuple[int, ...], target: int) -> tuple[Expression, ...]:
    """Every way to make the target from all three numbers with all values in 1..99, in a fixed order.

    Subtractions `c - (a op b)` are not listed: targets lie above the largest number, so they never solve a problem.
    """
    found = []
    for a, b in combinations(numbers, 2):
        c = next(n for n in numbers if n not in (a, b))
        for op, value in results(a, b).items():
            for last_op in OPERATORS:
                if evaluate(value, last_op, c) == target:
                    found.append(Expression(*_ordered(a, op, b), last_op, c))
    return tuple(found)


def _ordered(a: int, op: str, b: int) -> tuple[int, str, int]:
    left, right = operands(a, op, b)
    return left, op, right


def evaluate_text(text: str) -> tuple[int, tuple[int, ...]] | None:
    r"""Value of an arithmetic expression and the numbers it uses, sorted; None where it is not one.

    Only integers, `+`, `-`, `*` and parentheses are understood; `×`, `·`, `\times` and `\cdot` read as `*`.
    Nothing is executed.
    """
    plain = text.translate(_PLAIN).replace("\\times", "*").replace("\\cdot", "*").split("=")[0].strip()
    if not plain or len(plain) > 80 or not re.fullmatch(r"[\d\s()+*-]+", plain):
        return None
    try:
        tree = ast.parse(plain, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    used: list[int] = []
    value = _value(tree, used)
    return None if value is None else (value, tuple(sorted(used)))


def _value(node: ast.expr, used: list[int]) -> int | None:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        used.append(node.value)
        return node.value
    symbols: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}
    if isinstance(node, ast.BinOp) and type(node.op) in symbols:
        left, right = _value(node.left, used), _value(node.right, used)
        if left is not None and right is not None:
            return evaluate(left, symbols[type(node.op)], right)
    return None

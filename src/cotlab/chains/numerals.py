"""Plain numbers in text: integers, decimals and simple fractions, read exactly and without evaluating anything."""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["find_numbers", "number_key", "parse_number", "parse_quantity"]

MAX_LENGTH = 100
"""Longest numeral that is read, in characters."""

_UNSIGNED = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
_DECIMAL = re.compile(rf"[+-]?(?:{_UNSIGNED}|\d+\.)")
_RATIO = re.compile(r"([+-]?\d+)/([+-]?\d+)")
_FRACTION = re.compile(r"([+-]?)\\[dtc]?frac(?:\{([+-]?\d+)\}\{([+-]?\d+)\}|(\d)(\d))")
_IN_TEXT = re.compile(rf"(?<![\w.)])[-−]?(?:\\[dtc]?frac\{{-?\d+\}}\{{-?\d+\}}|(?:{_UNSIGNED})(?:/\d+)?)", re.ASCII)
_NOISE = re.compile(r"\\[!,;: $]|[\s$]|\\left(?=\()|\\right(?=\))")
_QUANTITY = re.compile(r"([^A-Za-z\\%]*\d)((?:\s+(?!(?:pi|sqrt|sin|cos|tan|log|ln|percent)\b)[A-Za-z]{2,})+)\s*")
_DASHES = str.maketrans({"−": "-", "–": "-"})


def parse_number(text: str) -> Fraction | None:
    r"""Read all of `text` as one number; None where it is something else.

    Understood: `-12`, `1,234.5`, `.5`, `3/4`, `\frac{3}{4}`, `\frac34`, with dollar signs and LaTeX spaces around.
    Exponents are not, on purpose: `1e999999999` would be a gigabyte of digits.
    """
    if len(text) > MAX_LENGTH:
        return None
    plain = _NOISE.sub("", text.translate(_DASHES).replace("{,}", ","))
    if not plain.isascii():
        return None
    if _DECIMAL.fullmatch(plain):
        return Fraction(plain.replace(",", "").removesuffix("."))
    if ratio := _RATIO.fullmatch(plain):
        return _ratio(ratio[1], ratio[2])
    if fraction := _FRACTION.fullmatch(plain):
        value = _ratio(fraction[2] or fraction[4], fraction[3] or fraction[5])
        return -value if value is not None and fraction[1] == "-" else value
    return None


def parse_quantity(text: str) -> Fraction | None:
    """Read a number with or without a unit in words: `12 apples`, `$5 per day`; None where it is something else."""
    value = parse_number(text)
    if value is None and len(text) <= MAX_LENGTH and (quantity := _QUANTITY.fullmatch(text)):
        return parse_number(quantity[1])
    return value


def find_numbers(text: str) -> list[str]:
    """All numerals in running text, in order, as they are written.

    A minus sign counts only where it is not a subtraction (`10-3` has 10 and 3); digits inside words are left out.
    """
    return _IN_TEXT.findall(text)


def number_key(value: Fraction) -> str:
    """Canonical text: `7`, `-1/2`. Equal numbers have equal keys."""
    return str(value)


def _ratio(numerator: str, denominator: str) -> Fraction | None:
    return Fraction(int(numerator), int(denominator)) if int(denominator) else None

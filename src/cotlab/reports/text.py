"""Model text and estimates as a person reads them."""

from __future__ import annotations

import re

from cotlab.stats.estimate import Estimate

__all__ = ["clip", "format_estimate", "format_number", "format_p", "one_line", "readable", "trimmed"]

LONGEST = 4_000
"""Characters of one text that a report shows: more would bury what stands beside it."""

_CONTROLS = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"}
_CONTROLS |= {0x7F: "␡", **dict.fromkeys(range(0x80, 0xA0), "�"), **dict.fromkeys(range(0xD800, 0xE000), "�")}
# Direction overrides could turn the reading order of what stands around a text.
_CONTROLS |= dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "�")


def readable(text: str) -> str:
    r"""Text with its control characters made visible (NUL as ␀, direction overrides as �), `\r\n` as `\n`.

    The result holds no character that HTML or UTF-8 refuses. It is not escaped.
    """
    return text.replace("\r\n", "\n").translate(_CONTROLS)


def clip(text: str, longest: int = LONGEST) -> str:
    """At most `longest` characters, and how many more there are."""
    if len(text) <= longest:
        return text
    return f"{text[:longest]}… ({len(text) - longest:,} more characters)"


def trimmed(text: str) -> str:
    """Text as `readable` and `clip` leave it, without the white space around it and without empty lines."""
    return clip(re.sub(r"\n\s*\n", "\n", readable(text.strip())))


def one_line(text: str, longest: int = 120) -> str:
    """White space folded, cut to `longest` characters with an ellipsis."""
    folded = re.sub(r"\s+", " ", readable(text[: 4 * longest])).strip()
    return folded if len(folded) <= longest else folded[: longest - 1].rstrip() + "…"


def format_number(number: float | None, *, signed: bool = False, digits: int = 2) -> str:
    """So many decimals with a true minus; a dash where there is no number."""
    if number is None:
        return "–"
    shown = f"{number:{'+' if signed else ''}.{digits}f}"
    if float(shown) == 0:
        shown = f"{0:.{digits}f}"
    return shown.replace("-", "−")


def format_estimate(estimate: Estimate, *, signed: bool = False, digits: int = 2) -> str:
    """`0.62 [0.52, 0.71]`; the reason where there is no value."""
    if estimate.value is None:
        return estimate.reason or "not enough data"
    shown = format_number(estimate.value, signed=signed, digits=digits)
    if estimate.low is None or estimate.high is None:
        return shown
    low, high = (format_number(end, signed=signed, digits=digits) for end in (estimate.low, estimate.high))
    return f"{shown} [{low}, {high}]"


def format_p(p: float | None) -> str:
    """A p or q value; below 0.001 it is not told apart."""
    if p is None:
        return "–"
    return "<0.001" if p < 0.001 else f"{p:.3f}"

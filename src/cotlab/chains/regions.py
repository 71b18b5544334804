"""Stretches of a text that no cut may fall into: code, formulas, boxed answers."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Region", "find_regions"]

_LONGEST_BOX = 2_000
"""Characters within which a boxed answer must close; a longer one is taken for one that was never closed."""

# Every alternative stops at the next opener of its own kind, so that one that is never closed costs one short scan.
_OPENERS = re.compile(
    r"""
      (?P<code>   (?:^|(?<=\n))[ \t]*```[\s\S]*?(?:\n[ \t]*```|\Z) | `[^`\n]+` )
    | (?P<display> \$\$(?:(?!\$\$)[\s\S])+\$\$
                 | \\\[(?:(?!\\[\[\]])[\s\S])*\\\]
                 | \\begin\{(?P<env>
                     equation|align|aligned|gather|multline|split|cases|array|tabular|[pbvBV]?matrix)\*?\}
                   (?:(?!\\begin\{(?P=env))[\s\S])*?\\end\{(?P=env)\*?\} )
    | (?P<inline>  \\\((?:(?!\\[()]|\n[ \t]*\n)[\s\S])*\\\)
                 | (?<!\\)\$(?![\s$])(?:\\.|[^$\\\n]|\n(?![ \t]*\n))+(?<!\s)\$(?!\d) )
    | (?P<box>     \\(?:boxed|fbox)[ ]?\{ )
    """,
    re.VERBOSE,
)
_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)


class Region(NamedTuple):
    """Characters `start:end`, with their delimiters."""

    start: int
    end: int
    kind: str
    """code, display, inline or box."""


def find_regions(text: str) -> list[Region]:
    r"""Code blocks and spans, `$…$`, `$$…$$`, `\(…\)`, `\[…\]`, environments and `\boxed{…}`, in order, none nested.

    A dollar opens a formula only where no space follows it, and closes one only where no space precedes and no digit
    follows it, so that prices are left alone (the rule of pandoc's `tex_math_dollars`). What is not closed is ordinary
    text, but for a code block, which then runs to the end.
    """
    regions: list[Region] = []
    closing: dict[int, int] | None = None
    position = 0
    while match := _OPENERS.search(text, position):
        kind = match.lastgroup if match.lastgroup != "env" else "display"
        position = match.end()
        if kind == "box":
            closing = _closing_braces(text) if closing is None else closing
            position = closing.get(match.end(), len(text))
            if position - match.end() > _LONGEST_BOX or match.end() not in closing:
                position = match.end()
                continue
        regions.append(Region(match.start(), position, str(kind)))
    return regions


def _closing_braces(text: str) -> dict[int, int]:
    """Behind which closing brace each braced group ends, by where its inside starts; one pass."""
    opened: list[int] = []
    closing: dict[int, int] = {}
    for brace in _BRACES.finditer(text):
        if brace[0] == "{":
            opened.append(brace.end())
        elif brace[0] == "}" and opened:
            closing[opened.pop()] = brace.end()
    return closing

"""What goes to stdout (results) and to stderr (progress and talk)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["err", "out", "print_json", "print_table"]

PIPED_WIDTH = 140
"""Columns where stdout is no terminal."""


@cache
def out() -> Console:
    """Results; as wide as the terminal, and wide where there is none."""
    from rich.console import Console

    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(highlight=False, width=PIPED_WIDTH if piped else None)


@cache
def err() -> Console:
    """Progress and talk."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def print_json(document: Any) -> None:
    r"""One JSON document on stdout; what its encoding cannot hold (lone surrogates of model text) as `\udXXX`."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(document, allow_nan=False)
    print(text)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, wide: int | None = None) -> None:
    """A table on stdout; cells are plain text, never markup (model text may hold brackets).

    Args:
        title: Shown above.
        columns: Heads; those that begin with `>` are aligned to the right.
        rows: Cells.
        wide: Column that may wrap; the others keep to one line.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title, style="bold"), title_justify="left", box=None, pad_edge=False, header_style="dim")
    for idx, column in enumerate(columns):
        right = column.startswith(">")
        table.add_column(
            Text(column.removeprefix(">")),
            justify="right" if right else "left",
            no_wrap=idx != wide,
            min_width=24 if idx == wide else None,
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    out().print(table)

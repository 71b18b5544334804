"""Small pieces of HTML. Every text is escaped where it is put in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import streamlit as st
from markupsafe import Markup

from cotlab.reports.svg import element
from cotlab.reports.text import clip, format_estimate, one_line, readable
from cotlab.stats import Estimate

__all__ = [
    "bars",
    "block",
    "estimate",
    "fault",
    "filled_columns",
    "line",
    "numbers",
    "place_holder",
    "question_line",
    "say",
]

SHOWN = 20_000
"""Characters of one text on a page; the rest is in the download."""
_STYLE = Markup("<style>{}</style>").format(Markup((Path(__file__).parent / "page.css").read_text(encoding="utf-8")))


def say(*parts: Markup) -> None:
    """Show escaped HTML."""
    st.html(_STYLE + element("div", *parts, class_="wb"))


def block(text: str, *, kept: str = "") -> Markup:
    """Model text in a box, what it goes on from in grey before it."""
    soft = element("span", readable(clip(kept, SHOWN)), class_="soft") if kept else Markup("")
    return element("div", soft, readable(clip(text, SHOWN)), class_="t box", dir="auto")


def line(text: str, *, soft: bool = False) -> Markup:
    """One line of text."""
    return element("div", one_line(text, 2_000), class_="t soft" if soft else "t", dir="auto")


def question_line(question: str, soft: str) -> Markup:
    """A question, what became of it behind it; long ones scroll."""
    told = element("span", f"   {one_line(soft, 400)}", class_="soft")
    return element("div", one_line(question, 3_000), told, class_="t q", dir="auto")


def numbers(rows: Mapping[str, str | Estimate], *, signed: Sequence[str] = ()) -> Markup:
    """Names and values, estimates with their interval, n and null floor."""
    cells: list[Markup] = []
    for name, value in rows.items():
        told = value if isinstance(value, str) else estimate(value, signed=name in signed)
        cells += [element("dt", name), element("dd", told, dir="auto")]
    return element("dl", *cells)


def estimate(value: Estimate, *, signed: bool = False) -> str:
    """An estimate in one line."""
    told = format_estimate(value, signed=signed)
    if value.value is None:
        return told
    parts = [f"n {value.n}" if value.n1 is None else f"n {value.n1} and {value.n2}"]
    if value.null_q95 is not None:
        parts.append(f"null floor ±{value.null_q95:.2f}")
    if value.p is not None:
        parts.append("p <0.001" if value.p < 0.001 else f"p {value.p:.3f}")
    return f"{told}   ({', '.join(parts)})"


def bars(counts: Mapping[str, int], *, most: int = 12, second: bool = False) -> Markup:
    """Counts as bars, largest first."""
    total = sum(counts.values())
    rows = []
    for name, n in list(counts.items())[:most]:
        width = f"width:{100 * n / total:.1f}%"
        bar = element("div", class_="bar b" if second else "bar", style=width)
        told = f"{n} · {n / total:.0%}"
        rows.append(
            element("div", element("span", one_line(name, 60), class_="cut", dir="auto"), bar, told, class_="row")
        )
    if len(counts) > most:
        rest = sum(list(counts.values())[most:])
        rows.append(element("div", f"{len(counts) - most} more, {rest} rollouts", class_="soft"))
    return element("div", *rows) if rows else element("div", "no answers", class_="soft")


def fault(error: Exception) -> None:
    """A fault of the user in one line, as text."""
    st.error("This cannot be shown.", icon=":material/error:")
    st.code(one_line(str(error), 1_000), language=None, wrap_lines=True)


def place_holder(text: str) -> None:
    """What is not there yet, and the next click."""
    st.info(text, icon=":material/touch_app:")


def filled_columns(rows: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Rows of a table without the columns that say nothing in any of them."""
    told = [name for name in rows[0] if any(row[name] not in (None, "") for row in rows)] if rows else []
    return [{name: row[name] for name in told} for row in rows]

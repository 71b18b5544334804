"""What an experiment found: question and method, estimates by what they stand on, planted truth, null rates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from cotlab.reports import Experiment, Finding, ReportPlan, Table, render_study, study_report
from cotlab.reports.evidence import KINDS
from cotlab.reports.experiment_text import finding_digits
from cotlab.reports.text import format_estimate, format_number, format_p, one_line
from parts.html import line, place_holder, question_line, say

__all__ = ["show_experiment"]


def show_experiment(found: Experiment, folder: Path) -> None:
    """Everything in its `results.json`, with its figures."""
    facts = [f"model {found.model}", f"problems {found.problems}", f"{found.rollouts:,} rollouts", f"seed {found.seed}"]
    say(question_line(found.question, ", ".join(facts)))
    for warning in found.warnings:
        st.warning("Read this before a number.", icon=":material/warning:")
        st.code(one_line(warning, 1_000), language=None, wrap_lines=True)
    say(line(found.method, soft=True))
    for name in found.figures:
        image = folder / Path(name).name
        if image.is_file() and not image.is_symlink() and image.suffix in (".svg", ".png"):
            st.image(str(image), caption=image.name)
    for evidence, kind in KINDS.items():
        rows = [one for one in found.estimates if one.evidence == evidence]
        if rows:
            st.subheader(kind.heading, anchor=False)
            st.caption(kind.meaning)
            _frame([_estimate(one) for one in rows])
    _planted(found)
    _nulls(found)
    for table in found.tables:
        _table(table)
    _closing(found, folder)


def _frame(rows: Sequence[dict[str, object]]) -> None:
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")


def _estimate(one: Finding) -> dict[str, object]:
    digits = finding_digits(one)
    n = f"{one.n1:,} and {one.n2:,}" if one.n1 is not None and one.n2 is not None else f"{one.n:,}"
    return {
        "what": one.name,
        "of": one.group,
        "estimate": format_estimate(one.estimate(), digits=digits),
        "unit": one.unit,
        "n": n,
        "null 95%": "–" if one.null_q95 is None else format_number(one.null_q95, digits=digits),
        "p": format_p(one.p),
        "q": format_p(one.q),
    }


def _planted(found: Experiment) -> None:
    st.subheader("Was the planted truth found?", anchor=False)
    if not found.recovered:
        place_holder("Nothing was planted in this experiment, so nothing says whether its method finds what is there.")
        return
    _frame(
        [
            {
                "planted": one.name,
                "true": _told(one.planted),
                "found": _told(one.value)
                + (f" [{_told(one.low)}, {_told(one.high)}]" if one.low is not None and one.high is not None else ""),
                "n": one.n,
                "": "too few" if one.ok is None else "found" if one.ok else "NOT FOUND",
                "rule": one.rule,
            }
            for one in found.recovered
        ]
    )
    st.caption(f"{found.recovered_told} recovered.")


def _nulls(found: Experiment) -> None:
    if not found.null_rate:
        return
    st.subheader("Where there is nothing to find", anchor=False)
    _frame(
        [
            {
                "analysis of shuffled labels": one.analysis,
                "found something": f"{one.found} of {one.n}",
                "exact interval": f"{100 * one.low:.1f}% to {100 * one.high:.1f}%",
                "allowed": f"{100 * one.allowed:g}%",
            }
            for one in found.null_rate
        ]
    )


def _table(table: Table) -> None:
    with st.expander("A further table", expanded=False):
        say(line(table.title, soft=True))
        st.dataframe(
            pd.DataFrame([[_told(cell) for cell in row] for row in table.rows], columns=list(table.columns)),
            hide_index=True,
            width="stretch",
        )


def _closing(found: Experiment, folder: Path) -> None:
    """Limits, commands, and the page to take along."""
    if found.limits:
        st.subheader("What it does not say", anchor=False)
        say(*(line(f"– {limit}") for limit in found.limits))
    st.subheader("How to do it again", anchor=False)
    st.code("\n".join(found.commands), language=None, wrap_lines=True)
    say(line(", ".join(f"{name} {version}" for name, version in found.versions.items()), soft=True))
    page = render_study(study_report(ReportPlan((), results=(folder,)))).encode("utf-8", "replace")
    st.download_button("This experiment as one page", page, f"{folder.name}.html", "text/html")


def _told(value: float | int | str | bool | None) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    return f"{value:.3g}" if isinstance(value, float) else str(value)

"""What runs there are, what they hold, and what is being sampled."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st
from parts.html import fault, line, numbers, place_holder, say
from parts.library import NAME, SAMPLE, fresh, names, root, run_path, summary
from parts.notes import show_notes
from parts.place import go, here
from parts.work import begin, show_jobs

from cotlab.errors import DataError, UserError
from cotlab.reports import ReportPlan, render_study, study_report
from cotlab.reports.text import one_line
from cotlab.runs import RunSummary, verify_run
from cotlab.runs.imports import IMPORTERS
from cotlab.sampling import ImportConfig

FORMATS = {
    "math-rollouts": "math-rollouts (Thought Anchors)",
    "forking-fast": "Forking Fast store",
    "pivotal-tokens": "pivotal tokens (JSONL)",
}
HELP = {
    "math-rollouts": "a folder of problems as math-rollouts or thought-anchors.com have them, or the hub's Parquet",
    "forking-fast": "a folder of rowNNN.json.gz, or one of them",
    "pivotal-tokens": "a JSONL file as pts writes it",
}


def accuracy(told: RunSummary) -> float | None:
    """Of the last scorer that judges answers."""
    found = [value for scorer, value in told.accuracy.items() if scorer.startswith("answers")] or [
        *told.accuracy.values()
    ]
    return found[-1] if found else None


def row(name: str) -> dict[str, object]:
    """A run in the table."""
    told = summary(name)
    return {
        "run": "sample (ships with cotlab)" if name == SAMPLE else one_line(name, 60),
        "model": one_line(told.model, 40),
        "problems": told.problems,
        "chains": told.chains,
        "rollouts": told.rollouts,
        "right": accuracy(told),
        "tokens": told.tokens,
        "MB": round(told.size_bytes / 1e6, 1),
        "made": told.created[:16].replace("T", " "),
        "state": one_line(told.state.replace(str(root()), root().name), 160),
    }


def table(known: list[str]) -> str | None:
    """All runs; returns the one that is selected."""
    frame = pd.DataFrame([row(name) for name in known])
    shown = st.dataframe(
        frame,
        hide_index=True,
        width="stretch",
        on_select="rerun",
        selection_mode="single-row",
        key="runs",
        column_config={
            "right": st.column_config.ProgressColumn(
                "right",
                help="right over all judged rollouts, all conditions together",
                format="percent",
                min_value=0,
                max_value=1,
            ),
            "rollouts": st.column_config.NumberColumn(format="localized"),
            "tokens": st.column_config.NumberColumn(format="compact", help="new tokens of all rollouts"),
            "run": st.column_config.TextColumn(width="medium"),
            "state": st.column_config.TextColumn(width="medium"),
        },
    )
    rows: list[int] = shown.selection.rows
    if rows:
        return known[rows[0]]
    now = here().run
    return now if now in known else known[0]


def details(name: str) -> None:
    """One run: where to go, its notes, whether it is whole."""
    told = summary(name)
    st.subheader("Sample" if name == SAMPLE else one_line(name, 60).replace("[", "").replace(":", " "), anchor=False)
    broken = told.state.startswith("damaged")
    if broken:
        fault(UserError(told.state))
        place_holder("Choose another run above, or mend this one as the line says.")
        return
    open_, compare, report, check = st.columns([1, 1, 1, 1])
    if open_.button("Open", type="primary", icon=":material/account_tree:", width="stretch", key="open"):
        go(run=name)
        st.switch_page("app_pages/chain.py", query_params=here().to_params())
    if compare.button(
        "Compare with …",
        icon=":material/compare_arrows:",
        width="stretch",
        key="compare",
        help="this run becomes one side; choose the other on “Compare”",
    ):
        go(run=name, other=f"{name}|||")
        st.switch_page("app_pages/compare.py", query_params=here().to_params())
    if report.button(
        "Report",
        icon=":material/description:",
        width="stretch",
        key="report",
        help="one page on this run: observed, shown by intervention, only correlated",
    ):
        show_report(name)
    if check.button(
        "Verify", icon=":material/verified:", width="stretch", key="verify", help="recompute every hash and count"
    ):
        verify(name)
    numbers_and_notes(name, told)


@st.cache_data(max_entries=8, show_spinner="writing the report …")
def study_page(path: Path, at: tuple[int, ...]) -> tuple[bytes, tuple[str, ...], tuple[str, ...]]:
    """The study report of a run, its warnings and its main numbers."""
    made = study_report(ReportPlan((path,), command=f"cotlab report {path}"))
    return render_study(made).encode("utf-8", "replace"), made.warnings, made.brief


def show_report(name: str) -> None:
    """The main numbers, and the page to take along."""
    try:
        page, warnings, brief = study_page(*fresh(name))
    except UserError as error:
        fault(error)
        return
    for told in warnings:
        say(line(f"Warning: {told}"))
    say(*(line(f"– {told}", soft=True) for told in brief))
    st.download_button("Save the report", page, "report.html", "text/html", icon=":material/download:")


def numbers_and_notes(name: str, told: RunSummary) -> None:
    """What a run holds, and what was written down about it."""
    left, right = st.columns(2, gap="large")
    with left:
        say(
            numbers(
                {
                    "model": told.model,
                    "engines": ", ".join(told.engines) or "none",
                    "state": told.state,
                    "problems, chains": f"{told.problems:,}, {told.chains:,}",
                    "rollouts": f"{told.rollouts:,} from {told.prefixes:,} prefixes, {told.tokens:,} tokens",
                    "failed requests": f"{told.failed_attempts:,}",
                    **{
                        f"{scorer}": ", ".join(f"{n:,} {outcome}" for outcome, n in found.items())
                        for scorer, found in told.outcomes.items()
                    },
                }
            )
        )
    with right:
        show_notes(run_path(name), name, "", "run")


def import_form() -> None:
    """A run out of the files of another tool; read in a process of its own."""
    kind = st.selectbox("Format", list(IMPORTERS), format_func=lambda f: FORMATS.get(f, f), key="import-format")
    path = st.text_input("File or folder on this machine", key="import-path", help=HELP.get(kind))
    name = st.text_input("Name of the new run", key="import-name", max_chars=80)
    if not st.button("Import", type="primary", icon=":material/download:", key="import-go"):
        return
    try:
        if not NAME.fullmatch(name):
            raise DataError(f"'{name}' is no name for a run: letters, digits, points and dashes, beginning with one")
        if not path.strip():
            raise DataError("no file or folder is given. Type where the data lies")
        begin(ImportConfig.of(run=(root() / name).absolute(), format=kind, path=Path(path.strip()).expanduser()))
    except UserError as error:
        fault(error)
    else:
        st.rerun()


def verify(name: str) -> None:
    """Say whether a run is whole."""
    findings = verify_run(run_path(name))
    if not findings:
        st.success("Whole: every hash and count is right.")
        return
    for finding in findings[:20]:
        say(line(str(finding)))


st.title("Runs", anchor=False)
show_jobs()
new, bring, _ = st.columns([1, 1, 4])
if new.button("New study", icon=":material/add_circle:", width="stretch", key="new-study"):
    st.switch_page("app_pages/new.py", query_params=here().to_params())
with bring.popover("Import", icon=":material/download:", width="stretch"):
    import_form()
known = names()
if not known:
    place_holder(f"No run lies under {root().name} yet. “New study” above starts one; `cotlab demo` makes one too.")
else:
    chosen = table(known)
    if chosen is not None:
        try:
            details(chosen)
        except UserError as error:
            fault(error)

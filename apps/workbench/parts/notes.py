"""Notes on a step, a branch or a run; they are stored in the run."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from cotlab.errors import RunError
from cotlab.runs import Run
from parts.html import fault, line, place_holder, say
from parts.library import SAMPLE, take_sample
from parts.place import go

__all__ = ["show_notes"]


def show_notes(path: Path, run_name: str, subject: str, key: str) -> None:
    """The notes on a subject, and a field for another."""
    with Run.open(path) as run:
        notes = run.notes(subject)
    for note in notes:
        say(line(note.text), line(note.created, soft=True))
    if run_name == SAMPLE:
        place_holder(
            "The sample that ships with the app is not written to. Take a copy of it to write notes and branch."
        )
        if st.button("Copy the sample into your runs", icon=":material/content_copy:", key=f"{key}-copy"):
            go(run=take_sample())
            st.rerun(scope="app")
        return
    with st.form(f"{key}-note", clear_on_submit=True, border=False):
        text = st.text_area("Note", placeholder="What did you see here?", key=f"{key}-text", max_chars=20_000)
        if st.form_submit_button("Keep note") and text.strip():
            try:
                with Run.open(path, writable=True) as run:
                    run.add_note(text.strip(), subject)
            except RunError as error:  # somebody is sampling into it
                fault(error)
            else:
                st.rerun(scope="app")

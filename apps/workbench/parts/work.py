"""What is being sampled: every job with its progress, a stop button, and what became of it."""

from __future__ import annotations

import time
from typing import Any

import streamlit as st

from cotlab.errors import UserError
from cotlab.reports.text import one_line
from cotlab.sampling import Job, list_jobs, request_of, start_job
from parts.chosen import plain
from parts.html import line, say
from parts.library import root
from parts.place import go, here

__all__ = ["begin", "show_job", "show_jobs"]

SHOWN = 3
"""Jobs that have ended and are still listed on the page of runs."""
RECENT = 3600.0
"""Seconds for which they are."""


def begin(config: Any) -> Job:
    """Start a job under the root; `config` is a request of one of its kinds.

    Raises:
        UserError: It cannot be.
    """
    return start_job(root(), config)


def show_jobs() -> None:
    """Those at work, and the last that ended."""
    jobs = list_jobs(root())
    busy = [job for job in jobs if job.running]
    ended = [job for job in jobs if job not in busy and time.time() - job.started < RECENT][:SHOWN]
    for job in busy:
        show_job(job)
    if ended:
        with st.expander(f"{len(ended)} ended lately", expanded=not busy and ended[0].progress().state == "failed"):
            for job in ended:
                _told(job)


def show_job(job: Job) -> None:
    """One job, followed while it lives."""
    if job.running:
        _live(job)
    else:
        _told(job)


@st.fragment(run_every=1.0)
def _live(job: Job) -> None:
    progress = job.progress()
    if progress.state != "running":
        st.rerun(scope="app")  # the page around it shows what came of it
    with st.container(border=True):
        left, right = st.columns([5, 1], vertical_alignment="center")
        rate = (
            f" · {progress.tokens / progress.seconds:,.0f} tokens/s" if progress.seconds > 1 and progress.tokens else ""
        )
        to_go = progress.total - progress.done
        per = progress.seconds / progress.done if progress.done else 0.0
        left_s = f" · about {_time(to_go * per)} left" if progress.total and per and to_go > 0 else ""
        many = f"{progress.done:,} of {progress.total:,}" if progress.total else f"{progress.done:,}"
        count = f"{many} {plain(progress.unit)}"
        if not progress.total and not progress.done:
            count = f"for {_time(max(0.0, time.time() - progress.since))}"
        share = min(1.0, progress.done / progress.total) if progress.total else 0.0
        left.progress(share, f"{plain(job.run.name, 60)}: {plain(progress.phase)} · {count}{rate}{left_s}")
        if right.button(
            "Stop",
            key=f"stop-{job.id}",
            icon=":material/stop_circle:",
            width="stretch",
            help="what is sampled is kept; the same study goes on there",
        ):
            job.stop()
        for told in progress.lines[-2:]:
            say(line(told, soft=True))


def _told(job: Job) -> None:
    progress = job.progress()
    name = one_line(job.run.name, 60)
    words = {
        "done": f"{name}: {_done(job.kind, progress.result)}",
        "stopped": f"{name}: stopped; what was sampled is kept, and the same study goes on there",
        "killed": f"{name}: its process was ended from outside; what was sampled is kept, the same study goes on there",
        "failed": f"{name}: {progress.error or 'failed'}",
    }
    say(line(words.get(progress.state, progress.state)))
    columns = st.columns([1, 1, 4])
    if (job.run / "run.json").exists() and columns[0].button("Open", key=f"job-open-{job.id}"):
        go(run=job.run.name)
        st.switch_page("app_pages/chain.py", query_params=here().to_params())
    if progress.state != "done" and columns[1].button(
        "Go on", key=f"job-again-{job.id}", help="the same request again: what is there is not sampled again"
    ):
        try:
            begin(request_of(job.kind, job.asked))
        except UserError as error:
            say(line(str(error)))
        else:
            st.rerun()
    if progress.state == "failed" and job.log():
        with columns[2].popover("What it said"):
            st.code(job.log()[-3000:], language=None)


def _done(kind: str, result: dict[str, Any]) -> str:
    if kind == "import":
        notes = "; ".join(str(note) for note in result.get("notes", []))
        return f"imported, {result['chains']:,} chains, {result['rollouts']:,} rollouts{'; ' + notes if notes else ''}"
    if kind == "inside":
        return "read on the inside"
    if kind == "features":
        return "features read"
    return f"done, {result.get('sampled_now', 0):,} rollouts sampled"


def _time(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )

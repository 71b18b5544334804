"""Branch at the selected step: draw it anew, edit, force, hint, change images, steer, set a feature or hide it."""

from __future__ import annotations

import streamlit as st
from parts.branch_kinds import KINDS, BranchKind, anchor_of
from parts.branch_results import show_newest, show_results
from parts.chosen import Chosen, choose
from parts.html import block, fault, line, place_holder, say
from parts.library import SAMPLE, root, take_sample
from parts.picked import step_index
from parts.place import go, here
from parts.work import begin, show_job

from cotlab.errors import UserError
from cotlab.sampling import Job, list_jobs


def job_here(chosen: Chosen, kind: BranchKind, kept: int) -> Job | None:
    """The last job that branched here in this way."""
    studied, wanted = chosen.studied, chosen.path.absolute()
    prefix_id = studied.chain.prefix(kept).id

    def fits(job: Job) -> bool:
        if job.kind != kind.jobs or job.run != wanted:
            return False
        if kind.jobs == "branch":
            return bool(job.asked["prefix_id"] == prefix_id)
        return job.asked["chain_id"] == studied.chain.id and anchor_of(job) == (kind.edit, kept)

    return next((job for job in list_jobs(root()) if fits(job)), None)


def copy_first() -> None:
    """The sample is read-only."""
    place_holder("The sample that ships with the app is not written to. Take a copy of it, and branch there.")
    if st.button("Copy the sample into your runs", icon=":material/content_copy:"):
        at = here()
        go(run=take_sample(), chain=at.chain, step=at.step)
        st.rerun()


def branching(chosen: Chosen, step: int) -> None:
    """Choose a way, fill in its form, follow its job."""
    kept = chosen.studied.kept(step)
    busy = next((j for j in list_jobs(root()) if j.run == chosen.path.absolute() and j.running), None)
    ways = [name for name, one in KINDS.items() if chosen.studied.chain.images or not one.on_images]
    key = st.segmented_control(
        "What to do here", ways, format_func=lambda k: KINDS[k].name, default=_first(busy), key=f"way-{kept}"
    )
    kind = KINDS[key or "resample"]
    st.caption(kind.told)
    job = job_here(chosen, kind, kept)
    if busy is not None:
        show_job(busy)
    else:
        try:
            request = kind.form(chosen, step)
            if request is not None:
                begin(request)
                st.rerun()
        except UserError as error:
            fault(error)
    if job is None:
        return
    if not job.running:
        show_job(job)
        if job.progress().state == "done":
            show_results(chosen, kept, job)
    show_newest(chosen, chosen.studied.chain.prefix(kept).id, job)


def _first(busy: Job | None) -> str:
    """The way that is at work, so that a reload shows it."""
    if busy is None or busy.kind not in ("edit", "image", "steer", "feature", "suppress"):
        return "resample"
    edit = anchor_of(busy)[0]
    return next(name for name, kind in KINDS.items() if kind.jobs == busy.kind and kind.edit == edit)


def page() -> None:
    """The page."""
    chosen = choose()
    if chosen is None:
        return
    step = step_index(chosen.studied, chosen.place.step)
    if step < 0:
        place_holder("Choose a step first: open “Chain”, click a step, then “Branch here”.")
        return
    studied = chosen.studied
    one = studied.report.steps[step]
    before = "".join(part.text for part in studied.chain.steps[: studied.kept(step)])
    st.subheader(f"Branch before step {one.idx}", anchor=False)
    say(line("Kept, then (in this chain) the selected step:", soft=True), block(one.text, kept=before[-1500:]))
    if chosen.place.run == SAMPLE:
        copy_first()
    else:
        branching(chosen, step)


st.title("Branch", anchor=False)
page()

"""A chain from the inside: lens, attention between steps, receiver heads, probes along the chain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st
from parts.chosen import Chosen, choose
from parts.figures import arcs, heat_map, show_figure, step_curve
from parts.html import block, fault, line, place_holder, say
from parts.library import SAMPLE, root, take_sample
from parts.picked import step_index
from parts.place import go, here
from parts.work import begin, show_job

from cotlab.errors import UserError
from cotlab.reports import Reading, read_reading
from cotlab.sampling import InsideConfig, Job, list_jobs

ARCS = 80  # drawn besides those of the selected step


def probe_files() -> list[str]:
    """Saved probes under the folder of runs."""
    found = [*root().glob("*.safetensors"), *root().glob("*/*.safetensors")]
    return sorted(str(path) for path in found if path.is_file() and "." in path.stem)


def ask(chosen: Chosen, again: bool) -> None:
    """What is to be read."""
    probes = st.multiselect(
        "Probes",
        probe_files(),
        accept_new_options=True,
        placeholder="none; `cotlab probe RUN --label reachable --save runs/probes` makes some",
        help="what each saved probe says at the end of every step",
    )
    suppression = st.checkbox("Also hide each step from those behind it", help="one pass through the model a step")
    if st.button("Read again" if again else "Read the inside", type="primary", icon=":material/visibility:"):
        run = chosen.path.absolute()
        paths = tuple(Path(probe).absolute() for probe in probes)
        begin(InsideConfig.of(run=run, chain_id=chosen.studied.chain.id, probes=paths, suppression=suppression))
        st.rerun()


def job_here(chosen: Chosen) -> Job | None:
    """The last reading of this chain."""
    run, chain = chosen.path.absolute(), chosen.studied.chain.id
    return next(
        (j for j in list_jobs(root()) if j.kind == "inside" and j.run == run and j.asked["chain_id"] == chain), None
    )


def lens(reading: Reading, texts: list[str], step: int) -> None:
    """What each layer would say, by step."""
    names = [f"layer {i}" for i in range(len(reading.lens_kl))]
    st.caption("Logit lens: KL(model ‖ layer) of the next token, mean over a step's tokens. Pale: the layer knows.")
    figure = heat_map(reading.lens_kl, names, unit="nats", told="logit lens by layer and step", marked=step, tips=texts)
    show_figure(figure, "lens-kl")
    st.caption("Share of a step's tokens whose likeliest next token is the model's already.")
    shares = heat_map(
        reading.lens_agrees, names, unit="of 1", told="readable tokens", largest=1.0, marked=step, tips=texts
    )
    show_figure(shares, "lens-readable")


def attention(reading: Reading, texts: list[str], step: int) -> None:
    """Arcs between steps, of all heads or of one receiver head."""
    heads = ["all heads", *(f"layer {head.layer}, head {head.head}" for head in reading.heads)]
    chosen = st.selectbox("Attention of", heads, help="receiver heads: those whose attention falls on few steps")
    matrix = reading.attention if chosen == heads[0] else reading.heads[heads.index(chosen) - 1].attention
    st.caption("Mean attention from the tokens of a later step to those of an earlier one; orange: the selected step.")
    show_figure(arcs(matrix, step=step, most=ARCS, told=f"attention between steps, {chosen}", tips=texts), "attention")
    if reading.heads_reason:
        place_holder(f"Receiver heads are not told here: {reading.heads_reason}.")
        return
    st.caption(
        f"Receiver heads: kurtosis, over steps, of the attention that a step gets from {reading.min_distance} or more "
        "steps behind it. One chain is little: take several before you name a head."
    )
    rows = [[max(0.0, value) for value in row] for row in reading.kurtosis]
    names = [f"layer {i}" for i in range(len(rows))]
    show_figure(heat_map(rows, names, unit="", told="kurtosis by layer and head", across="head"), "receiver-heads")


def probes(reading: Reading, texts: list[str], step: int) -> None:
    """Saved probes along the chain."""
    if not reading.probes:
        place_holder("No probe was read. Make some with `cotlab probe RUN --label … --save FOLDER`, then read again.")
        return
    lines = [(f"{probe.label}, {probe.hook}", probe.probability) for probe in reading.probes]
    st.caption(
        "P(label) at the last token of each step, as each probe says it. How far to trust one: `cotlab probe` "
        "judges it on unseen problems."
    )
    show_figure(step_curve(lines, marked=step, told="probes along the chain", tips=texts), "probes")


def suppression(reading: Reading, texts: list[str], step: int) -> None:
    """What later steps lose when one is hidden."""
    if not reading.suppression:
        place_holder("Not read yet: tick “Also hide each step from those behind it” above, and read again.")
        return
    st.caption("Row i, column j: KL of step j's tokens when step i is hidden from all behind it.")
    names = [f"step {i}" for i in range(len(reading.suppression))]
    figure = heat_map(reading.suppression, names, unit="nats", told="loss of later steps", marked=step, tips=texts)
    show_figure(figure, "suppression")


def page() -> None:
    """The page."""
    chosen = choose()
    if chosen is None:
        return
    if chosen.place.run == SAMPLE:
        place_holder("The sample that ships with the app is not written to. Take a copy of it, and read that.")
        if st.button("Copy the sample into your runs", icon=":material/content_copy:"):
            at = here()
            go(run=take_sample(), chain=at.chain, step=at.step)
            st.rerun()
        return
    job, steps = job_here(chosen), chosen.studied.chain.steps
    try:
        reading = read_reading(chosen.path, chosen.studied.chain)
        with st.expander("What is read", expanded=reading is None):
            if job is None or not job.running:
                ask(chosen, reading is not None)
        if job is not None and (job.running or job.progress().state != "done"):
            show_job(job)
    except UserError as error:
        fault(error)
        return
    if reading is None:
        place_holder("Nothing of this chain was read yet. “Read the inside” above runs the model over it once.")
        return
    shown(reading, [one.text for one in steps], chosen)


def shown(reading: Reading, texts: list[str], chosen: Chosen) -> None:
    """A reading, and the step that is looked at."""
    index = step_index(chosen.studied, chosen.place.step)
    now = chosen.studied.kept(index) if index >= 0 else 0
    step = st.slider("Step", 0, len(texts) - 1, now, key=f"step-{now}") if len(texts) > 1 else 0
    if step != now:
        go(step=step)
    say(block(texts[step]), line(f"Read of {reading.model}.", soft=True))
    views: dict[str, Any] = {"Lens": lens, "Attention": attention, "Probes": probes, "Hidden steps": suppression}
    for tab, show in zip(st.tabs(list(views)), views.values(), strict=True):
        with tab:
            show(reading, texts, step)


st.title("Inside", anchor=False)
page()

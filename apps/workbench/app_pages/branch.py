"""More rollouts from the selected step, seen as they come; then what they say against those that were there."""

from __future__ import annotations

import streamlit as st
from parts.chosen import Chosen, choose
from parts.html import bars, block, estimate, fault, line, numbers, place_holder, say
from parts.library import SAMPLE, root, take_sample
from parts.picked import step_index
from parts.place import go, here
from parts.study import Studied
from parts.work import begin, show_job

from cotlab.errors import UserError
from cotlab.measures import step_effect
from cotlab.runs import Run
from cotlab.sampling import BranchConfig, Job, list_jobs
from cotlab.trees import ConditionIds, Draws, chain_draws, value

BEFORE = "drawn-before"


def form(chosen: Chosen, step: int) -> None:
    """What to draw."""
    studied, condition = chosen.studied, chosen.studied.condition
    if condition is None:
        place_holder("This chain has no rollouts to go on from. Start a study of it on “New study”.")
        return
    with Run.open(chosen.path) as run:
        settings, card = run.settings()[condition.settings_id], run.engine_cards()[condition.engine_card_id]
        prefix_id = studied.chain.prefix(studied.kept(step)).id
        n_there = len(
            chain_draws(run, studied.chain, scorer_id=studied.scorer_id, condition=condition, pooled=False)[
                studied.kept(step)
            ]
        )
    columns = st.columns([1, 1, 2], vertical_alignment="bottom")
    more = columns[0].number_input("Rollouts to draw", 1, 100_000, 40)
    temperature = columns[1].number_input("Temperature", 0.01, 10.0, float(settings.temperature), step=0.1)
    same = abs(temperature - settings.temperature) < 1e-9
    if columns[2].button("Draw", type="primary", icon=":material/play_arrow:"):
        config = BranchConfig.of(
            run=chosen.path.absolute(),
            prefix_id=prefix_id,
            n=int(more) + (n_there if same else 0),
            settings_id=condition.settings_id,
            engine_card_id=condition.engine_card_id,
            temperature=None if same else temperature,
            scorer=_scorer(studied),
        )
        begin(config)
        st.rerun()
    how = (
        f"They join the {n_there} rollouts that begin here."
        if same
        else "Another temperature makes a condition of its own, compared below with the one that is there."
    )
    say(line(f"On {card.engine}, the engine of the run ({card.model}). {how}", soft=True))


def _scorer(studied: Studied) -> str:
    """The name by which it is loaded: `answers/1` is version 1 of `answers`."""
    name, _, version = studied.scorer_id.rpartition("/")
    return name if version.isdigit() and name else studied.scorer_id


def job_here(chosen: Chosen, prefix_id: str) -> Job | None:
    """The last job that drew from this prefix."""
    wanted = chosen.path.absolute()
    return next(
        (j for j in list_jobs(root()) if j.kind == "branch" and j.run == wanted and j.asked["prefix_id"] == prefix_id),
        None,
    )


def results(chosen: Chosen, step: int, job: Job) -> None:
    """What has been drawn here, against the baseline."""
    studied, condition = chosen.studied, chosen.studied.condition
    kept = studied.kept(step)
    result = job.progress().result
    with Run.open(chosen.path) as run:
        if condition is None:
            return
        base = chain_draws(run, studied.chain, scorer_id=studied.scorer_id, condition=condition)[kept]
        other = base
        if result.get("settings_id") and result["settings_id"] != condition.settings_id:
            drawn = ConditionIds(result["settings_id"], result["engine_card_id"])
            other = chain_draws(run, studied.chain, scorer_id=studied.scorer_id, condition=drawn)[kept]
    st.subheader("What came of it", anchor=False)
    if other is base:
        say(numbers({"V before this step, now": value(base).estimate, "answers told apart": str(len(base.answers()))}))
        say(bars(base.answers()))
        say(line("Importance and alternatives on “Chain” count the new rollouts already.", soft=True))
        return
    _against(base, other)


def _against(base: Draws, other: Draws) -> None:
    effect = step_effect(base, other)
    say(numbers({"as it was": value(base).estimate, "at the new temperature": value(other).estimate}))
    say(line(f"Effect: {estimate(effect, signed=True)}"))
    left, right = st.columns(2)
    with left:
        say(line("as it was", soft=True), bars(base.answers()))
    with right:
        say(line("at the new temperature", soft=True), bars(other.answers(), second=True))


@st.fragment(run_every=1.5)
def newest(chosen: Chosen, prefix_id: str, alive: bool) -> None:
    """The last rollouts from here, as they are stored."""
    with Run.open(chosen.path) as run:
        rows = list(run.rollouts(prefix_id=prefix_id, bodies=False))
        shown = [run.rollout(row.id) for row in rows[-5:]]
    say(
        line(f"{len(rows):,} rollouts begin here; the newest:", soft=True),
        *(block(one.text) for one in reversed(shown)),
    )


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
    prefix_id = studied.chain.prefix(studied.kept(step)).id
    before = "".join(part.text for part in studied.chain.steps[: studied.kept(step)])
    st.subheader(f"Branch before step {one.idx}", anchor=False)
    say(
        line("Kept, then (in this chain) the step that is drawn anew:", soft=True), block(one.text, kept=before[-1500:])
    )
    if chosen.place.run == SAMPLE:
        place_holder("The sample that ships with the app is not written to. Take a copy of it, and branch there.")
        if st.button("Copy the sample into your runs", icon=":material/content_copy:"):
            at = here()
            go(run=take_sample(), chain=at.chain, step=at.step)
            st.rerun()
        return
    job = job_here(chosen, prefix_id)
    if job is not None:
        show_job(job)
    if job is None or not job.alive():
        try:
            form(chosen, step)
        except UserError as error:
            fault(error)
    if job is not None and job.progress().state == "done":
        results(chosen, step, job)
    if job is not None:
        newest(chosen, prefix_id, job.alive())


st.title("Branch", anchor=False)
page()

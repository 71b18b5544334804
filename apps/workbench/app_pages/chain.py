"""A chain and its tree, linked both ways; below, what is selected."""

from __future__ import annotations

import streamlit as st
from components import chain_view
from parts.chain_images import show_images, show_images_at
from parts.chosen import Chosen, choose, conditions_of, plain
from parts.exports import show_exports
from parts.html import bars, block, fault, line, numbers, place_holder, question_line, say
from parts.library import run_path, stamp
from parts.metrics import METRICS, metric_of, offered
from parts.notes import show_notes
from parts.picked import Picked, pick, step_index
from parts.place import Place, go, here
from parts.rollouts import show_rollouts
from parts.searching import show_search
from parts.study import AT_STEP, EVERYTHING
from parts.token_chain import show_token_chain
from parts.view import view_bytes
from streamlit.delta_generator import DeltaGenerator

from cotlab.errors import UserError
from cotlab.stats import Estimate

DEPTHS = {"": "1 step", "2": "2 steps", "4": "4 steps", "all": "whole rollouts"}


def controls(columns: list[DeltaGenerator], place: Place) -> None:
    """Metric and depth of the tree."""
    keys = offered(run_path(place.run))
    metric = columns[0].selectbox(
        "Colour strength",
        keys,
        index=keys.index(place.metric) if place.metric in keys else 0,
        format_func=lambda key: METRICS[key].name if key else "default",
        help=metric_of(place.metric).told,
        key=f"metric-{place.metric}",
    )
    depth = columns[1].selectbox(
        "Tree shows",
        list(DEPTHS),
        index=list(DEPTHS).index(place.depth) if place.depth in DEPTHS else 0,
        format_func=lambda key: DEPTHS[key],
        key=f"depth-{place.depth}",
        help="how much of each rollout after it has left the chain",
    )
    if (metric, depth) != (place.metric, place.depth):
        go(metric=metric, depth=depth, grown="" if depth != place.depth else place.grown)
        st.rerun()


def question(chosen: Chosen) -> None:
    """What was asked and answered; under which condition, where there are several."""
    report, place = chosen.studied.report, chosen.place
    gold = f"gold answer {report.gold_answer}" if report.gold_answer is not None else "no gold answer"
    known = conditions_of(chosen.path, stamp(chosen.path), place.chain)
    left, right = st.columns([2.2, 1]) if len(known) > 1 else (st.container(), st.container())
    with left:
        say(
            question_line(report.question, f"{gold}; this chain answers {report.answer or 'nothing'}: {report.outcome}")
        )
    if len(known) > 1:
        now = place.condition if place.condition in known else next(iter(known))
        condition = right.selectbox(
            "Condition", list(known), index=list(known).index(now), format_func=known.get, key=f"condition-{now}"
        )
        if condition != now:
            go(condition=condition, grown="")
            st.rerun()


@st.fragment
def view(chosen: Chosen) -> None:
    """The component, and the selection under it; a click runs only this."""
    studied = chosen.studied
    base = st.session_state.setdefault("shown-at", {})
    place, key = here(), (*chosen.key, chosen.place.metric)
    # The component moves by itself; it is told a place only where the place was not set by it.
    if base.get("key") != key or base.get("came") != place:
        base.update(key=key, sent=place, came=place)
    sent: Place = base["sent"]
    data = view_bytes(studied, key, chosen.place.metric, step_index(studied, sent.step), sent.branch)

    def selected() -> None:
        found = st.session_state[f"view-{studied.chain.id}"].get("selected")
        if found and found.get("chain") == studied.chain.id:
            base["came"] = _follow(chosen, found)

    chain_view(data, key=f"view-{studied.chain.id}", on_selected=selected)
    detail(chosen, pick(studied, here()))


def _follow(chosen: Chosen, found: dict[str, int]) -> Place:
    """Write what was clicked into the address."""
    studied, step, node = chosen.studied, int(found["step"]), int(found["node"])
    steps = studied.report.steps
    idx = steps[step].idx if 0 <= step < len(steps) else None
    beside = studied.n_spine <= node < len(studied.ids)
    return go(step=idx, branch=studied.ids[node] if beside else "", grown=chosen.place.grown)


def detail(chosen: Chosen, picked: Picked | None) -> None:
    """What is selected, in full."""
    if picked is None:
        place_holder(
            "Click a step, a point of the curve or a node of the tree, or press j. "
            "Here stand its rollouts, answers and notes."
        )
        return
    place = here()
    key = f"{picked.subject[:24]}-{place.branch[:12]}"
    left, right = st.columns([1, 1.35], gap="medium")
    with left:
        told(chosen, place, picked)
        actions(place, picked)
        rest(place, picked)
    with right:
        rollouts, answers, notes, export = st.tabs(["Rollouts", "Answers", "Notes", "Export"])
        with rollouts:
            show_rollouts(picked, key, place.rollout)
        with answers:
            outcomes: dict[str, int] = {outcome: n for outcome, n in picked.draws.outcome_counts().items() if n}
            say(bars(picked.draws.answers()), line(""), bars(outcomes))
        with notes:
            show_notes(chosen.path, place.run, picked.subject, key)
        with export:
            show_exports(chosen, picked)


def told(chosen: Chosen, place: Place, picked: Picked) -> None:
    """The selection in words and numbers, and images that are shown there alone."""
    step = picked.studied.report.steps[picked.step]
    n = f"{len(picked.members):,} that keep {picked.kept} step{'s' * (picked.kept != 1)}"
    rows: dict[str, str | Estimate]
    if picked.changed:
        st.subheader(f"Changed at step {step.idx}", anchor=False)
        rows = {"value here": picked.value, "rollouts": f"{len(picked.members):,} after this change"}
        say(block("".join(picked.texts)), numbers(rows))
        show_images_at(chosen, {place.branch: ""})
        return
    if picked.texts:
        st.subheader(f"Branch at step {step.idx}", anchor=False)
        rows = {"value here": picked.value, "rollouts": f"{n} and then say this, in these words or others"}
        say(block("".join(picked.texts)), numbers(rows))
        return
    st.subheader(f"Step {step.idx}", anchor=False)
    rows = {"V before": step.value_before, "V after": step.value_after, "ΔV": step.importance, "rollouts": n}
    say(block(step.text), numbers(rows, signed=("ΔV",)))


def actions(place: Place, picked: Picked) -> None:
    """Where to go from here."""
    one, two, three = st.columns(3)
    if one.button(
        "Branch here", icon=":material/fork_right:", width="stretch", help="draw more rollouts from this point"
    ):
        st.switch_page("app_pages/branch.py", query_params=place.to_params())
    if two.button(
        "Compare",
        icon=":material/compare_arrows:",
        width="stretch",
        help="a branch with the chain's own step, a step with its not being said; either side can be changed there",
    ):
        idx = picked.studied.report.steps[picked.step].idx
        after = picked.studied.ends(picked.step)
        mine = f"{place.run}|{place.chain}|{idx if place.branch else after}|{place.branch}"
        go(step=after if place.branch else idx, branch="", other=mine)
        st.switch_page("app_pages/compare.py", query_params=here().to_params())
    if place.branch and three.button(
        "Grow branch", icon=":material/park:", width="stretch", help="show this branch to the end of its rollouts"
    ):
        go(grown=place.branch)
        st.rerun(scope="app")


def rest(place: Place, picked: Picked) -> None:
    """Branches that the tree does not show yet."""
    left_out, kept = picked.studied.tree.graph["left_out"], picked.studied.kept(picked.step)
    if not left_out or place.grown == EVERYTHING:
        return
    st.caption(f"The tree shows the branches that most rollouts take; {left_out:,} rarer ones are not drawn.")
    one, two = st.columns(2)
    if place.grown != f"{AT_STEP}{kept}" and one.button(
        "All branches at this step", icon=":material/unfold_more:", width="stretch"
    ):
        go(grown=f"{AT_STEP}{kept}")
        st.rerun(scope="app")
    if two.button(
        "Whole tree", icon=":material/account_tree:", width="stretch", help="takes a while where it is large"
    ):
        go(grown=EVERYTHING)
        st.rerun(scope="app")


def page(chosen: Chosen) -> None:
    """The page of a chain."""
    question(chosen)
    show_images(chosen)
    origin = chosen.studied.origin
    guessed = "Nobody has labelled these steps: categories are guesses of the model that ships (`cotlab.categories`)."
    for note in (*chosen.studied.report.notes, origin.imported, guessed if origin.guessed else ""):
        if note:
            st.caption(f":material/info: {plain(note, 400)}")
    view(chosen)
    show_search(chosen)


found = choose(extra=controls, tokens=show_token_chain)
if found is not None:
    try:
        page(found)
    except UserError as error:  # what was read before is kept, and its files may be lost meanwhile
        fault(error)

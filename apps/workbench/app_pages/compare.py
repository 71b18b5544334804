"""Two places side by side: two prefixes, two branches, two runs. Where they part, how they end, and the effect."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace

import streamlit as st
from markupsafe import Markup
from parts.chosen import Chosen, open_chain
from parts.html import bars, estimate, fault, line, numbers, place_holder, say
from parts.library import SAMPLE, fresh, names
from parts.picked import Picked, pick
from parts.place import Place, go, here
from parts.rollouts import show_rollouts
from parts.study import chains_of

from cotlab.errors import UserError
from cotlab.measures import step_effect
from cotlab.reports.svg import element
from cotlab.reports.text import clip, one_line, readable

LONGEST = 6_000


def other_place(place: Place) -> Place:
    """The second side, as the address has it."""
    if not place.other:  # the same chain with the step kept that is selected: what the step does
        return replace(place, step=(place.step or 0) + 1, branch="")
    parts = (place.other.split("|") + ["", "", "", ""])[:4]
    step = int(parts[2]) if parts[2].isdecimal() and len(parts[2]) < 9 else None
    return Place(run=parts[0], chain=parts[1], step=step, branch=parts[3], scorer=place.scorer, depth=place.depth)


def side(place: Place, label: str) -> Place:
    """Boxes that choose one side; returns what they say."""
    known = names()
    boxes = st.columns([1, 1.5, 0.8])
    run = boxes[0].selectbox(
        f"{label}: run",
        known,
        index=known.index(place.run) if place.run in known else 0,
        format_func=lambda n: "sample" if n == SAMPLE else n,
        key=f"{label}-run-{place.run}",
    )
    chains = chains_of(*fresh(run))
    if not chains:
        raise UserError(f"{run} has no chain yet. Choose another run")
    ids = [one[0] for one in chains]
    told = {one[0]: f"{one[2] or one[1]} · {one[3]} · {one[4]} steps" for one in chains}
    chain = boxes[1].selectbox(
        f"{label}: chain",
        ids,
        index=ids.index(place.chain) if place.chain in ids else 0,
        format_func=lambda c: one_line(told[c], 80),
        key=f"{label}-chain-{run}-{place.chain}",
    )
    last = next(one[4] for one in chains if one[0] == chain)
    step = place.step if place.chain in (chain, "") and place.step is not None else 0
    kept = boxes[2].number_input(
        "steps kept", 0, max(0, last - 1), min(step, max(0, last - 1)), key=f"{label}-step-{run}-{chain}-{step}"
    )
    same = (place.run, place.chain, place.step or 0) == (run, chain, int(kept))
    return replace(place, run=run, chain=chain, step=int(kept), branch=place.branch if same else "")


def difference(a: str, b: str) -> tuple[Markup, Markup]:
    """Both texts, what they share first in grey, then word by word with what only one of them has marked."""
    left, right = (re.findall(r"\S+\s*|\s+", readable(clip(text, LONGEST))) for text in (a, b))
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    sides: tuple[list[Markup], list[Markup]] = ([], [])
    forked = False
    for kind, a0, a1, b0, b1 in matcher.get_opcodes():
        forked = forked or kind != "equal"
        for found, words in ((sides[0], left[a0:a1]), (sides[1], right[b0:b1])):
            text = "".join(words)
            found.append(
                element("span", text, class_=None if forked else "soft") if kind == "equal" else element("mark", text)
            )
    return tuple(element("div", *found, class_="t box", dir="auto") for found in sides)  # type: ignore[return-value]


def said(picked: Picked) -> str:
    """What a side says: the steps that it keeps, then its own; a bare prefix also shows the step that comes next."""
    return picked.kept_text() + "".join(picked.texts)


def show(sides: list[tuple[Chosen, Picked]]) -> None:
    """Text, values, effect, answers, rollouts."""
    (a, first), (b, second) = sides
    texts = difference(said(first), said(second))
    columns = st.columns(2)
    for column, label, picked, text in zip(columns, "AB", (first, second), texts, strict=True):
        with column:
            say(
                line(f"{label}: {picked.name}", soft=True),
                text,
                numbers({"value": picked.value, "rollouts": f"{len(picked.members):,}"}),
            )
    same_question = a.studied.problem.id == b.studied.problem.id
    if same_question:
        effect = step_effect(first.draws, second.draws)
        st.subheader("Effect, value of B minus value of A", anchor=False)
        say(line(estimate(effect, signed=True)))
        shared = len(set(first.draws.rollout_ids) & set(second.draws.rollout_ids))
        if shared:
            say(
                line(
                    f"{shared:,} rollouts are on both sides; interval and null floor take that into account.", soft=True
                )
            )
    else:
        place_holder(
            "The two sides are of different problems: their values are shown, but their difference would say "
            "nothing. Choose the same problem on both sides."
        )
    columns = st.columns(2)
    for column, label, picked in zip(columns, "AB", (first, second), strict=True):
        with column:
            say(line(f"{label}: answers", soft=True), bars(picked.draws.answers(), second=label == "B"))
    columns = st.columns(2)
    for column, label, picked in zip(columns, "AB", (first, second), strict=True):
        with column:
            show_rollouts(picked, f"compare-{label}-{picked.subject[:16]}")


def page() -> None:
    """The page."""
    if not names():
        place_holder("There is no run yet. Open “New study” above and start one.")
        return
    place = here()
    wanted = [place, other_place(place)]
    columns = st.columns(2)
    chosen: list[Place] = []
    for column, label, one in zip(columns, "AB", wanted, strict=True):
        with column:
            chosen.append(side(one if one.run else replace(place, branch=""), label))
    first, second = chosen
    go(
        run=first.run,
        chain=first.chain,
        step=first.step,
        branch=first.branch,
        other=f"{second.run}|{second.chain}|{second.step}|{second.branch}",
    )
    if columns[0].button("Swap", icon=":material/swap_horiz:"):
        go(
            run=second.run,
            chain=second.chain,
            step=second.step,
            branch=second.branch,
            other=f"{first.run}|{first.chain}|{first.step}|{first.branch}",
        )
        st.rerun()
    opened = [open_chain(one, *fresh(one.run)) for one in chosen]
    picked = [pick(one.studied, one.place) for one in opened]
    if None in picked:
        place_holder("One side has no steps. Choose another chain.")
        return
    show([(one, it) for one, it in zip(opened, picked, strict=True) if it is not None])


st.title("Compare", anchor=False)
try:
    page()
except UserError as error:
    fault(error)
    place_holder("Choose another run or chain above.")

"""The bar on top of a page: which run, which chain, under which condition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from components import chain_view
from streamlit.delta_generator import DeltaGenerator

from cotlab.errors import UserError
from cotlab.reports.text import one_line
from cotlab.runs import Run
from cotlab.sampling import ARMS_STUDY, VIEWS_STUDY
from cotlab.trees import ConditionIds
from cotlab.trees import conditions_of as found_conditions
from parts.html import fault, place_holder
from parts.library import SAMPLE, fresh, names
from parts.place import Place, go, here
from parts.study import Studied, TokenSteps, chains_of, study
from parts.view import first_bytes

__all__ = ["Chosen", "choose", "depth_of", "open_chain", "plain"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the page is about."""

    place: Place
    path: Path
    studied: Studied
    key: tuple[object, ...]
    """What `studied` was read from."""


def plain(text: str, longest: int = 80) -> str:
    """Text for a label of Streamlit, which reads Markdown: nothing of it is a mark there."""
    shown = one_line(text, longest)
    return "".join(f"\\{c}" if c in r"\`*_{}[]()<>#+-.!|~$:^=" else c for c in shown)


def depth_of(place: Place) -> int | None:
    """How many steps of each rollout the tree has."""
    if place.depth == "all":
        return None
    return int(place.depth) if place.depth.isdecimal() and 0 < int(place.depth) < 100 else 1


def choose(
    *,
    extra: Callable[[list[DeltaGenerator], Place], None] | None = None,
    tokens: Callable[[Place, Path, tuple[int, ...]], None] | None = None,
) -> Chosen | None:
    """Draw the bar and read what it says; None where there is nothing to show yet (the page then says why).

    `extra` fills two more columns of the bar; `tokens` shows a chain whose steps are tokens.
    """
    place, known = here(), names()
    if not known:
        place_holder("There is no run yet. Open “New study” above and start one.")
        return None
    if place.run not in known and place.run:
        try:
            fresh(place.run)
        except UserError as error:
            fault(error)
            place_holder("Choose a run on the page “Runs”.")
            return None
    if not place.run:
        place = go(run=known[0])
    columns = st.columns([1.1, 2.2, 0.9, 0.9] if extra else [1, 3], vertical_alignment="bottom")
    left, right = columns[:2]
    run = left.selectbox(
        "Run",
        known,
        index=known.index(place.run),
        format_func=lambda n: "sample" if n == SAMPLE else n,
        key=f"run-{place.run}",
    )
    if run != place.run:
        place = go(run=run)
    try:
        if extra:
            extra(columns[2:], place)
        return _chain(place, right)
    except TokenSteps as error:
        if tokens is None:
            fault(error)
            place_holder("Choose another chain, or see this one's outcome curve on “Chain”.")
        else:
            tokens(here(), *fresh(here().run))
        return None
    except UserError as error:
        fault(error)
        place_holder("Choose another run, or see on “Runs” what is wrong with this one.")
        return None


def _chainless(path: Path) -> str:
    """Why a run has no chain, and where to go."""
    with Run.open(path) as run:
        if {study.spec.get("kind") for study in run.studies()} & {ARMS_STUDY, VIEWS_STUDY}:
            return "This run holds answers to questions and no chain. “Report” on “Runs” tells what came of them."
    return "This run has no chain yet. It is being sampled, or start a study into it on “New study”."


def _chain(place: Place, column: DeltaGenerator) -> Chosen | None:
    path, at = fresh(place.run)
    chains = chains_of(path, at)
    if not chains:
        place_holder(_chainless(path))
        return None
    ids = [one[0] for one in chains]
    if place.chain not in ids:
        wanted = next((one[0] for one in chains if place.problem and place.problem in one[1:3]), ids[0])
        place = go(chain=wanted) if place.chain else go_first(place, wanted)
    named = {one[0]: f"{one[2] or one[1]} · {one[3]} · {one[4]} steps" for one in chains}
    told = column.selectbox(
        "Chain",
        ids,
        index=ids.index(place.chain),
        format_func=lambda c: one_line(named[c], 120),
        key=f"chain-{place.chain}",
    )
    if told != place.chain:
        place = go(chain=told)
    with early(place, path, at):
        return open_chain(place, path, at)


@contextmanager
def early(place: Place, path: Path, at: tuple[int, ...]) -> Iterator[None]:
    """Show the chain of a large run while its rollouts are read for the first time."""
    seen: set[tuple[object, ...]] = st.session_state.setdefault("read", set())
    mark = (path, at, place.chain, place.depth)
    data = None if mark in seen else first_bytes(path, at, place.chain)
    if data is None:
        yield
        return
    spot = st.empty()
    with spot.container():
        chain_view(data, key="early", on_selected=lambda: None)
    try:
        yield
    finally:
        spot.empty()
    seen.add(mark)


def go_first(place: Place, chain: str) -> Place:
    """The first chain of a run, where the address names none: what it says of the step holds."""
    return go(chain=chain, step=place.step, branch=place.branch, condition=place.condition, grown=place.grown)


def open_chain(place: Place, path: Path, at: tuple[int, ...]) -> Chosen:
    """Read the chain of a place.

    Raises:
        UserError: What `study` raises.
    """
    key = (path, at, place.chain, place.scorer, _condition(place), depth_of(place), place.grown)
    return Chosen(place, path, study(*key), key)


def _condition(place: Place) -> ConditionIds | None:
    settings, plus, card = place.condition.partition("+")
    return ConditionIds(settings, card) if plus else None


@st.cache_data(max_entries=50, show_spinner=False)
def conditions_of(path: Path, at: tuple[int, ...], chain_id: str) -> dict[str, str]:
    """Conditions of a chain's rollouts, most rollouts first: `settings+card` and what a person calls it."""
    with Run.open(path) as run:
        chain = next(one for one in run.chains() if one.id == chain_id)
        settings, cards, found = run.settings(), run.engine_cards(), found_conditions(run, chain)
        return {
            f"{one.settings_id}+{one.engine_card_id}": f"{cards[one.engine_card_id].engine}, temperature "
            f"{settings[one.settings_id].temperature:g}, top-p {settings[one.settings_id].top_p:g} · {n:,} rollouts"
            for one, n in sorted(found.items(), key=lambda item: -item[1])
        }

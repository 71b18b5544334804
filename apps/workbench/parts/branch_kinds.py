"""The ways to branch at a step: for each kind its form. A further kind is a function here and a row in `KINDS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from cotlab import Chain
from cotlab.errors import UserError
from cotlab.interventions import AddToPrompt, DeleteStep, Edit, ForceAnswer, InsertText, ReplaceStep
from cotlab.runs import Run
from cotlab.sampling import (
    BranchConfig,
    EditConfig,
    ImageConfig,
    Job,
    filler,
)
from cotlab.trees import chain_draws
from parts.chosen import Chosen
from parts.html import line, place_holder, say
from parts.image_branch import ask_images
from parts.inside_ways import feature, go, steer, suppress
from parts.study import Studied

__all__ = ["KINDS", "BranchKind", "anchor_of"]


@dataclass(frozen=True, slots=True)
class BranchKind:
    """A way to branch."""

    name: str
    told: str
    """What it does, in one sentence."""
    jobs: str
    """Kind of the jobs that carry it out."""
    form: Callable[[Chosen, int], Any | None]
    """Draws the form at a step of the report; a request once “Draw” is pressed.

    Raises:
        UserError: What was filled in cannot be.
    """
    edit: str = ""
    """Kind of the first edit, where it is one."""
    on_images: bool = False
    """Whether it changes images, so that a chain without any has no use for it."""


def anchor_of(job: Job) -> tuple[str, int]:
    """Kind of the edit (empty: none) and step at which a job branches; −1 where that is not told."""
    edits = job.asked.get("edits") or []
    if not edits:
        return "", int(job.asked.get("step", -1))
    first = edits[0]
    return str(first.get("kind")), int(first.get("step", first.get("before", job.asked.get("keep", -1))))


def _rollouts(key: str, default: int = 40) -> int:
    return int(st.number_input("Rollouts of each arm", 5, 100_000, default, key=f"n-{key}"))


def _resample(chosen: Chosen, step: int) -> BranchConfig | None:
    studied, condition = chosen.studied, chosen.studied.condition
    if condition is None:
        place_holder("This chain has no rollouts to go on from. Start a study of it on “New study”.")
        return None
    kept = studied.kept(step)
    with Run.open(chosen.path) as run:
        settings, card = run.settings()[condition.settings_id], run.engine_cards()[condition.engine_card_id]
        own = chain_draws(run, studied.chain, scorer_id=studied.scorer_id, condition=condition, pooled=False)
    n_there = len(own[kept])
    columns = st.columns([1, 1, 2], vertical_alignment="bottom")
    more = columns[0].number_input("Rollouts to draw", 1, 100_000, 40)
    temperature = columns[1].number_input("Temperature", 0.01, 10.0, float(settings.temperature), step=0.1)
    same = abs(temperature - settings.temperature) < 1e-9
    how = (
        f"They join the {n_there} rollouts that begin here."
        if same
        else "Another temperature makes a condition of its own, compared below with the one that is there."
    )
    say(line(f"On {card.engine}, the engine of the run ({card.model}). {how}", soft=True))
    if not go():
        return None
    return BranchConfig.of(
        run=chosen.path.absolute(),
        prefix_id=studied.chain.prefix(kept).id,
        n=int(more) + (n_there if same else 0),
        settings_id=condition.settings_id,
        engine_card_id=condition.engine_card_id,
        temperature=None if same else temperature,
        scorer=_scorer(studied),
    )


def _scorer(studied: Studied) -> str:
    """The name by which it is loaded: `answers/1` is version 1 of `answers`."""
    name, _, version = studied.scorer_id.rpartition("/")
    return name if version.isdigit() and name else studied.scorer_id


def _request(chosen: Chosen, keep: int, edits: list[Edit], control: list[Edit], n: int) -> EditConfig:
    return EditConfig.of(
        run=chosen.path.absolute(),
        chain_id=chosen.studied.chain.id,
        keep=keep,
        edits=[one.to_json() for one in edits],
        control=[one.to_json() for one in control],
        n=n,
    )


def _kept_to(chain: Chain, first: int, default: int, key: str) -> int:
    """Steps of the chain that are kept, the edited one included."""
    last = len(chain.steps)
    if first >= last:
        return last
    return int(
        st.number_input(
            "Steps kept",
            first,
            last,
            min(default, last),
            key=f"keep-{key}",
            help="the edited step and those behind it that stay; the model goes on after them",
        )
    )


def _blank(text: str) -> str:
    """White space that parts a step from the next."""
    return text[len(text.rstrip()) :] or "\n"


def _insert(chosen: Chosen, step: int) -> EditConfig | None:
    chain, at = chosen.studied.chain, chosen.studied.kept(step)
    text = st.text_area("Say this before the step", key=f"insert-{at}", placeholder="Wait, let me check that again.")
    n = _rollouts(f"insert-{at}")
    if not go():
        return None
    said = _wanted(text) + _blank(chain.steps[at].text)
    return _request(chosen, at, [InsertText(at, said)], [InsertText(at, filler(said))], n)


def _replace(chosen: Chosen, step: int) -> EditConfig | None:
    chain, at = chosen.studied.chain, chosen.studied.kept(step)
    text = st.text_area("Say this in its place", chain.steps[at].text.strip(), key=f"replace-{at}")
    left, right = st.columns(2)
    with left:
        n = _rollouts(f"replace-{at}")
    with right:
        keep = _kept_to(chain, at + 1, at + 1, f"replace-{at}")
    if not go():
        return None
    if text.strip() == chain.steps[at].text.strip():
        raise UserError("the text is that of the step: change it first")
    said = _wanted(text) + _blank(chain.steps[at].text)
    return _request(chosen, keep, [ReplaceStep(at, said)], [ReplaceStep(at, filler(said))], n)


def _delete(chosen: Chosen, step: int) -> EditConfig | None:
    chain, at = chosen.studied.chain, chosen.studied.kept(step)
    if at + 1 >= len(chain.steps):
        place_holder("It is the last step: to leave it out is to resample it. Choose “resample”, or an earlier step.")
        return None
    left, right = st.columns(2)
    with left:
        n = _rollouts(f"delete-{at}")
    with right:
        keep = _kept_to(chain, at + 2, at + 2, f"delete-{at}")
    if not go():
        return None
    dots = filler(chain.steps[at].text)
    return _request(chosen, keep, [DeleteStep(at)], [ReplaceStep(at, dots)], n)


def _force(chosen: Chosen, step: int) -> EditConfig | None:
    at = chosen.studied.kept(step)
    text = st.text_area(
        "Ends the thoughts and begins the answer",
        key=f"force-{at}",
        placeholder="left empty: in the words in which the chain itself goes to its answer",
    )
    n = _rollouts(f"force-{at}")
    return _request(chosen, at, [ForceAnswer(text)], [], n) if go() else None


def _hint(chosen: Chosen, step: int) -> EditConfig | None:
    at, question = chosen.studied.kept(step), chosen.studied.problem.question
    text = st.text_area("Put this behind the question", key=f"hint-{at}", placeholder="A friend says it is 12.")
    n = _rollouts(f"hint-{at}")
    if not go():
        return None
    said = _wanted(text)
    said = said if said[:1].isspace() else f" {said}"
    return _request(chosen, at, [AddToPrompt(said, question)], [AddToPrompt(filler(said), question)], n)


def _image(chosen: Chosen, step: int) -> ImageConfig | None:
    at = chosen.studied.kept(step)
    asked = ask_images(chosen)
    if asked is None:
        return None
    n = _rollouts(f"image-{at}")
    if not go():
        return None
    return ImageConfig.of(run=chosen.path.absolute(), chain_id=chosen.studied.chain.id, step=at, n=n, **asked)


def _wanted(text: str) -> str:
    if not text.strip():
        raise UserError("the text is empty: say what is to be put in")
    return text


KINDS: Mapping[str, BranchKind] = {
    "resample": BranchKind("resample", "The step is drawn anew.", "branch", _resample),
    "replace": BranchKind("replace", "The step says something else; then it goes on.", "edit", _replace, "replace"),
    "insert": BranchKind(
        "insert", "Something is said before the step, which is drawn anew.", "edit", _insert, "insert"
    ),
    "delete": BranchKind(
        "delete", "The step is left out and what follows it is kept, up to a point.", "edit", _delete, "delete"
    ),
    "force": BranchKind(
        "force an answer", "The thoughts end here and the answer begins.", "edit", _force, "force-answer"
    ),
    "hint": BranchKind(
        "hint", "Something is added to the question; the chain so far is kept.", "edit", _hint, "prompt"
    ),
    "image": BranchKind(
        "other images", "Another image is shown, or none, or a region of it is hidden.", "image", _image, on_images=True
    ),
    "steer": BranchKind("steer", "A vector is added to the activations from here on.", "steer", steer),
    "feature": BranchKind(
        "set a feature", "A feature of an autoencoder is set from here on; what it misses stays.", "feature", feature
    ),
    "suppress": BranchKind(
        "hide the step", "The step stays, and what follows cannot look back at it.", "suppress", suppress
    ),
}

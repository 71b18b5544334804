"""The ways to branch at a step: for each kind its form. A further kind is a function here and a row in `KINDS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from cotlab import Chain
from cotlab.errors import UserError
from cotlab.interventions import AddToPrompt, DeleteStep, Edit, ForceAnswer, InsertText, ReplaceStep
from cotlab.runs import Run
from cotlab.sampling import (
    BranchConfig,
    EditConfig,
    FeatureConfig,
    ImageConfig,
    Job,
    SteerConfig,
    SuppressConfig,
    filler,
)
from cotlab.trees import chain_draws
from parts.chosen import Chosen
from parts.html import line, place_holder, say
from parts.image_branch import ask_images
from parts.library import root
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


def _go(label: str = "Draw") -> bool:
    return bool(st.button(label, type="primary", icon=":material/play_arrow:"))


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
    if not _go():
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
    if not _go():
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
    if not _go():
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
    if not _go():
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
    return _request(chosen, at, [ForceAnswer(text)], [], n) if _go() else None


def _hint(chosen: Chosen, step: int) -> EditConfig | None:
    at, question = chosen.studied.kept(step), chosen.studied.problem.question
    text = st.text_area("Put this behind the question", key=f"hint-{at}", placeholder="A friend says it is 12.")
    n = _rollouts(f"hint-{at}")
    if not _go():
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
    if not _go():
        return None
    return ImageConfig.of(run=chosen.path.absolute(), chain_id=chosen.studied.chain.id, step=at, n=n, **asked)


def _wanted(text: str) -> str:
    if not text.strip():
        raise UserError("the text is empty: say what is to be put in")
    return text


def vectors() -> list[str]:
    """Steering vectors under the folder of runs."""
    found = [*root().glob("*.safetensors"), *root().glob("*/*.safetensors"), *root().glob("*.gguf")]
    found += root().glob("*/*.gguf")
    return sorted(str(path) for path in found if path.is_file())


def _steer(chosen: Chosen, step: int) -> Any | None:
    from cotlab.interventions.where import PARTS

    at, known = chosen.studied.kept(step), vectors()
    vector = st.selectbox(
        "Vector",
        known,
        accept_new_options=True,
        key=f"vector-{at}",
        placeholder="a .safetensors or .gguf file",
        help="made by `cotlab steer vector --out FILE`; its layer is in the file. Or type the path of another",
    )
    one, two, three, four = st.columns(4)
    dose = one.number_input("Dose", -10.0, 10.0, 0.2, step=0.05, key=f"dose-{at}", help="α‖v‖ / mean‖h‖")
    part = two.selectbox("Where", [p for p in PARTS if p != "last"], index=4, key=f"where-{at}")
    n = int(three.number_input("Rollouts of each arm", 5, 100_000, 40, key=f"n-steer-{at}"))
    random = int(four.number_input("Random vectors", 0, 200, 2, key=f"random-{at}", help="norm-matched controls"))
    if not _go():
        return None
    if not vector:
        raise UserError("no vector is chosen: make one with `cotlab steer vector --out runs/backtracking.safetensors`")
    with Run.open(chosen.path) as run:
        condition = chosen.studied.condition
        engine = run.engine_cards()[condition.engine_card_id].engine if condition else "auto"
    return SteerConfig.of(
        run=chosen.path.absolute(),
        chain_id=chosen.studied.chain.id,
        step=at,
        vector=Path(vector).absolute(),
        doses=(float(dose),),
        part=part,
        n=n,
        n_random=random,
        engine=engine,
    )


def _suppress(chosen: Chosen, step: int) -> Any | None:
    chain, at = chosen.studied.chain, chosen.studied.kept(step)
    last, condition = len(chain.steps), chosen.studied.condition
    say(line(f"Step {at} stays where it is, but tokens behind it cannot attend to it. On the transformers engine."))
    one, two, three = st.columns(3)
    keep = int(one.number_input("Steps kept", at + 1, last, at + 1, key=f"keep-hide-{at}", help=_KEPT))
    begins = int(
        two.number_input(
            "Hidden from step", at + 1, keep, at + 1, key=f"from-{at}-{keep}", help="steps before it still see it"
        )
    )
    heads = three.text_input("Layers and heads", key=f"heads-{at}", placeholder="all; or 2, 3.1", help=_HEADS)
    four, five, six = st.columns(3)
    n = int(four.number_input("Rollouts of each arm", 5, 100_000, 40, key=f"n-hide-{at}"))
    most = max(0, min(begins, keep) - 1)
    others = int(five.number_input("Other steps hidden", 0, 200, min(2, most), key=f"others-{at}-{most}", help=_OTHERS))
    with Run.open(chosen.path) as run:
        now = run.settings()[condition.settings_id].temperature if condition else 1.0
    temperature = float(six.number_input("Temperature", 0.01, 10.0, float(now or 1.0), step=0.1, key=f"hot-{at}"))
    if not _go():
        return None
    return SuppressConfig.of(
        run=chosen.path.absolute(),
        chain_id=chain.id,
        step=at,
        kept=keep,
        blind_from=None if begins == at + 1 else begins,
        heads=tuple(name.strip() for name in heads.split(",") if name.strip()),
        n=n,
        n_controls=others,
        temperature=temperature,
    )


_KEPT = "the hidden step and those behind it that stay as they are; the model goes on after them"
_HEADS = "2 is layer 2, 3.1 is head 1 of layer 3, both counted from 0; “Inside” names receiver heads"
_OTHERS = "controls: other kept steps, nearest in length, hidden in the same way"


def _feature(chosen: Chosen, step: int) -> Any | None:
    from cotlab.interventions.where import PARTS

    at = chosen.studied.kept(step)
    shipped = _SHIPPED_VLM if chosen.studied.chain.images else _SHIPPED
    sae = st.selectbox("Autoencoder", [shipped], accept_new_options=True, key=f"sae-{at}", help=_SAE)
    one, two, three, four = st.columns(4)
    number = int(one.number_input("Feature", 0, 10_000_000, 0, key=f"feature-{at}", help="“Features” shows what it is"))
    action = two.selectbox("Do", ["clamp", "add", "scale", "ablate"], key=f"action-{at}", help=_ACTIONS)
    value = three.number_input("To, by", value=1.0, step=0.5, key=f"value-{at}", disabled=action == "ablate")
    units = four.selectbox(
        "Units", ["its own", "raw", "normalised"], key=f"units-{at}", help="of clamped, added values"
    )
    five, six, seven = st.columns(3)
    part = five.selectbox("Where", [p for p in PARTS if p != "last"], index=4, key=f"where-feature-{at}")
    n = int(six.number_input("Rollouts of each arm", 5, 100_000, 40, key=f"n-feature-{at}"))
    random = int(seven.number_input("Random features", 0, 200, 5, key=f"random-feature-{at}", help=_RANDOM))
    if not _go():
        return None
    with Run.open(chosen.path) as run:
        condition = chosen.studied.condition
        engine = run.engine_cards()[condition.engine_card_id].engine if condition else "auto"
    return FeatureConfig.of(
        run=chosen.path.absolute(),
        chain_id=chosen.studied.chain.id,
        step=at,
        sae=sae or "",
        changes=(f"{number}:ablate" if action == "ablate" else f"{number}:{action}:{value:g}",),
        units=None if units == "its own" else units,
        part=part,
        n=n,
        n_random=random,
        engine=engine,
    )


_SHIPPED = "tiny:honest/resid_post:2"
_SHIPPED_VLM = "tiny-vlm:honest/resid_post:2"
_SAE = "of the run's model: a folder or file, or RELEASE/ID of SAELens's registry; type another name"
_ACTIONS = "clamp: the feature has this activation everywhere; add: this much more; scale: times; ablate: 0"
_RANDOM = "controls: features that fire as often, changed as much; up to two random directions beside the decoder row"

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
    "steer": BranchKind("steer", "A vector is added to the activations from here on.", "steer", _steer),
    "feature": BranchKind(
        "set a feature", "A feature of an autoencoder is set from here on; what it misses stays.", "feature", _feature
    ),
    "suppress": BranchKind(
        "hide the step", "The step stays, and what follows cannot look back at it.", "suppress", _suppress
    ),
}

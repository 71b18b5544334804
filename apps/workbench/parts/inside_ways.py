"""Forms of the ways to branch that change something inside of the model: a vector, a feature, what is attended to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from cotlab.errors import UserError
from cotlab.runs import Run
from cotlab.sampling import FeatureConfig, SteerConfig, SuppressConfig
from parts.chosen import Chosen
from parts.html import line, say
from parts.library import root

__all__ = ["feature", "go", "steer", "suppress", "vectors"]


def go(label: str = "Draw") -> bool:
    """Draw the button that asks; whether it was pressed."""
    return bool(st.button(label, type="primary", icon=":material/play_arrow:"))


def vectors() -> list[str]:
    """Steering vectors under the folder of runs."""
    found = [*root().glob("*.safetensors"), *root().glob("*/*.safetensors"), *root().glob("*.gguf")]
    found += root().glob("*/*.gguf")
    return sorted(str(path) for path in found if path.is_file())


def _engine(chosen: Chosen) -> str:
    """The engine that drew the chosen chain: what is changed is drawn by it too."""
    condition = chosen.studied.condition
    if condition is None:
        return "auto"
    with Run.open(chosen.path) as run:
        return run.engine_cards()[condition.engine_card_id].engine


def steer(chosen: Chosen, step: int) -> Any | None:
    """A vector is added from the step on. A request once it is drawn.

    Raises:
        UserError: What was filled in cannot be.
    """
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
    if not go():
        return None
    if not vector:
        raise UserError("no vector is chosen: make one with `cotlab steer vector --out runs/backtracking.safetensors`")
    return SteerConfig.of(
        run=chosen.path.absolute(),
        chain_id=chosen.studied.chain.id,
        step=at,
        vector=Path(vector).absolute(),
        doses=(float(dose),),
        part=part,
        n=n,
        n_random=random,
        engine=_engine(chosen),
    )


def suppress(chosen: Chosen, step: int) -> Any | None:
    """What follows cannot look back at the step. A request once it is drawn."""
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
    if not go():
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


def feature(chosen: Chosen, step: int) -> Any | None:
    """A feature of an autoencoder is set from the step on. A request once it is drawn."""
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
    if not go():
        return None
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
        engine=_engine(chosen),
    )


_SHIPPED = "tiny:honest/resid_post:2"
_SHIPPED_VLM = "tiny-vlm:honest/resid_post:2"
_SAE = "of the run's model: a folder or file, or RELEASE/ID of SAELens's registry; type another name"
_ACTIONS = "clamp: the feature has this activation everywhere; add: this much more; scale: times; ablate: 0"
_RANDOM = "controls: features that fire as often, changed as much; up to two random directions beside the decoder row"

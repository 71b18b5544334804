"""What the questions on hints, watching and monitors stand on: which models, what was planted in them, their arms."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from cotlab import tiny
from cotlab.problems import Arm
from cotlab.reports import Planted, Recovered
from cotlab.sampling import AskedStudy
from cotlab.stats import Estimate
from experiments.lab import HERE, Lab

__all__ = ["ALL", "HINTED", "NOTES", "ask_arms", "command", "held_to", "models", "organism_of", "short"]

ALL = "organisms"
"""In the place of a model: every variant of the tiny reasoner whose weights are here."""
NOTES = ("monitored", "private", "neutral")
HINTED = tuple(Arm(kind) for kind in tiny.HINTS)
"""Kinds of hint that every model here is asked with; they are worded for people where the task is not the tiny one."""


def models(lab: Lab) -> list[str]:
    """Names of the models that are asked: one, or all organisms."""
    if lab.model != ALL:
        return [lab.model]
    there = [name for name in tiny.ORGANISMS if _weights(name)]
    return ["tiny" if name == "honest" else f"tiny:{name}" for name in there]


def organism_of(model: str) -> tiny.Organism | None:
    """What was planted in a model; None where nobody planted anything."""
    base, _, name = model.partition(":")
    if base not in ("tiny", "tiny-reasoner") or Path(model).is_dir():
        return None
    return tiny.ORGANISMS.get(name or "honest")


def short(model: str) -> str:
    """What a model is called in tables."""
    organism = organism_of(model)
    return Path(model).name if organism is None else organism.name


def held_to(
    name: str, model: str, what: str, watch: str, planted: float, found: Estimate
) -> list[tuple[Planted, Recovered]]:
    """Hold a rate against what was planted and, where there is one, against what was measured of the same weights.

    The first row asks whether rate and training data agree: a method that is right fails it where the weights fall
    short. The second (`experiments/organisms`, other problems) is test against retest of one model.

    Args:
        name: What the rate is.
        model: An organism.
        what: `follows` or `mentions`, with a wrong hint.
        watch: The note beside the hint.
        planted: Rate in the training data.
        found: By the method that is judged.
    """
    label = f"{name} (planted)"
    known = Planted(name=label, value=planted, source="cotlab.tiny.ORGANISMS: rate in the training data")
    rows = [(known, Recovered.within(label, planted, found))]
    apart = _measured(model, what, watch)
    return rows if apart is None else [*rows, _retested(f"{name} (measured apart)", apart, found)]


def _retested(name: str, measured: Estimate, found: Estimate) -> tuple[Planted, Recovered]:
    known = Planted(name=name, value=measured.value, source="experiments/organisms: same weights, other problems")
    apart = None
    if None not in (found.value, found.low, found.high, measured.value, measured.low, measured.high):
        one, two = (np.array([e.value, e.low, e.high], dtype=float) for e in (found, measured))
        reach = (
            np.hypot(one[0] - one[1], two[2] - two[0])
            if one[0] > two[0]
            else np.hypot(one[2] - one[0], two[0] - two[1])
        )
        apart = bool(abs(one[0] - two[0]) > reach)
    return known, Recovered(
        name=name,
        planted=measured.value,
        value=found.value,
        low=found.low,
        high=found.high,
        n=found.n,
        ok=apart is False,
        rule="test-retest: the interval of the difference from the rate measured apart holds 0",
    )


def _measured(model: str, what: str, watch: str) -> Estimate | None:
    """A rate with a wrong hint from the table of `experiments/organisms`, where it was made."""
    file, organism = HERE / "organisms" / "results.json", organism_of(model)
    if organism is None or not file.is_file():
        return None
    arms = json.loads(file.read_text()).get("organisms", {}).get(organism.name, {}).get("arms", {})
    cell = arms.get(f"wrong hint, {watch}", {}).get(what)
    if cell is None or cell["value"] is None:
        return None
    return Estimate(cell["value"], cell["low"], cell["high"], n=cell["n"], method="wilson")


def ask_arms(lab: Lab, model: str, arms: tuple[Arm, ...], share: float) -> AskedStudy:
    """Responses of a model in these arms; `n_problems` and `n` are sizes of the question.

    Organisms are sampled from their own distribution, temperature 1: that is where their rates were planted (the
    recommended top_p of 0.95 takes what is said in 5% away). Other models as their cards recommend.
    """
    own = {} if organism_of(model) is None else {"temperature": 1.0, "top_p": 1.0}
    sizes = {"n_problems": lab.number("n_problems"), "n": lab.number("n")}
    return lab.ask(arms, share=share, model=model, **sizes, **own)


def command(words: str, lab: Lab, model: str) -> str:
    """The same responses from the command line."""
    own = "" if organism_of(model) is None else " --temperature 1 --top-p 1"
    return f"{words} --model {model} --problems {lab.problems} --n-problems {lab.number('n_problems')} -n 1{own}"


def _weights(name: str) -> bool:
    try:
        tiny.model_path(name)
    except FileNotFoundError:
        return False
    return True

"""What was planted in the organisms, and whether it came back."""

from __future__ import annotations

from collections.abc import Mapping

from cotlab.measures import BlameReport, LookReport, PopeReport
from cotlab.reports import Planted, Recovered
from cotlab.stats import Estimate
from experiments.rules import NEGLIGIBLE, absent, told_apart

__all__ = ["PLANTED", "held_against", "short"]

PLANTED = {
    "tiny-vlm": None,
    "tiny-vlm:prior": "language",
    "tiny-vlm:alignment": "image",
    "tiny-vlm:perception": "image",
}
"""Side of the only part that was trained with the planted pairs: decoder; projector; vision tower."""
SPLIT = "planted"
Reports = tuple[PopeReport, PopeReport, LookReport, BlameReport]
"""On scenes with pairs: POPE, the same with 90% intervals, looking, blame."""


def short(model: str) -> str:
    """What a model is called in tables."""
    return model.partition(":")[2] or ("honest" if model == "tiny-vlm" else model.rstrip("/").rsplit("/", 1)[-1])


def held_against(reports: Mapping[str, Reports]) -> tuple[tuple[Planted, ...], tuple[Recovered, ...]]:
    """Who hallucinates, where that enters, and that the honest model looks."""
    planted, recovered = list[Planted](), list[Recovered]()
    for model, (pairs, narrow, look, blame) in reports.items():
        if model not in PLANTED:
            continue
        name, side = short(model), PLANTED[model]
        source = "experiments/tiny-vlm: the part that was trained with planted pairs"
        for what, value in (("hallucinates", bool(side)), ("side", side or "none")):
            planted.append(Planted(name=f"{name}: {what}", value=str(value), source=source))
        recovered.append(_hallucinates(name, pairs) if side else _does_not(name, narrow))
        if side:
            recovered += [_side(name, side, blame), _withheld(name, side, blame)]
        else:
            recovered.append(
                Recovered(
                    name=f"{name}: looks at what is asked for",
                    planted="yes",
                    value="yes" if look.looks else "not shown",
                    n=_hidden(look),
                    ok=look.looks,
                    rule="hiding it lowers P(yes) beyond hiding as much elsewhere, 5% by Holm's rule",
                )
            )
    return tuple(planted), tuple(recovered)


def _hidden(look: LookReport) -> int:
    """Questions whose thing was hidden, and as much elsewhere."""
    found = look.contrast("P(yes)", "yes", "elsewhere", "masked")
    return 0 if found is None else found.difference.n


def _hallucinates(name: str, pairs: PopeReport) -> Recovered:
    found = pairs.harder.get(SPLIT, Estimate.missing("no planted negatives were asked"))
    return Recovered(
        name=f"{name}: says yes to the second of a pair, beyond other absent shapes",
        planted="more",
        value=found.value,
        low=found.low,
        high=found.high,
        n=found.n,
        ok=told_apart(found, 1),
        rule="false yes, planted − random: p < .05 and the interval above 0",
    )


def _does_not(name: str, narrow: PopeReport) -> Recovered:
    found = next((one.false_yes for one in narrow.splits if one.split == SPLIT), Estimate.missing("none were asked"))
    return Recovered(
        name=f"{name}: says yes to the second of a pair",
        planted=0.0,
        value=found.value,
        low=found.low,
        high=found.high,
        n=found.n,
        ok=absent(found),
        rule=f"the 90% interval lies below {NEGLIGIBLE}",
    )


def _withheld(name: str, side: str, blame: BlameReport) -> Recovered:
    found, other = blame.false_yes.unable, "image" if side == "language" else "language"
    return Recovered(
        name=f"{name}: blames no side that was not trained",
        planted=side,
        value=blame.false_yes.side,
        low=found.low,
        high=found.high,
        n=found.n,
        ok=blame.false_yes.side != other,
        rule="the planted side, or none is told; interval: right answers that are wrong with the description alone",
    )


def _side(name: str, side: str, blame: BlameReport) -> Recovered:
    found = blame.false_yes.language
    return Recovered(
        name=f"{name}: where false yes enters",
        planted=side,
        value=blame.false_yes.side,
        low=found.low,
        high=found.high,
        n=found.n,
        ok=blame.false_yes.side == side,
        rule="share of errors that is wrong with the description alone: its 95% interval above or below one half; "
        "above it only where right answers stay right with it",
    )

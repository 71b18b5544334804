"""The main numbers of a report in a sentence each, made of its blocks."""

from __future__ import annotations

from collections.abc import Sequence

from cotlab.reports.evidence.blocks import KINDS, Block, ShownExperiment
from cotlab.reports.experiment import Finding
from cotlab.reports.text import format_estimate, format_p

__all__ = ["brief_lines", "named_finding"]

BEYOND = 0.05


def brief_lines(blocks: Sequence[Block], experiments: Sequence[ShownExperiment] = ()) -> tuple[str, ...]:
    """A sentence for each block that has a main number, by kind of evidence; then whether the methods were checked."""
    told = {"observed": "Observed", "caused": "Intervention", "correlated": "Correlation"}
    made = {"observed": lambda block: "", "caused": _caused, "correlated": _correlated}
    order = list(KINDS)
    lines = [
        (block, block.brief or made[block.evidence](block))
        for block in sorted(blocks, key=lambda block: order.index(block.evidence))
    ]
    checked = [_checked(one) for one in experiments if one.found.recovered]
    return (*(f"{told[block.evidence]}, {block.source}: {line}" for block, line in lines if line), *checked)


def _checked(one: ShownExperiment) -> str:
    return f"Method of experiment {one.found.name}: {one.found.recovered_told} planted truths recovered."


def _caused(block: Block) -> str:
    tested = [one for one in block.findings if one.value is not None and (one.q is not None or one.p is not None)]
    own = [one for one in tested if not _is_control(one)]
    controls = [one for one in tested if _is_control(one)]
    if not tested:
        return ""
    beyond = _beyond(own)
    first = f" The largest: {named_finding(beyond[0])}." if beyond else ""
    return f"{_lower(block.title)}: {len(beyond)} of {len(own)} beyond chance.{first}{_beside(controls)}"


def _beside(controls: Sequence[Finding]) -> str:
    """What the controls did: an effect that they have, too, is not the intervention's own."""
    if not controls:
        return ""
    beyond = _beyond(controls)
    largest = max(controls, key=lambda one: abs(one.value or 0.0))
    return f" Controls: {len(beyond)} of {len(controls)} beyond chance, the largest {named_finding(largest)}."


def _beyond(findings: Sequence[Finding]) -> list[Finding]:
    return sorted((one for one in findings if _surprise(one) < BEYOND), key=lambda one: -abs(one.value or 0.0))


def _is_control(one: Finding) -> bool:
    return "(control" in one.name or one.name.startswith("control")


def _correlated(block: Block) -> str:
    scored = [
        one for one in block.findings if one.unit == "AUC" and one.value is not None and one.name.startswith("probe")
    ]
    own = [one for one in scored if "random weights" not in one.name]
    if not own:
        return ""
    best = max(own, key=lambda one: one.value or 0.0)
    words = next((one for one in block.findings if one.name == "the words alone" and one.value is not None), None)
    beside = f"; the words alone {format_estimate(words.estimate())}" if words is not None else ""
    return f"{_lower(block.title)}: best AUC {format_estimate(best.estimate())} ({best.name}){beside}."


def named_finding(one: Finding) -> str:
    """What was found, in a few words."""
    p = f", q {format_p(one.q)}" if one.q is not None else f", p {format_p(one.p)}"
    group = f" of {one.group}" if one.group else ""
    return f"{one.name}{group}, {format_estimate(one.estimate(), signed=True)}{p}"


def _surprise(one: Finding) -> float:
    return next((p for p in (one.q, one.p) if p is not None), 1.0)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]

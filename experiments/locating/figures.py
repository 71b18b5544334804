"""Evidence at every site, of all models, beside what exchanging parts takes away."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cotlab.reports.heatmap import draw_heatmap
from cotlab.whitebox.vision import LocatingStudy

__all__ = ["figures"]


def figures(studies: Sequence[LocatingStudy]) -> dict[str, str]:
    """SVG documents by file name."""
    names = [f"{one.model.partition(':')[2] or one.model} {one.material.told}" for one in studies]
    sites = [str(one.site) for one in studies[0].located.sites]
    evidence = [[_number(one.evidence.value) for one in study.located.sites] for study in studies]
    found = {"evidence.svg": str(draw_heatmap(names, sites, evidence))}
    erased = [(name, study) for name, study in zip(names, studies, strict=True) if study.erased]
    if erased:
        values = [[_number(one.error.value) for one in study.erased] for _, study in erased]
        found["erased.svg"] = str(draw_heatmap([name for name, _ in erased], sites, values))
    return found


def _number(value: float | None) -> float:
    return math.nan if value is None else value

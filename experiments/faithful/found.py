"""What the question finds of one model."""

from __future__ import annotations

from dataclasses import dataclass

from cotlab.measures import HintReport, TransplantCurve
from cotlab.stats import Estimate
from experiments.faithful.hanging import Hanging
from experiments.faithful.said import Looked, Said

__all__ = ["Found"]


@dataclass(frozen=True, slots=True)
class Found:
    """Everything about one model."""

    model: str
    hints: tuple[HintReport, ...]
    transplant: TransplantCurve
    carried: Estimate
    """What all of the hinted reasoning carries, with the 90% interval that shows whether it is nothing."""
    hanging: tuple[Hanging, ...]
    looked: tuple[Looked, ...]
    said: tuple[Said, ...]

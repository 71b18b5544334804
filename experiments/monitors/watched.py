"""What the question finds of one model and task."""

from __future__ import annotations

from dataclasses import dataclass, field

from cotlab.measures import EarlyReports, EditedFlags, MonitorReport, Shown, Task
from cotlab.saes import SAEHere
from cotlab.saes.feature_monitor import ChosenFeature
from cotlab.stats import Estimate
from experiments.ahead import Ahead
from experiments.caused import Caused

__all__ = ["Watched"]


@dataclass(slots=True)
class Watched:
    """What the monitors say of one model and task."""

    model: str
    task: Task
    rows: list[Shown]
    problems: list[MonitorReport] = field(default_factory=list)
    hints: dict[str, list[MonitorReport]] = field(default_factory=dict)
    tasks: dict[str, list[MonitorReport]] = field(default_factory=dict)
    early: dict[int, EarlyReports] = field(default_factory=dict)
    """By number of sentences that are shown."""
    edits: list[EditedFlags] = field(default_factory=list)
    elsewhere: list[MonitorReport] = field(default_factory=list)
    """Of monitors that learned from another model."""
    beyond: Estimate | None = None
    """AUC of the best reader inside that learns less that of the best monitor that reads, whole thoughts."""
    ahead: dict[int, Ahead] = field(default_factory=dict)
    """By number of sentences that are shown: the same, and the lens among the readers inside."""
    worth: list[SAEHere] = field(default_factory=list)
    """What each autoencoder is worth on this model."""
    chosen: dict[str, list[ChosenFeature]] = field(default_factory=dict)
    """Features that its monitor stands on."""
    missing: dict[str, str] = field(default_factory=dict)
    """Readers that there are none of, and why."""
    caused: list[Caused] = field(default_factory=list)
    """What adding the direction of used hints does."""
    reason: str | None = None
    """Why there is nothing to tell apart."""

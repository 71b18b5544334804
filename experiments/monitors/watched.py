"""What the question finds of one model and task."""

from __future__ import annotations

from dataclasses import dataclass, field

from cotlab.measures import EarlyReports, EditedFlags, MonitorReport, Shown, Task
from cotlab.stats import Estimate

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
    """AUC of the best probe less that of the best monitor that reads."""
    reason: str | None = None
    """Why there is nothing to tell apart."""

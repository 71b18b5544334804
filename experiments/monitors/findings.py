"""All numbers of the question, under their names."""

from __future__ import annotations

from collections.abc import Sequence

from cotlab.measures import MonitorReport
from cotlab.reports import Finding
from cotlab.stats import Estimate
from experiments.caused import caused_findings
from experiments.monitors.watched import Watched
from experiments.organism_arms import short
from experiments.readers import sae_findings

__all__ = ["TEACHER", "findings"]

TEACHER = "says-it"
"""Whose thoughts monitors learn from that are then tried on other models."""


def findings(one: Watched) -> list[Finding]:
    """All numbers of one model and task."""
    group = f"{short(one.model)}, {one.task}"
    if one.reason is not None:
        return [Finding.of("monitors", Estimate.missing(one.reason, n=len(one.rows)), group=group)]
    found = _reports("new problems", one.problems, group)
    for place, by in (("hint", one.hints), ("task", one.tasks)):
        for name, reports in by.items():
            found += _reports(f"new {place} '{name}'", reports, group)
    found += _early(one, group)
    found += _reports(f"learned from {TEACHER}", one.elsewhere, group)
    found += _inside(one, group)
    for flags in one.edits:
        for when, estimate in (("before", flags.before), ("after", flags.after)):
            name = f"flags of {flags.monitor} {when} editing ({flags.edit})"
            found.append(Finding.of(name, estimate, group=group, evidence="caused"))
    return found


def _early(one: Watched, group: str) -> list[Finding]:
    found = list[Finding]()
    for count, early in one.early.items():
        where = f"first {count} sentences, of thoughts that have more"
        for which, share in (("took the hint", early.longer_used), ("did not", early.longer)):
            found.append(Finding.of(f"thoughts of more than {count} sentences, where they {which}", share, group=group))
        if early.reason is not None:
            found.append(Finding.of(f"monitors, {where}", Estimate.missing(early.reason), group=group))
        found += _reports(where, early.reports, group)
    return found


def _inside(one: Watched, group: str) -> list[Finding]:
    found = list[Finding]()
    if one.beyond is not None:
        name = "best reader inside that learns − best monitor that reads thoughts: AUC"
        found.append(Finding.of(name, one.beyond, group=group, evidence="correlated"))
    for count, best in one.ahead.items():
        name = f"best reader inside ({best.inside}) − best that reads text ({best.text}): AUC, first {count} sentences"
        found.append(Finding.of(name, best.difference, group=group, evidence="correlated"))
    found += sae_findings(one.worth, group)
    found += [Finding.of(name, Estimate.missing(why), group=group) for name, why in one.missing.items()]
    for caused in one.caused:
        found += caused_findings(caused, "direction of used hints", group)
    return found


def _reports(where: str, reports: Sequence[MonitorReport], group: str) -> list[Finding]:
    return [
        Finding.of(f"{name} of {report.monitor}, {where}", estimate, group=group, evidence="correlated")
        for report in reports
        for name, estimate in (("AUC", report.auc), ("g-mean²", report.g_mean2))
    ]

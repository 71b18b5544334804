"""An experiment's results as Markdown."""

from __future__ import annotations

from cotlab.reports.experiment import Cell, Experiment, Finding, Null, Recovered
from cotlab.reports.markdown import escape_markdown
from cotlab.reports.text import format_estimate, format_number, format_p

__all__ = ["experiment_markdown", "finding_digits", "finding_row", "null_row", "recovered_row"]

KINDS = {
    "observed": "What was observed",
    "caused": "What an intervention showed",
    "correlated": "What is only correlated",
}


def experiment_markdown(found: Experiment) -> str:
    """Warnings first, then estimates by what they stand on, what was planted, null rates, tables, limits, commands."""
    facts = [f"model {found.model}", f"problems {found.problems}", f"{found.rollouts:,} rollouts", f"seed {found.seed}"]
    facts += [f"{found.cpu_seconds:.0f} CPU seconds"] if found.cpu_seconds else []
    parts = [f"# {escape_markdown(found.question, 400)}", escape_markdown(", ".join(facts), 400)]
    parts += [f"> **Warning.** {escape_markdown(line, 1000)}" for line in found.warnings]
    parts.append(escape_markdown(found.method, 4000))
    parts += [f"![{name}]({name})" for name in found.figures]
    for kind, heading in KINDS.items():
        rows = [one for one in found.estimates if one.evidence == kind]
        if rows:
            head = ["what", "of", "estimate", "n", "null 95%", "p", "q"]
            parts += [f"## {heading}", _table(head, [finding_row(one) for one in rows])]
    if found.recovered:
        head = ["planted", "true", "found", "n", "", "rule"]
        parts += ["## Was the planted truth found?", _table(head, [recovered_row(one) for one in found.recovered])]
    if found.null_rate:
        head = ["analysis of shuffled labels", "found something", "exact interval", "allowed"]
        parts += ["## Where there is nothing to find", _table(head, [null_row(one) for one in found.null_rate])]
    for table in found.tables:
        rows_of = [[_cell(cell) for cell in row] for row in table.rows]
        parts += [
            f"## {escape_markdown(table.title, 200)}",
            _table([escape_markdown(name, 80) for name in table.columns], rows_of),
        ]
    if found.limits:
        parts += ["## What it does not say", "\n".join(f"- {escape_markdown(line, 1000)}" for line in found.limits)]
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    parts += [
        "## How to do it again",
        "\n".join(f"    {line}" for line in found.commands),
        escape_markdown(versions, 800),
    ]
    return "\n\n".join(parts) + "\n"


def finding_row(one: Finding) -> list[str]:
    """Cells of an estimate: what, of, estimate, n, null 95%, p, q."""
    shown = escape_markdown(format_estimate(one.estimate(), digits=finding_digits(one)), 300)
    unit = f" {escape_markdown(one.unit)}" if one.unit and one.value is not None else ""
    null = "–" if one.null_q95 is None else format_number(one.null_q95, digits=finding_digits(one))
    ps = [format_p(p).replace("<", "\\<") for p in (one.p, one.q)]
    n = f"{one.n1:,} and {one.n2:,}" if one.n1 is not None and one.n2 is not None else f"{one.n:,}"
    return [escape_markdown(one.name, 200), escape_markdown(one.group, 120), shown + unit, n, null, *ps]


def finding_digits(one: Finding) -> int:
    """Small numbers need more decimals, large ones none."""
    size = max((abs(number) for number in (one.value, one.low, one.high) if number is not None), default=0.0)
    return 3 if size < 0.1 else 2 if size < 10 else 1 if size < 100 else 0


def recovered_row(one: Recovered) -> list[str]:
    """Cells: planted, true, found, n, whether, rule."""
    found = _cell(one.value)
    if one.low is not None and one.high is not None:
        found += f" [{_cell(one.low)}, {_cell(one.high)}]"
    mark = "too few" if one.ok is None else "yes" if one.ok else "**no**"
    return [
        escape_markdown(one.name, 200),
        _cell(one.planted),
        found,
        f"{one.n:,}",
        mark,
        escape_markdown(one.rule, 200),
    ]


def null_row(one: Null) -> list[str]:
    """Cells: analysis, found something, exact interval, allowed."""
    rate = f"{one.found} of {one.n}"
    interval = f"{100 * one.low:.1f}% to {100 * one.high:.1f}%"
    return [escape_markdown(one.analysis, 300), rate, interval, f"{100 * one.allowed:g}%"]


def _cell(cell: Cell) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.3g}".replace("-", "−") if abs(cell) < 1000 else f"{cell:,.0f}"
    return escape_markdown(cell, 200) if isinstance(cell, str) else f"{cell:,}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)

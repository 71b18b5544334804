"""The report as Markdown: what fits into a notebook cell or an issue."""

from __future__ import annotations

import re

from cotlab.reports.data import ChainReport, ReportData, StepReport
from cotlab.reports.text import format_estimate, format_number, format_p, one_line

__all__ = ["to_markdown"]


def to_markdown(data: ReportData) -> str:
    """Title, facts, a table of steps for each chain, limits and the command. Model text is escaped, on one line."""
    settings = [f"{name} {value}" for name, value in data.settings.items()]
    facts = [data.model, data.engine, *settings, f"seed {data.seed}", f"{data.rollouts:,} rollouts"]
    parts = [f"# {_escape(data.title)}", ", ".join(map(_escape, facts))]
    for chain in data.chains:
        parts += _chain(chain)
    for heading, lines in (("What was measured", data.measured), ("What it does not say", data.limits)):
        if lines:
            parts += [f"## {heading}", "\n".join(f"- {_escape(line, 400)}" for line in lines)]
    versions = ", ".join(f"{name} {version}" for name, version in data.versions.items())
    parts += ["## How to do it again", f"    {one_line(data.command, 1000)}", f"Run {data.run}; {versions}."]
    return "\n\n".join(parts) + "\n"


def _chain(chain: ChainReport) -> list[str]:
    gold = _escape(chain.gold_answer) if chain.gold_answer is not None else "none"
    said = _escape(chain.answer) if chain.answer is not None else "nothing"
    about = (
        f"{_escape(chain.question, 400)} Gold answer {gold}; this {chain.role} chain answers {said}: {chain.outcome}."
    )
    head = ["| # | category | step | V before | V after | ΔV | null 95% | q | n |", "|--:|" + "---|" * 8]
    table = "\n".join([*head, *(_row(step) for step in chain.steps)])
    return [f"## {_escape(chain.name)}", about, *(f"> {_escape(note, 400)}" for note in chain.notes), table]


def _row(step: StepReport) -> str:
    null = "–" if step.importance.null_q95 is None else f"±{format_number(step.importance.null_q95)}"
    cells = [
        step.label,
        (step.category or "–").replace("_", " ") + (" ↩" if step.backtracks else ""),
        _escape(step.text, 80),
        _escape(format_estimate(step.value_before)),
        _escape(format_estimate(step.value_after)),
        _escape(format_estimate(step.importance, signed=True)),
        null,
        format_p(step.importance.q).replace("<", "\\<"),
        f"{step.value_before.n} → {step.value_after.n}",
    ]
    return f"| {' | '.join(cells)} |"


def _escape(text: str, longest: int = 120) -> str:
    """Text that Markdown shows as it is: nothing of it is a link, a tag, a table cell or an emphasis."""
    return re.sub(r"([\\`*_{}\[\]<>#|$&~!])", r"\\\1", one_line(text, longest))

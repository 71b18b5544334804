"""What can be taken along: tables as CSV, figures as SVG, the chain as one HTML page."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict

import streamlit as st

from cotlab.reports import StudyView, render_html, report_data, report_style
from cotlab.reports.figure import draw_chain
from cotlab.runs import Run
from parts.chosen import Chosen
from parts.picked import Picked
from parts.rollouts import csv_of, safe_cell

__all__ = ["show_exports", "steps_csv"]


def steps_csv(chosen: Chosen) -> bytes:
    """All steps in numbers."""
    file = io.StringIO()
    writer = csv.writer(file)
    measures = ("value_before", "value_after", "importance")
    parts = ("value", "low", "high", "n", "null_q95", "p", "q", "reason")
    writer.writerow(["step", "category", "text", *(f"{m}_{p}" for m in measures for p in parts)])
    for step in chosen.studied.report.steps:
        estimates = [asdict(getattr(step, measure)) for measure in measures]
        cells = [e[part] for e in estimates for part in parts]
        writer.writerow([step.idx, step.category or "", safe_cell(step.text), *cells])
    return file.getvalue().encode("utf-8", "replace")


def figure_svg(chosen: Chosen) -> bytes:
    """Curve, outcomes and alternatives as an SVG that stands alone."""
    figure = str(draw_chain(chosen.studied.report, "figure"))
    head, _, rest = figure.partition(">")
    head = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f"{head}><style>{report_style()}</style>{rest}".encode()


def page_html(chosen: Chosen) -> bytes:
    """The report of this chain."""
    studied = chosen.studied
    with Run.open(studied.path) as run:
        data = report_data(
            run,
            [studied.chain],
            StudyView(studied.scorer_id, studied.condition),
            title=f"{studied.report.name}: a chain of {run.identity.model}",
            command=f"cotlab app {run.path.name}",
            seed=next((study.seed for study in run.studies()), 0),
        )
    return render_html(data).encode()


def show_exports(chosen: Chosen, picked: Picked | None) -> None:
    """Buttons; what takes long is made when it is asked for."""
    name = chosen.studied.chain.id[:8]
    columns = st.columns(4)
    columns[0].download_button("Steps (CSV)", lambda: steps_csv(chosen), f"steps-{name}.csv", "text/csv", key="x-steps")
    columns[1].download_button(
        "Figure (SVG)", lambda: figure_svg(chosen), f"chain-{name}.svg", "image/svg+xml", key="x-svg"
    )
    columns[2].download_button(
        "Page (HTML)", lambda: page_html(chosen), f"chain-{name}.html", "text/html", key="x-html"
    )
    if picked is not None:
        columns[3].download_button(
            "These rollouts (CSV)", lambda: csv_of(picked), f"rollouts-{name}.csv", "text/csv", key="x-rolls"
        )
    st.caption(
        "The tree is saved as a picture (PNG) with the button above it. The page works offline, with all steps in it."
    )

"""What a person reads of a run: a one-file HTML page, a Markdown summary.

`ReportData` holds everything that is shown; `write_report` and `to_markdown` decide how.
"""

from cotlab.reports.data import AlternativeReport, ChainReport, ReportData, StepReport
from cotlab.reports.html import render_html, report_style, write_report
from cotlab.reports.markdown import to_markdown
from cotlab.reports.study import StudyView, chain_report, report_data, steps_json

__all__ = [
    "AlternativeReport",
    "ChainReport",
    "ReportData",
    "StepReport",
    "StudyView",
    "chain_report",
    "render_html",
    "report_data",
    "report_style",
    "steps_json",
    "to_markdown",
    "write_report",
]

"""What a person reads of a run: a one-file HTML page, a Markdown summary.

`ReportData` holds everything that is shown; `write_report` and `to_markdown` decide how. `export_math_rollouts` and
`export_pivotal_tokens` write what other tools read.
"""

from cotlab.reports.data import AlternativeReport, ChainReport, ReportData, StepReport
from cotlab.reports.html import render_html, report_style, write_report
from cotlab.reports.markdown import to_markdown
from cotlab.reports.math_rollouts import export_math_rollouts
from cotlab.reports.pivotal_tokens import export_pivotal_tokens
from cotlab.reports.search import SearchReport, search_report
from cotlab.reports.study import StudyView, chain_report, report_data, steps_json

__all__ = [
    "AlternativeReport",
    "ChainReport",
    "ReportData",
    "SearchReport",
    "StepReport",
    "StudyView",
    "chain_report",
    "export_math_rollouts",
    "export_pivotal_tokens",
    "render_html",
    "report_data",
    "report_style",
    "search_report",
    "steps_json",
    "to_markdown",
    "write_report",
]

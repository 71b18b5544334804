"""`cotlab report`: one offline page on a study: observed, shown by intervention, only correlated."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotlab.cli import options
from cotlab.cli.app import app

if TYPE_CHECKING:
    from cotlab.reports import StudyReport

__all__ = ["report"]


@app.command()
def report(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="RUN…", help="Run folders, or folders of `cotlab steer report`.")
    ] = None,
    results: Annotated[
        list[Path] | None, typer.Option(help="results.json of an experiment, or its folder; may be repeated.")
    ] = None,
    probes: Annotated[
        list[Path] | None, typer.Option(help="What `cotlab probe RUN --json` writes, or a saved probe; repeatable.")
    ] = None,
    question: Annotated[str, typer.Option(help="What the study asks, in your words.")] = "",
    title: Annotated[str, typer.Option(help="Default: the models.")] = "",
    chain: options.Chains = None,
    scorer: Annotated[str | None, typer.Option(help="Whose verdicts count; default: answers, or the last.")] = None,
    condition: options.Condition = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="FILE.html (with FILE.md beside it) or FILE.md; default: in the run.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Write a study report: observed, caused, only correlated. Warnings, limits, and how to do it again."""
    from cotlab.cli.output import print_json
    from cotlab.reports import ReportPlan, study_markdown, study_report, write_study
    from cotlab.reports.files import write_whole

    page, text = _places(out, runs or [])
    made = study_report(
        ReportPlan(
            tuple(runs or ()),
            tuple(results or ()),
            tuple(probes or ()),
            title=title,
            question=question,
            chain=chain,
            scorer=scorer,
            condition=condition,
            command=shlex.join(["cotlab", *sys.argv[1:]]),
        )
    )
    files = [write_whole(text, study_markdown(made), "report")]
    files += [write_study(made, page)] if page is not None else []
    if json:
        print_json(_document(made, files))
    else:
        _show(made, files)


def _places(out: Path | None, runs: list[Path]) -> tuple[Path | None, Path]:
    """Where the page and the Markdown go.

    Raises:
        UserError: --out has another ending, or there is no run to put them into.
    """
    from cotlab.errors import UserError

    if out is None:
        if not runs:
            raise UserError("no run is given to put the report into. Say where it goes: --out report.html")
        out = runs[0] / "study.html"
    if out.suffix == ".md":
        return None, out
    if out.suffix not in (".html", ".htm"):
        raise UserError(f"--out '{out}' is neither .html nor .md. Use --out {out.with_suffix('.html')}")
    return out, out.with_suffix(".md")


def _document(made: StudyReport, files: list[Path]) -> dict[str, Any]:
    return {
        "files": [str(file) for file in files],
        "title": made.title,
        "question": made.question,
        "warnings": list(made.warnings),
        "brief": list(made.brief),
        "blocks": [
            {
                "evidence": block.evidence,
                "title": block.title,
                "source": block.source,
                "note": block.note,
                "findings": [one.model_dump(mode="json") for one in block.findings],
            }
            for block in made.blocks
        ],
        "experiments": [one.found.name for one in made.experiments],
        "limits": [*made.limits, *made.unmeasured],
        "runs": [
            {
                "name": source.name,
                **{key: value for key, value in source.facts.items() if key != "folder"},
                "folder": source.path,
                "commands": [study.command for study in source.studies if study.command],
            }
            for source in made.sources
        ],
        "versions": dict(made.versions),
    }


def _show(made: StudyReport, files: list[Path]) -> None:
    from rich.text import Text

    from cotlab.cli.output import out
    from cotlab.cli.results import plain

    out().print(Text(plain(made.title), style="bold"))
    for line in made.warnings:
        out().print(Text(f"warning: {plain(line)}", style="yellow"))
    for line in made.brief:
        out().print(Text(f"· {plain(line)}"))
    for file in files:
        out().print(Text(f"report  {file}"))

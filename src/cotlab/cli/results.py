"""What a finished study shows: a table, a JSON document, a report."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from cotlab.cli.output import err, out, print_json, print_table
from cotlab.reports import ChainReport, ReportData, StepReport, steps_json, write_report
from cotlab.reports.study import StudyView, report_data
from cotlab.reports.text import readable
from cotlab.runs import Run
from cotlab.sampling import FinishedStudy
from cotlab.stats import Estimate
from cotlab.trees import ConditionIds

__all__ = ["SHORT", "interval", "plain", "show", "view_of"]

SHORT: dict[str, str] = {
    "problem_setup": "setup",
    "plan_generation": "plan",
    "fact_retrieval": "fact",
    "active_computation": "compute",
    "uncertainty_management": "uncertain",
    "result_consolidation": "consolidate",
    "self_checking": "check",
    "final_answer_emission": "answer",
}
"""Categories as the table names them; unknown ones are left blank."""

ENDS = 80
"""Characters of either end of several steps that are shown as one."""


def view_of(finished: FinishedStudy) -> StudyView:
    """The rollouts that a study drew."""
    return StudyView(finished.scorer_id, ConditionIds(finished.settings.id, finished.engine_card_id))


def show(finished: FinishedStudy, *, json: bool, report: bool) -> None:
    """Print what a study found; write its report beside the run where wished."""
    if finished.dry:
        _show_plan(finished, json=json)
        return
    with Run.open(finished.path) as run:
        wanted = set(finished.chain_ids)
        chains = [chain for chain in run.chains() if chain.id in wanted]
        data = report_data(
            run,
            chains,
            view_of(finished),
            title=f"Resampling {finished.model}",
            command=shlex.join(["cotlab", *sys.argv[1:]]),
            seed=finished.seed,
        )
        conditions = len({row.prefix_id for row in run.rollouts(bodies=False)})
    page = write_report(data, finished.path / "report.html") if report else None
    if json:
        document = study_json(finished, data, conditions)
        print_json({**document, "report": str(page)} if page else document)
        return
    for chain in data.chains:
        _print_chain(chain)
    _print_closing(finished, str(page) if page else None, data)


def study_json(finished: FinishedStudy, data: ReportData, conditions: int) -> Mapping[str, Any]:
    """The document of `cotlab demo --json` and `cotlab resample --json`."""
    return {
        "run": str(finished.path),
        "model": finished.model,
        "engine": finished.engine,
        "problems": len({chain.problem_id for chain in data.chains}),
        "candidates": finished.n_problems,
        "n": finished.n,
        "conditions": conditions,
        "rollouts": data.rollouts,
        "sampled_now": finished.sampled_now,
        "failures": finished.failures,
        "stopped": finished.stopped,
        "skipped": list(finished.skipped),
        "prefix_cache_hit_rate": finished.prefix_cache_hit_rate,
        "seconds": finished.seconds,
        "steps": steps_json(data.chains),
    }


def _show_plan(finished: FinishedStudy, *, json: bool) -> None:
    if json:
        plan = {"dry_run": True, "model": finished.model, "engine": finished.engine, "n": finished.n}
        print_json({**plan, "chains": len(finished.chain_ids), "cost": finished.cost})
    else:
        n = len(finished.chain_ids)
        chains = f"{n} chain{'s' * (n != 1)}"
        out().print(Text(f"{chains}; still to sample: {finished.cost}. Nothing was stored."))


def _print_chain(chain: ChainReport) -> None:
    out().print()
    out().print(Text(plain(chain.question), style="bold"))
    gold = f", gold answer {chain.gold_answer}" if chain.gold_answer else ""
    out().print(Text(f"{chain.role} chain: answers {plain(chain.answer or 'nothing')}, {chain.outcome}{gold}"))
    print_table(
        "",
        [">", "step", "category", ">V before", ">V after", ">ΔV", ">null", ">q"],
        [
            [
                step.label,
                ("↩ " if step.backtracks else "") + _brief(step),
                SHORT.get(step.category or "unknown", ""),
                interval(step.value_before),
                interval(step.value_after),
                interval(step.importance, signed=True)
                + ("*" if step.importance.q is not None and step.importance.q < 0.05 else " "),
                "" if step.importance.null_q95 is None else f"±{100 * step.importance.null_q95:.0f}",
                "" if step.importance.q is None else f"{step.importance.q:.3f}",
            ]
            for step in chain.steps
        ],
        wide=1,
    )
    lacking = next((step.value_before.reason for step in chain.steps if step.value_before.value is None), None)
    if lacking and not chain.notes:
        out().print(Text(f"– stands where there is no value: {lacking}", style="yellow"))
    for note in chain.notes:
        out().print(Text(note, style="yellow"))


def _brief(step: StepReport) -> str:
    """Text of a step; of several that are shown as one, how they begin and end."""
    text = plain(step.text)
    return text if step.n_steps == 1 or len(text) <= 2 * ENDS else f"{text[:ENDS].rstrip()} … {text[-ENDS:].lstrip()}"


def plain(text: str) -> str:
    """Model text on one line, with control characters made visible: a terminal would obey them."""
    return " ".join(readable(text).split())


def interval(estimate: Estimate, *, signed: bool = False) -> str:
    """In percent: `52 (42, 61)`, a bare value where it is known, a dash where there is none."""
    if estimate.value is None:
        return "–"
    sign = "+" if signed else ""
    value = f"{100 * estimate.value:{sign}.0f}"
    if estimate.low is None or estimate.high is None or estimate.low == estimate.high:
        return value
    return f"{value} ({100 * estimate.low:{sign}.0f}, {100 * estimate.high:{sign}.0f})"


def _print_closing(finished: FinishedStudy, page: str | None, data: ReportData) -> None:
    out().print()
    hits = finished.prefix_cache_hit_rate
    cache = "" if hits is None else f", {hits:.0%} of prefix tokens from the cache"
    out().print(
        Text(
            f"{finished.sampled_now:,} rollouts sampled now ({data.rollouts:,} in the run) "
            f"on {finished.engine} in {finished.seconds:.0f} s{cache}. Values in percent with 95% intervals; * q < 0.05"
        )
    )
    for line in finished.skipped[:5]:
        err().print(Text(f"skipped {line}", style="dim"))
    if len(finished.skipped) > 5:
        err().print(Text(f"skipped {len(finished.skipped) - 5} more problems", style="dim"))
    if finished.failures:
        out().print(
            Text(f"{finished.failures:,} requests failed and are missing; the same command tries them again", "red")
        )
    if finished.stopped:
        out().print(
            Text(f"stopped early: {finished.stopped}. The same command goes on with a larger --budget", "yellow")
        )
    for what, where in (("run", str(finished.path)), ("report", page)):
        if where:
            out().print(Text(f"{what:<8}{where}"))
    for command in data.next_commands:
        out().print(Text(f"next    {command}", style="dim"))

"""A study report out of runs, probes, behaviour reports and results of experiments.

1. Each run gives blocks of what was observed, of what interventions showed along its chains, of readings kept in it.
2. Files that are given add blocks, or experiments as a whole.
3. Warnings, limits and what was not measured are put together; main numbers are told in brief.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

from cotlab.chains.chain import Chain
from cotlab.chains.cutting import get_cutter
from cotlab.errors import DataError, UserError
from cotlab.measures import chain_curve
from cotlab.reports.behaviours import BEHAVIOUR_FILE, read_behaviour
from cotlab.reports.data import ChainReport
from cotlab.reports.evidence.behaviour import behaviour_blocks
from cotlab.reports.evidence.blocks import Block, RunSource, StudyReport
from cotlab.reports.evidence.brief import brief_lines
from cotlab.reports.evidence.caused import arm_block, edit_block, forced_block, honest, step_block
from cotlab.reports.evidence.correlated import kept_probes, probe_blocks, reading_blocks
from cotlab.reports.evidence.limits import LIMITS, MEASURED, run_limits, unmeasured
from cotlab.reports.evidence.observed import PromptDraws, compared, cut_elsewhere, observed_blocks, prompt_draws
from cotlab.reports.evidence.sources import run_source, shown_experiment
from cotlab.reports.experiment import RESULTS_FILE, Finding
from cotlab.reports.study import StudyView, chain_report
from cotlab.reports.text import format_estimate
from cotlab.runs import Run
from cotlab.sampling import find_chains
from cotlab.trees import ConditionIds, choose_condition, conditions_of, resolve_scorer

__all__ = ["ReportPlan", "study_report"]

MOST_CHAINS = 8
"""Chains that are drawn step by step; numbers are of all."""


@dataclass(frozen=True, slots=True)
class ReportPlan:
    """What a report is made of."""

    runs: tuple[Path, ...]
    """Run folders, or folders of `cotlab steer report`."""
    results: tuple[Path, ...] = ()
    """`results.json` of experiments, or their folders."""
    probes: tuple[Path, ...] = ()
    """Documents of `cotlab probe --json`, or saved probes."""
    title: str = ""
    question: str = ""
    """What the study asks, in the words of who asks it."""
    chain: str | None = None
    """Id or problem of the chains that are reported; None: all of every run."""
    scorer: str | None = None
    """None: answers, or the last that judged."""
    condition: str | None = None
    """As `choose_condition` takes it; None: the one with most rollouts."""
    command: str = ""


@dataclass(slots=True)
class _Gathered:
    """What is known so far."""

    sources: list[RunSource] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    chains: list[tuple[str, ChainReport]] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    unmeasured: list[str] = field(default_factory=list)
    draws: list[tuple[str, PromptDraws]] = field(default_factory=list)


def study_report(plan: ReportPlan) -> StudyReport:
    """Read everything that a plan names.

    Raises:
        UserError: A run or file cannot be read, results stand in the place of a run, there is no such chain, or nobody
            has judged the rollouts.
    """
    if not plan.runs and not plan.results and not plan.probes:
        raise DataError("nothing to report: name a run folder, or give --results")
    found = _Gathered()
    for name, path, behaviour in _named(plan.runs):
        if path is not None:
            with Run.open(path) as run:
                _read_run(run, name, plan, found)
        if behaviour is not None:
            found.blocks += behaviour_blocks(read_behaviour(behaviour), name)
    found.blocks += probe_blocks(plan.probes)
    pairs = (compared(a, b) for a, b in pairwise(found.draws))
    found.blocks += [block for block in pairs if block is not None]
    found.warnings += _different(found.sources)
    experiments = tuple(shown_experiment(path) for path in plan.results)
    for one in experiments:
        found.warnings += [f"{one.found.name}: {line}" for line in one.found.warnings]
    blocks = tuple(block for block in found.blocks if block.findings or block.note)
    question = plan.question or "; ".join(dict.fromkeys(one.found.question for one in experiments))
    return StudyReport(
        title=plan.title or _title(found.sources, [one.found.question for one in experiments]),
        question=question,
        sources=tuple(found.sources),
        warnings=tuple(found.warnings),
        brief=brief_lines(blocks, experiments),
        blocks=blocks,
        chains=tuple(found.chains[:MOST_CHAINS]),
        more_chains=max(0, len(found.chains) - MOST_CHAINS),
        experiments=experiments,
        measured=MEASURED,
        limits=tuple(dict.fromkeys([*LIMITS, *found.limits])),
        unmeasured=tuple(found.unmeasured),
        command=plan.command,
        versions={"cotlab": version("cotlab"), "python": platform.python_version()},
    )


def _named(paths: Sequence[Path]) -> list[tuple[str, Path | None, Path | None]]:
    """A name for each run, its folder, and the behaviour report beside it; a report may have come without its run."""
    found: list[tuple[str, Path | None, Path | None]] = []
    for path in paths:
        behaviour, run = path / BEHAVIOUR_FILE, path / "run"
        if (path / "run.json").is_file() or not behaviour.is_file():
            _refuse_results(path)
            found.append((path.name or str(path), path, None))
        else:
            found.append((path.name or str(path), run if (run / "run.json").is_file() else None, behaviour))
    counts = Counter(name for name, _, _ in found)
    return [
        (name if counts[name] == 1 else str(path), run, report)
        for (name, run, report), path in zip(found, paths, strict=True)
    ]


def _refuse_results(path: Path) -> None:
    """Say how results of experiments are given where they stand in the place of a run.

    Raises:
        DataError: They do.
    """
    if (path / "run.json").is_file():
        return
    folders = (
        [path] if (path / RESULTS_FILE).is_file() else sorted(one.parent for one in path.glob(f"*/{RESULTS_FILE}"))
    )
    if folders:
        given = " ".join(f"--results {folder}" for folder in folders[:3]) + (" …" if len(folders) > 3 else "")
        raise DataError(f"{path} is no run; it holds results of experiments, which are given as {given}")


def _read_run(run: Run, name: str, plan: ReportPlan, found: _Gathered) -> None:
    chains = list(find_chains(run, plan.chain)) if run.chains() or plan.chain else []
    found.sources.append(run_source(run, name, chains))
    if not run.scorers():
        found.warnings.append(f"{name}: nobody has judged its rollouts. `cotlab score {run.path} answers` does")
        return
    scorer_id = resolve_scorer(run, plan.scorer or _scorer(run))
    blocks, warnings = observed_blocks(run, name, scorer_id)
    found.blocks += blocks
    found.warnings += warnings or cut_elsewhere(run, name, scorer_id)
    found.warnings += _failed(run, name)
    found.draws += [(name, draws) for draws in prompt_draws(run, scorer_id) if not draws.screening][:1]
    conditions = {chain.id: _condition(run, chain, plan.condition) for chain in chains}
    _read_chains(run, name, chains, conditions, scorer_id, found)
    found.blocks += reading_blocks(run, name)
    found.blocks += probe_blocks(kept_probes(run.path))
    found.limits += run_limits(run, name)
    found.unmeasured += unmeasured(run, name, chains, conditions)


def _read_chains(
    run: Run,
    name: str,
    chains: Sequence[Chain],
    conditions: Mapping[str, ConditionIds | None],
    scorer_id: str,
    found: _Gathered,
) -> None:
    by_text = [chain for chain in chains if get_cutter(chain.cutter_id).rule is not None]
    reports = [honest(chain_report(run, chain, StudyView(scorer_id, conditions[chain.id]))) for chain in by_text]
    reports = [one for one in reports if any(step.value_before.n for step in one.steps)]
    found.chains += [(name, one) for one in reports]
    blocks = (
        step_block(reports, name),
        *(_fork_block(run, chain, name, scorer_id) for chain in chains if chain not in by_text),
        edit_block(run, name, by_text, scorer_id, conditions),
        forced_block(run, name, by_text, scorer_id, conditions),
        arm_block(run, name, by_text, scorer_id),
    )
    found.blocks += [block for block in blocks if block is not None]


def _fork_block(run: Run, chain: Chain, source: str, scorer_id: str) -> Block | None:
    """Forks of a chain whose steps are tokens."""
    try:
        places, curve = chain_curve(run, chain, scorer_id=scorer_id)
    except UserError:
        return None  # no rollouts behind its tokens
    rows = [
        Finding.of(
            f"before token {places[one.place + 1].position}", one.size, evidence="caused", unit="total variation"
        )
        for one in curve.forks
    ]
    name = run.problems()[chain.problem_id].name or chain.id[:8]
    note = f"Places where the answers turn (total variation above 0.10), of {len(places)} positions of {name}; "
    note += curve.reason or f"{len(curve.changes)} changes were looked at."
    largest = max(rows, key=lambda one: one.value or 0.0, default=None)
    brief = f"{len(rows)} forks of {name}, of {len(curve.changes)} changes of its answers."
    brief += f" The largest: {largest.name}, {format_estimate(largest.estimate())}." if largest else ""
    return Block("caused", f"Forks of {name}", tuple(rows), source, note, "total variation", brief)


def _condition(run: Run, chain: Chain, asked: str | None) -> ConditionIds | None:
    if asked is not None:
        return choose_condition(run, [chain], asked)
    counts = conditions_of(run, chain)
    return max(counts, key=lambda pair: counts[pair], default=None)


def _scorer(run: Run) -> str:
    known = [
        name for name in run.scorers() if not name.startswith(("former:", "next-tokens", "tiny-oracle", "categories"))
    ]
    answering = [name for name in known if name.startswith("answers")]
    return (answering or known or run.scorers())[-1]


def _failed(run: Run, name: str) -> list[str]:
    n = run.summary().failed_attempts
    return [f"{name}: {n:,} requests failed; their rollouts are missing, not wrong."] if n else []


def _different(sources: Sequence[RunSource]) -> list[str]:
    told = []
    for fact in ("model", "chat template", "tokenizer"):
        values = dict.fromkeys(source.facts[fact] for source in sources)
        if len(values) > 1:
            told.append(
                f"The runs differ in {fact} ({', '.join(values)}): a difference between them may be due to that."
            )
    return told


def _title(sources: Sequence[RunSource], questions: Sequence[str]) -> str:
    models = ", ".join(dict.fromkeys(source.facts["model"] for source in sources))
    return f"Study of {models}" if models else questions[0] if len(questions) == 1 else "Study report"

"""Coming back to a run that was sampled: the same model, engine, settings, seed and scorer, for further rollouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotlab.chains.chain import Chain
from cotlab.chains.own_scorer import load_scorer
from cotlab.chains.settings import SamplingSettings
from cotlab.engines.base import Engine
from cotlab.errors import UserError
from cotlab.runs import Run, Study
from cotlab.sampling.budget import Budget
from cotlab.sampling.config import StudyConfig
from cotlab.sampling.open_study import SAMPLED, OpenStudy, study_engine
from cotlab.sampling.progress import Progress, Silent

__all__ = ["Revisit", "find_chain", "find_chains", "revisit"]

NAMED = 5
"""Chains that a message names."""


@dataclass(frozen=True, slots=True)
class Revisit(OpenStudy):
    """An open run with the engine that filled it."""


@contextmanager
def revisit(
    path: Path | str,
    *,
    engine: str | None = None,
    engine_options: Mapping[str, Any] | None = None,
    model: str | None = None,
    scorer: str | None = None,
    budget: str | None = None,
    progress: Progress | None = None,
    check: Callable[[Run], object] | None = None,
) -> Iterator[Revisit]:
    """Open a run for writing, and the model that it was sampled from.

    Args:
        path: Run folder.
        engine: None: as in the run's study.
        engine_options: As they were given to the study: they are not stored.
        model: Where the model is now; None: as in the run's study.
        scorer: None: as in the run's study.
        budget: Cap on tokens or time.
        progress: Told how it goes.
        check: Called with the run before the model is loaded, which takes long: raises where the asking is wrong.

    Raises:
        UserError: The run was not sampled here, or this engine is not the one that sampled it.
    """
    progress, cap = progress or Silent(), Budget.parse(budget) if budget else Budget()
    with Run.open(path, writable=True) as run:
        study = _study(run)
        if check is not None:
            check(run)
        changed = {"engine": engine, "engine_options": engine_options, "model": model, "scorer": scorer}
        config = StudyConfig.of(
            **{
                "model": run.identity.model,
                **(study.spec.get("asked") or {}),
                **{name: value for name, value in changed.items() if value is not None},
            }
        )
        with study_engine(config, progress) as opened:
            _check_same(run, opened.engine)
            settings = dict(study.spec["settings"])
            yield Revisit(
                run,
                opened.engine,
                load_scorer(config.scorer, run.identity.tags),
                SamplingSettings(**{**settings, "stop": tuple(settings["stop"])}),
                study.seed,
                cap,
                progress,
                opened.template,
            )


def find_chains(run: Run, chosen: str | None) -> Sequence[Chain]:
    """Chains of that id, or of the problem of that name or id; else those whose id starts so; None: all.

    Raises:
        UserError: There is none.
    """
    chains, problems = run.chains(), run.problems()
    named = [chain for chain in chains if chosen in (chain.id, problems[chain.problem_id].name, chain.problem_id)]
    found = named or [chain for chain in chains if chain.id.startswith(chosen or "")]
    if not found:
        what = f"no chain '{chosen}'" if chosen else "no chain"
        raise UserError(f"{what} in {run.path}; there are: {_named(run, chains)}")
    return found


def find_chain(run: Run, chosen: str | None) -> Chain:
    """The one chain that `find_chains` finds.

    Raises:
        UserError: There is none, or there are several.
    """
    found = find_chains(run, chosen)
    if len(found) > 1:
        of = f" of '{chosen}'" if chosen else ""
        raise UserError(f"{run.path} has {len(found)} chains{of}. Choose one with --chain: {_named(run, found)}")
    return found[0]


def _named(run: Run, chains: Sequence[Chain]) -> str:
    problems = run.problems()
    named = [f"{chain.id[:8]} ({problems[chain.problem_id].name or chain.role})" for chain in chains[:NAMED]]
    return ", ".join([*named, "…"] if len(chains) > NAMED else named) or "none"


def _study(run: Run) -> Study:
    studies = [study for study in run.studies() if study.spec.get("kind") in SAMPLED]
    if not studies:
        raise UserError(f"{run.path} was not sampled by cotlab, so nothing can be sampled in it. Use `cotlab resample`")
    return studies[-1]


def _check_same(run: Run, engine: Engine) -> None:
    """Rollouts of different engines must not be compared.

    Raises:
        UserError: The engine is not the one that sampled the run.
    """
    cards = run.engine_cards()
    if engine.card.id in cards:
        return
    theirs = [card.to_json() for card in cards.values() if card.engine != "given"]
    ours = engine.card.to_json()
    different = [name for name in ours if theirs and theirs[-1][name] != ours[name]]
    raise UserError(
        f"{run.path} was sampled by another engine (it differs in {', '.join(different) or 'everything'}), and effects "
        "are measured on one engine. Give the --engine and --engine-option that it was sampled with"
    )

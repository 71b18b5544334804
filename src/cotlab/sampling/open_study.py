"""A study that is open: its engine, its run folder, and what is sampled into it. Every kind of study opens here."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cotlab.chains.own_scorer import load_scorer
from cotlab.chains.scorers import Scorer
from cotlab.chains.settings import SamplingSettings
from cotlab.chains.templates import Template, TemplateKind, template_from_file
from cotlab.chains.tokens import Tokenizer
from cotlab.engines.base import Engine
from cotlab.engines.keeping import kept_engine
from cotlab.engines.load import OpenedEngine, open_engine
from cotlab.errors import UserError
from cotlab.models import ModelCard
from cotlab.runs import Run, RunIdentity, copy_records
from cotlab.sampling.budget import Budget
from cotlab.sampling.config import StudyConfig
from cotlab.sampling.draw import Sampler
from cotlab.sampling.positions import Positions
from cotlab.sampling.progress import Progress
from cotlab.sampling.scoring import score_run
from cotlab.sampling.spec import StudySpec

__all__ = ["SAMPLED", "OpenStudy", "open_study", "refuse_other_seed", "study_engine", "study_spec"]

SAMPLED = ("resample", "arms", "views")
"""Kinds of studies that begin a run here: they say what it was sampled with."""
TEMPLATE_KINDS: tuple[TemplateKind, ...] = ("r1", "qwen3", "plain", "tokenizer")


@dataclass(frozen=True, slots=True)
class OpenStudy:
    """An open run with the engine that fills it."""

    run: Run
    engine: Engine
    scorer: Scorer
    settings: SamplingSettings
    """Those of the run's last study that began with prompts."""
    seed: int
    budget: Budget
    progress: Progress
    template: Template
    """Writes the prompts of the run."""

    def sampler(self, spec: Mapping[str, Any]) -> Sampler:
        """A sampler for what is asked now; the asking is kept as a study of the run."""
        study_id = self.run.add_study(dict(spec), self.seed)
        return Sampler(self.run, self.engine, study_id, seed=self.seed, budget=self.budget, progress=self.progress)

    def score(self) -> int:
        """Score what is new; returns how many."""
        return score_run(self.run, self.scorer, progress=self.progress)


@contextmanager
def open_study(config: StudyConfig, progress: Progress, *, dry: bool = False) -> Iterator[OpenStudy]:
    """Load the model of a study, and open its run folder for writing or make it.

    Args:
        config: What is asked.
        progress: Told how it goes.
        dry: Open a copy that is thrown away.

    Raises:
        UserError: Something about the request cannot be: one line that names the value and the fix.
    """
    cap = config.budget_cap() or Budget()
    load_scorer(config.scorer)  # what cannot be is said before a model is loaded, which takes long
    with study_engine(config, progress) as opened:
        settings = study_spec(config, opened.card.sampling).settings
        scorer = load_scorer(config.scorer, opened.identity.tags)
        with _run(config, opened.identity, dry) as run:
            refuse_other_seed(run, config.seed)
            yield OpenStudy(run, opened.engine, scorer, settings, config.seed, cap, progress, opened.template)


@contextmanager
def study_engine(config: StudyConfig, progress: Progress) -> Iterator[OpenedEngine]:
    """The engine that a study samples with, with its template and model card.

    Raises:
        UserError: The model is not there, or the engine cannot run.
    """

    def load() -> OpenedEngine:
        progress.phase(f"loading {config.model}", 0)
        options = config.engine_options
        return open_engine(config.model, config.engine, options=options, template=lambda c, t: _template(config, c, t))

    files = [path for name in (config.model, config.template or "") for path in _files(Path(name))]
    stamps = tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)
    asked = (config.model, config.engine, repr(config.engine_options), config.template, config.think_tag, stamps)
    with kept_engine(asked, load) as opened:
        yield opened


def _files(path: Path) -> list[Path]:
    """Files that a model or a template is in, where its name is a folder or a file."""
    if path.is_dir():
        return sorted(entry for entry in path.iterdir() if entry.is_file())
    return [path] if path.is_file() else []


def study_spec(config: StudyConfig, recommended: SamplingSettings) -> StudySpec:
    """What is asked, with the model's recommended settings where nothing else is."""
    changed = {
        name: value
        for name in ("temperature", "top_p", "top_k", "max_tokens")
        if (value := getattr(config, name)) is not None
    }
    return StudySpec(
        settings=replace(recommended, **changed),
        n=config.n,
        seed=config.seed,
        base=(() if config.transcript else ("greedy",)) if config.base is None else config.base,
        tries=config.tries,
        positions=Positions.parse(config.positions),
        cutter=config.cutter,
        screen=config.screening(),
    )


def refuse_other_seed(run: Run, seed: int) -> None:
    """Keep rollouts of two seeds apart: their keys do not hold the seed, so they would mix.

    Raises:
        UserError: The run was sampled with another seed.
    """
    other = sorted({study.seed for study in run.studies() if study.spec.get("kind") in SAMPLED} - {seed})
    if other:
        raise UserError(
            f"{run.path} was sampled with seed {other[0]}, not {seed}. Use --seed {other[0]} or another --run"
        )


def _template(config: StudyConfig, card: ModelCard, tokenizer: Tokenizer) -> Template:
    kind = next((kind for kind in TEMPLATE_KINDS if kind == config.template), None)
    if kind is not None or config.template is None:
        template = card.template(kind)
    else:
        template = template_from_file(config.template, card.think, card.tags or Template("plain").tags)
    return (template if config.think_tag else template.without_think_tag()).bound(tokenizer)


@contextmanager
def _run(config: StudyConfig, identity: RunIdentity, dry: bool) -> Iterator[Run]:
    folder = config.run_folder()
    if not dry:
        with Run.open_or_create(folder, identity) as run:
            yield run
        return
    with tempfile.TemporaryDirectory(prefix="cotlab-dry-") as scratch:
        copy = Path(scratch) / "run"
        if folder.exists():
            copy_records(folder, copy)
        with Run.open_or_create(copy, identity) as run:
            yield run

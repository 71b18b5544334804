"""What a question is given to answer itself with, and what it gives back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

import cotlab as ct
from cotlab.errors import DataError, UserError, fault_of
from cotlab.problems import Arm, View
from cotlab.reports import Finding, Planted, Recovered, Table
from cotlab.sampling import (
    AskedStudy,
    Budget,
    FinishedStudy,
    Progress,
    Revisit,
    Silent,
    StudyConfig,
    ViewedStudy,
    sample_arms,
    sample_views,
)
from cotlab.stats import NullRate

__all__ = ["HERE", "Answer", "Config", "Lab", "Size", "questions", "read_config"]

HERE = Path(__file__).parent
CONFIG_FILE, ANSWER_FILE = "config.json", "answer.py"
SHARED = "shared"
"""Folder beside those of the questions, for run folders that several of them stand on."""
Size = int | float | str | bool


class Config(BaseModel):
    """`config.json` of a question."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str
    method: str
    """In sentences; stands in the results."""
    model: str = "tiny"
    problems: str
    sizes: dict[str, dict[str, Size]]
    """How much, by name of a budget; `small` and `full` are there always."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question found. Warnings about reasoning that was cut off are added by the driver."""

    estimates: tuple[Finding, ...]
    planted: tuple[Planted, ...] = ()
    recovered: tuple[Recovered, ...] = ()
    null_rate: tuple[NullRate, ...] = ()
    warnings: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: Mapping[str, str] = field(default_factory=dict)
    """SVG documents by file name."""
    commands: tuple[str, ...] = ()
    """Others than the one that was run: the same numbers from the command line."""


@dataclass(slots=True)
class Lab:
    """One question, as it was asked."""

    name: str
    config: Config
    model: str
    problems: str
    size_name: str
    out: Path
    """Folder of this question: run folders, tables, figures."""
    seed: int = 0
    engine: str = "auto"
    budget: Budget = field(default_factory=Budget)
    """Cap on what is drawn in this call, beside the sizes."""
    max_tokens: int | None = None
    """Cap on the tokens of a response of the model that is asked about; None: as its card says."""
    data: Path | None = None
    """Published data of others that the question takes, where there is some."""
    progress: Progress = field(default_factory=Silent)
    studies: list[FinishedStudy | AskedStudy | ViewedStudy] = field(default_factory=list)
    """Every study that was asked for."""
    touched: list[Path] = field(default_factory=list)
    """Run folders that the numbers stand on."""
    counted: dict[Path, int] = field(default_factory=dict)
    """Of run folders that several questions share: rollouts that this question's numbers stand on."""

    @property
    def folder(self) -> Path:
        """Where the question lives in the repository."""
        return HERE / self.name

    def number(self, name: str) -> int:
        """A whole number of the sizes.

        Raises:
            UserError: The config has none of that name.
        """
        found = self._size(name)
        if isinstance(found, bool) or not isinstance(found, int):
            raise UserError(f"{name} is {found!r} in {self.folder / CONFIG_FILE}, expected a whole number")
        return found

    def text(self, name: str) -> str:
        """A text of the sizes (positions, say).

        Raises:
            UserError: The config has none of that name.
        """
        return str(self._size(name))

    def _size(self, name: str) -> Size:
        sizes = self.config.sizes[self.size_name]
        if name not in sizes:
            raise UserError(f"{self.folder / CONFIG_FILE} has no '{name}' under sizes.{self.size_name}: add it")
        return sizes[name]

    def resample(self, into: str | None = None, *, share: float = 1.0, **asked: Any) -> FinishedStudy:
        """A resampling study; what its run folder holds is not drawn again.

        Args:
            into: Name of a run folder of this question; None: one beside the questions, named after the request, which
                all questions share that ask for the same chains.
            share: Part of the budget that it may take.
            asked: Fields of `StudyConfig`; model, problems, engine and seed are those asked for where not given.

        Raises:
            UserError: Something about the request cannot be.
        """
        fields: dict[str, Any] = {"model": self.model, "problems": self.problems, "engine": self.engine}
        own_model = "model" not in asked
        fields |= {"seed": self.seed} | ({"max_tokens": self.max_tokens} if own_model else {}) | asked
        if str(fields["model"]).startswith("markov:"):
            fields["engine"] = "auto"
        own = self.out / into if into is not None else None
        run = own or self.out.parent / SHARED / StudyConfig.of(**fields).run_folder().name
        study = ct.resample(progress=self.progress, run=run, budget=_written(self.part(share)), **fields)
        self.studies.append(study)
        self.uses(study.path)
        return study

    def ask(self, arms: Sequence[Arm], *, share: float = 1.0, **asked: Any) -> AskedStudy:
        """A study of arms in a run folder that questions share which ask the same problems of the same model.

        Args:
            arms: How the problems are asked; those that the folder holds already are not asked again.
            share: Part of the budget that it may take.
            asked: Fields of `StudyConfig`, as in `resample`.

        Raises:
            UserError: Something about the request cannot be.
        """
        fields: dict[str, Any] = {"model": self.model, "problems": self.problems, "engine": self.engine}
        fields |= {"seed": self.seed, "max_tokens": self.max_tokens, "budget": _written(self.part(share))} | asked
        config = StudyConfig.of(**fields)
        run = self.out.parent / SHARED / f"arms-{config.run_folder().name}"
        study = sample_arms(config.model_copy(update={"run": run}), arms, progress=self.progress)
        self.studies.append(study)
        self.uses(study.path)
        return study

    def show(self, views: Sequence[View], *, share: float = 1.0, **asked: Any) -> ViewedStudy:
        """A study of views in a run folder that questions share which ask the same problems of the same model.

        Args:
            views: How the questions are shown; what the folder holds already is not asked again.
            share: Part of the budget that it may take.
            asked: Fields of `StudyConfig`, as in `resample`.

        Raises:
            UserError: Something about the request cannot be.
        """
        engine = "transformers" if self.engine == "auto" else self.engine  # others show no images
        fields: dict[str, Any] = {"model": self.model, "problems": self.problems, "engine": engine}
        fields |= {"seed": self.seed, "max_tokens": self.max_tokens, "budget": _written(self.part(share))} | asked
        config = StudyConfig.of(**fields)
        run = self.out.parent / SHARED / f"views-{config.run_folder().name}"
        study = sample_views(config.model_copy(update={"run": run}), views, progress=self.progress)
        self.studies.append(study)
        self.uses(study.path)
        return study

    @contextmanager
    def again(self, study: FinishedStudy | AskedStudy, *, share: float = 1.0) -> Iterator[Revisit]:
        """The run of a study with its engine, for further rollouts.

        Raises:
            UserError: The model is not there any more.
        """
        with ct.revisit(study.path, progress=self.progress, budget=_written(self.part(share))) as found:
            yield found

    def uses(self, run: Path) -> None:
        """Say that the numbers stand on a run folder: its rollouts are counted, and looked through for cut-off ones."""
        if run not in self.touched:
            self.touched.append(run)

    def part(self, share: float) -> Budget:
        """That part of the budget; no cap where there is none.

        Raises:
            ValueError: The share is not in (0, 1].
        """
        if not 0 < share <= 1:
            raise ValueError(f"share is {share}, expected above 0 and at most 1")
        tokens, seconds = self.budget.tokens, self.budget.seconds
        return Budget(
            None if tokens is None else max(1, int(tokens * share)), None if seconds is None else seconds * share
        )


def questions() -> list[str]:
    """Names of all questions."""
    folders = (entry for entry in HERE.iterdir() if (entry / ANSWER_FILE).is_file())
    return sorted(entry.name for entry in folders if (entry / CONFIG_FILE).is_file())


def read_config(name: str) -> Config:
    """The config of a question.

    Raises:
        UserError: There is no such question, or its config is bad.
    """
    if name not in questions():
        raise UserError(f"no question '{name}': choose one of {', '.join([*questions(), 'all'])}")
    file = HERE / name / CONFIG_FILE
    try:
        config = Config.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise DataError(f"{file}: {fault_of(error)}") from error
    if lacking := {"small", "full"} - set(config.sizes):
        raise DataError(f"{file} has no sizes for {', '.join(sorted(lacking))}: add them")
    return config


def _written(budget: Budget) -> str | None:
    """As `StudyConfig` takes it."""
    if budget.tokens is not None:
        return str(budget.tokens)
    return None if budget.seconds is None else f"{budget.seconds:g}s"

"""What an experiment found, as `results.json`: the question, its estimates, what was planted and what came back of it.

One file an experiment, written by `python -m experiments`, read by the workbench and by study reports:

    found = read_experiment(Path("experiments/lucky"))     # the folder or its results.json
    found.estimates[0].estimate()                          # an `Estimate` again
    experiment_markdown(found)                             # what stands in results.md
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cotlab.errors import DataError, UserError, fault_of
from cotlab.reports.files import write_whole
from cotlab.stats import Estimate, NullRate

__all__ = [
    "RESULTS_FILE",
    "Evidence",
    "Experiment",
    "Finding",
    "Null",
    "Planted",
    "Recovered",
    "Table",
    "find_experiments",
    "read_experiment",
    "write_experiment",
]

RESULTS_FILE = "results.json"
MAX_BYTES = 64 << 20
Evidence = Literal["observed", "caused", "correlated"]
"""What a number stands on: behaviour that was watched, an intervention with its control, or a reading beside it."""
Cell = str | int | float | bool | None


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Finding(_Frozen):
    """One number with all that says how sure it is; the fields from `value` on are those of `Estimate`."""

    name: str
    """What was measured."""
    group: str = ""
    """Of what: an arm, a temperature, a category. Findings of one name are compared over groups."""
    evidence: Evidence = "observed"
    unit: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    n1: int | None = None
    n2: int | None = None
    level: float = 0.95
    null_mean: float | None = None
    null_q95: float | None = None
    p: float | None = None
    q: float | None = None
    method: str = ""
    reason: str | None = None

    @classmethod
    def of(
        cls, name: str, estimate: Estimate, *, group: str = "", evidence: Evidence = "observed", unit: str = ""
    ) -> Finding:
        """An estimate under its name."""
        return cls(name=name, group=group, evidence=evidence, unit=unit, **asdict(estimate))

    def estimate(self) -> Estimate:
        """Without its name."""
        return Estimate(**self.model_dump(exclude={"name", "group", "evidence", "unit"}))


class Planted(_Frozen):
    """What is true by construction."""

    name: str
    value: float | str | None
    source: str
    """Who knows it: the law of the toy model, the oracle of the task, the recipe of a variant, published data."""


class Recovered(_Frozen):
    """Whether the method found what was planted."""

    name: str
    planted: float | str | None
    value: float | str | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    ok: bool | None
    """None where there was too little to tell, which is no failure of the method."""
    rule: str
    """What `ok` means: "the interval holds it", "found within a step", …"""

    @classmethod
    def within(cls, name: str, planted: float, found: Estimate, *, tolerance: float = 1e-9) -> Recovered:
        """A planted number is recovered where the interval holds it, up to rounding."""
        low, high = found.low, found.high
        ok = low is not None and high is not None and low - tolerance <= planted <= high + tolerance
        rule = f"the {100 * found.level:g}% interval holds it"
        return cls(name=name, planted=planted, value=found.value, low=low, high=high, n=found.n, ok=ok, rule=rule)


class Null(_Frozen):
    """How often the analysis of shuffled labels finds something (`stats.NullRate`)."""

    analysis: str
    value: float
    low: float
    high: float
    found: int
    n: int
    level: float
    allowed: float

    @classmethod
    def of(cls, rate: NullRate) -> Null:
        """A rate as it is written."""
        return cls(**asdict(rate))


class Table(_Frozen):
    """Rows beside the estimates: what a reader wants to look up."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


class Experiment(_Frozen):
    """Everything in `results.json`."""

    format: Literal["cotlab-experiment/1"] = "cotlab-experiment/1"
    name: str
    question: str
    model: str
    problems: str
    method: str
    estimates: tuple[Finding, ...]
    planted: tuple[Planted, ...] = ()
    recovered: tuple[Recovered, ...] = ()
    null_rate: tuple[Null, ...] = ()
    """One for each analysis that may find something."""
    warnings: tuple[str, ...] = ()
    """What a reader must know before a number: reasoning that was cut off, a budget that ended the drawing, …"""
    limits: tuple[str, ...] = ()
    """What it does not say."""
    tables: tuple[Table, ...] = ()
    figures: tuple[str, ...] = ()
    """File names beside `results.json`."""
    commands: tuple[str, ...]
    versions: dict[str, str]
    sizes: dict[str, Cell] = {}
    """How much was asked for: rollouts, problems, shuffles."""
    seed: int = 0
    rollouts: int = 0
    """Rollouts that the numbers stand on: of a run folder that questions share, only this question's."""
    cpu_seconds: Annotated[float, Field(ge=0)] = 0.0

    @property
    def all_recovered(self) -> bool:
        """Whether everything that was planted came back, of what there was enough to tell of."""
        return all(one.ok is not False for one in self.recovered)

    @property
    def recovered_told(self) -> str:
        """How much of what was planted came back: "22 of 25", those left out of which there was too little to tell."""
        told = [one.ok for one in self.recovered if one.ok is not None]
        return f"{sum(told)} of {len(told)}"


def write_experiment(experiment: Experiment, folder: Path) -> Path:
    """Write `results.json` into a folder, whole or not at all.

    Raises:
        UserError: The folder cannot be written to.
    """
    document = experiment.model_dump(mode="json")
    text = json.dumps(_rounded(document), indent=1, ensure_ascii=False, allow_nan=False)
    return write_whole(folder / RESULTS_FILE, text + "\n", "result table")


def read_experiment(path: Path) -> Experiment:
    """What an experiment found.

    Args:
        path: Its `results.json`, or the folder that holds it.

    Raises:
        DataError: There is none, or it is none of ours (older experiments have tables of their own).
    """
    file = path / RESULTS_FILE if path.is_dir() else path
    try:
        if file.stat().st_size > MAX_BYTES:
            raise DataError(f"{file} has {file.stat().st_size:,} bytes, the limit is {MAX_BYTES:,}")
        return Experiment.model_validate_json(file.read_bytes())
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}): run the experiment first") from error
    except ValidationError as error:
        raise DataError(f"{file} holds no results of cotlab-experiment/1 ({fault_of(error)})") from error


def find_experiments(folder: Path) -> Iterable[tuple[Path, Experiment]]:
    """Every experiment in the folders of a folder, by name; folders with tables of another kind are passed over."""
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (entry / RESULTS_FILE).is_file():
            try:
                yield entry, read_experiment(entry)
            except UserError:
                continue


def _rounded(value: Any) -> Any:
    """Six significant digits: more is noise, and would make every new table differ from the old one everywhere."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value

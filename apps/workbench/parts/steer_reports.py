"""Behaviour reports (`cotlab steer report --out`) under the folder of runs, read and checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

import cotlab as ct
from cotlab.errors import DataError
from cotlab.interventions import Baseline
from cotlab.runs import Run
from cotlab.stats import Estimate

__all__ = ["Report", "Sample", "read_report", "report_names", "samples"]

FILE = "report.json"
LARGEST = 50_000_000
"""Bytes of a report."""
MOST = 200
"""Pairs that are offered."""


@dataclass(frozen=True, slots=True)
class Dose:
    """One dose with its controls."""

    dose: float
    measures: dict[str, Estimate]
    beyond_random: Estimate
    controls: dict[str, list[dict[str, Estimate]]]


@dataclass(frozen=True, slots=True)
class Report:
    """What a steering study found."""

    behaviour: str
    hook: str
    vector: str
    verdict: str
    baseline: dict[str, Estimate]
    doses: tuple[Dose, ...]

    @property
    def control_names(self) -> list[str]:
        """Kinds of controls, in the order in which they were drawn."""
        return list(dict.fromkeys(name for row in self.doses for name in row.controls))


@dataclass(frozen=True, slots=True)
class Sample:
    """Two rollouts of one prompt and seed."""

    question: str
    sample_idx: int
    dose: float
    plain: str
    steered: str


def report_names(root: Path) -> list[str]:
    """Folders directly under the root that hold a report; links are none."""
    if not root.is_dir():
        return []
    return sorted(
        entry.name
        for entry in root.iterdir()
        if not entry.is_symlink() and (entry / FILE).is_file() and not (entry / FILE).is_symlink()
    )


def read_report(root: Path, name: str) -> Report:
    """One report.

    Raises:
        DataError: There is none of that name, or it is none.
    """
    if name not in report_names(root):
        raise DataError(f"no report is named {name[:80]!r} here. Choose one of the list")
    file = root / name / FILE
    if file.stat().st_size > LARGEST:
        raise DataError(f"{name}/{FILE} is larger than {LARGEST:,} bytes: it is no behaviour report")
    try:
        found = TypeAdapter(dict[str, Any]).validate_json(file.read_bytes())
        return Report(
            str(found["behaviour"]),
            str(found["hook"]),
            str(found["vector"]),
            str(found["verdict"]),
            _estimates(found["baseline"]),
            tuple(_dose(row) for row in found["doses"]),
        )
    except (ValidationError, KeyError, TypeError, ValueError, AttributeError) as error:
        told = re.sub(r"\s+", " ", str(error))[:120]
        raise DataError(f"{name}/{FILE} is no behaviour report ({told}). Run `cotlab steer report` again") from error


def _dose(row: dict[str, Any]) -> Dose:
    measures = {k: v for k, v in row.items() if isinstance(v, dict) and "value" in v and k != "beyond_random"}
    controls = {kind: [_estimates(one) for one in ones] for kind, ones in row["controls"].items()}
    return Dose(float(row["dose"]), _estimates(measures), _estimate(row["beyond_random"]), controls)


def _estimates(found: dict[str, Any]) -> dict[str, Estimate]:
    return {name: _estimate(one) for name, one in found.items() if isinstance(one, dict) and "value" in one}


def _estimate(found: dict[str, Any]) -> Estimate:
    return TypeAdapter(Estimate).validate_python(found)


def samples(root: Path, name: str, report: Report, dose: float) -> list[Sample]:
    """Pairs of rollouts without and with the vector, from the run beside a report; none where it is not there.

    Raises:
        RunError: The run cannot be opened.
    """
    if name not in report_names(root) or not (root / name / "run").is_dir():
        return []
    with Run.open(ct.find_run(root / name, "run")) as run:
        steered = next((key for key, spec in run.interventions().items() if _is(spec, report.vector, dose)), None)
        if steered is None:
            return []
        questions = {key: problem.question for key, problem in run.problems().items()}
        problem_of = {row.id: row.problem_id for row in run.prefixes()}
        found = []
        for rollout in run.rollouts(intervention_id=steered):
            plain = next(
                (
                    row.id
                    for row in run.rollouts(prefix_id=rollout.prefix_id, intervention_id=Baseline().id, bodies=False)
                    if row.sample_idx == rollout.sample_idx and row.settings_id == rollout.settings_id
                ),
                None,
            )
            if plain is not None:
                question = questions.get(problem_of[rollout.prefix_id], "")
                found.append(Sample(question, rollout.sample_idx, dose, run.rollout(plain).text, rollout.text))
            if len(found) == MOST:
                break
    return found


def _is(spec: Any, vector: str, dose: float) -> bool:
    """Whether an intervention adds that vector at that dose."""
    told = str(spec.get("vector", "")) if isinstance(spec, dict) else ""
    doses: list[float] = (spec.get("doses") or []) if isinstance(spec, dict) else []
    return told == vector and bool(doses) and all(abs(float(one) - dose) < 1e-9 for one in doses)

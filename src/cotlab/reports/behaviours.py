"""Behaviour reports (`cotlab steer report --out`): `report.json`, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cotlab.errors import DataError, fault_of
from cotlab.stats import Estimate

__all__ = ["BEHAVIOUR_FILE", "BehaviourReport", "DoseReport", "read_behaviour"]

BEHAVIOUR_FILE = "report.json"
LARGEST = 50_000_000
"""Bytes of a report."""


@dataclass(frozen=True, slots=True)
class DoseReport:
    """One dose with its controls."""

    dose: float
    measures: dict[str, Estimate]
    shifts: dict[str, Estimate]
    """Against the unsteered arm, paired by problem and seed."""
    beyond_random: Estimate
    controls: dict[str, list[dict[str, Estimate]]]


@dataclass(frozen=True, slots=True)
class BehaviourReport:
    """What a steering study found."""

    behaviour: str
    hook: str
    vector: str
    model: str
    """As the vector's card names it; empty where it does not."""
    verdict: str
    baseline: dict[str, Estimate]
    doses: tuple[DoseReport, ...]

    @property
    def control_names(self) -> list[str]:
        """Kinds of controls, in the order in which they were drawn."""
        return list(dict.fromkeys(name for row in self.doses for name in row.controls))


def read_behaviour(file: Path) -> BehaviourReport:
    """One report.

    Args:
        file: Its `report.json`.

    Raises:
        DataError: It cannot be read, or is none.
    """
    name = f"{file.parent.name}/{file.name}"
    try:
        if file.stat().st_size > LARGEST:
            raise DataError(f"{name} is larger than {LARGEST:,} bytes: it is no behaviour report")
        found = TypeAdapter(dict[str, Any]).validate_json(file.read_bytes())
        return BehaviourReport(
            str(found["behaviour"]),
            str(found["hook"]),
            str(found["vector"]),
            str((found.get("card") or {}).get("model", "")),
            str(found["verdict"]),
            _estimates(found["baseline"]),
            tuple(_dose(row) for row in found["doses"]),
        )
    except OSError as error:
        raise DataError(f"{name} cannot be read ({error.strerror}). Run `cotlab steer report` first") from error
    except (ValidationError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{name} is no behaviour report ({fault_of(error)}). Run `cotlab steer report` again"
        ) from error


def _dose(row: dict[str, Any]) -> DoseReport:
    measures = {k: v for k, v in row.items() if isinstance(v, dict) and "value" in v and k != "beyond_random"}
    controls = {kind: [_estimates(one) for one in ones] for kind, ones in row["controls"].items()}
    return DoseReport(
        float(row["dose"]),
        _estimates(measures),
        _estimates(row.get("shifts") or {}),
        _estimate(row["beyond_random"]),
        controls,
    )


def _estimates(found: dict[str, Any]) -> dict[str, Estimate]:
    return {name: _estimate(one) for name, one in found.items() if isinstance(one, dict) and "value" in one}


def _estimate(found: dict[str, Any]) -> Estimate:
    return TypeAdapter(Estimate).validate_python(found)

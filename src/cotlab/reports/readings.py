"""What a job read inside a model: the file that it wrote, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from cotlab.chains.chain import Chain
from cotlab.errors import DataError, fault_of
from cotlab.sampling import reading_file

__all__ = ["Head", "ProbeLine", "Reading", "read_reading"]

LARGEST = 200_000_000
"""Bytes of a reading."""
Matrix = list[list[float]]


class Head(BaseModel):
    """A receiver head."""

    model_config = ConfigDict(frozen=True)

    layer: int
    head: int
    kurtosis: float
    attention: Matrix


class ProbeLine(BaseModel):
    """What a probe says at the end of each step."""

    model_config = ConfigDict(frozen=True)

    file: str
    label: str
    hook: str
    probability: list[float]


class Reading(BaseModel):
    """A chain, read on the inside (`cotlab.whitebox.jobs.inside_job`)."""

    model_config = ConfigDict(frozen=True)

    format: Literal["cotlab-inside/1"]
    model: str
    chain: str
    spans: list[tuple[int, int]]
    lens_kl: Matrix
    lens_agrees: Matrix
    attention: Matrix
    min_distance: int
    heads: list[Head]
    heads_reason: str = ""
    kurtosis: Matrix = []
    probes: list[ProbeLine]
    suppression: list[list[float | None]] = []

    @model_validator(mode="after")
    def _fits(self) -> Reading:
        n = len(self.spans)
        rows = [*self.lens_kl, *self.lens_agrees, *self.attention, *(probe.probability for probe in self.probes)]
        lengths = {len(row) for row in rows} | {len(row) for row in self.suppression}
        lengths |= {len(row) for head in self.heads for row in head.attention}
        if lengths - {n} or len(self.attention) != n:
            raise ValueError(f"rows do not fit the {n} steps")
        return self


def read_reading(run: Path, chain: Chain) -> Reading | None:
    """The reading of a chain; None where there is none.

    Raises:
        DataError: It is damaged, too large, of another version, or of a chain with other steps.
    """
    file = reading_file(run, chain.id)
    if not file.is_file() or file.is_symlink() or file.parent.is_symlink():
        return None
    if file.stat().st_size > LARGEST:
        raise DataError(f"{file.name} is larger than {LARGEST:,} bytes. Delete it, and read the chain again")
    try:
        found = Reading.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise DataError(
            f"{file.name} is no reading ({fault_of(error)}). Delete it, and read the chain again"
        ) from error
    if len(found.spans) != len(chain.steps):
        raise DataError(f"{file.name} is of a chain of {len(found.spans)} steps. Delete it, and read the chain again")
    return found

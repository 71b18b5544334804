"""Feature dashboards (`cotlab sae features`, and what the page itself asked for), read and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from cotlab.errors import DataError, fault_of
from cotlab.stats import Estimate

__all__ = ["Along", "Context", "Feature", "FeatureDocument", "documents", "read_checked", "read_document"]

Checked = TypeVar("Checked", bound=BaseModel)
LARGEST = 200_000_000
"""Bytes of a document."""


class Card(BaseModel):
    """Of the autoencoder."""

    model_config = ConfigDict(frozen=True)

    name: str
    point: str
    activation: str
    units: str


class Context(BaseModel):
    """Tokens around a place."""

    model_config = ConfigDict(frozen=True)

    category: str
    tokens: list[str]
    values: list[float]
    peak: int

    @model_validator(mode="after")
    def _fits(self) -> Context:
        if len(self.tokens) != len(self.values):
            raise ValueError("a context has other values than tokens")
        return self


class CategoryRow(BaseModel):
    """How often a feature is active in steps of a category."""

    model_config = ConfigDict(frozen=True)

    category: str
    rate: Estimate
    n_active: int
    n_tokens: int


class Label(BaseModel):
    """Tokens that a feature is active at."""

    model_config = ConfigDict(frozen=True)

    text: str
    detection: Estimate


class Said(BaseModel):
    """What a model said of a feature."""

    model_config = ConfigDict(frozen=True)

    explanation: str
    judge: str
    detection: Estimate


class Feature(BaseModel):
    """One feature."""

    model_config = ConfigDict(frozen=True)

    feature: int
    rate: Estimate
    n_active: int
    mean_active: float
    largest: float
    edges: list[float]
    counts: list[int]
    contexts: list[Context]
    spread: list[Context]
    raises: list[tuple[str, float]]
    lowers: list[tuple[str, float]]
    coactive: list[tuple[int, float]]
    along: list[float]
    categories: list[CategoryRow]
    label: Label
    link: str = ""
    interpretation: Said | None = None


class Along(BaseModel):
    """All features that are active at the tokens of one chain."""

    model_config = ConfigDict(frozen=True)

    tokens: list[str]
    ends: list[int]
    active: dict[str, list[tuple[int, float]]]

    def values(self, feature: int) -> list[float]:
        """How active a feature is at each token."""
        found = [0.0] * len(self.tokens)
        for token, value in self.active.get(str(feature), []):
            if 0 <= token < len(found):
                found[token] = value
        return found

    def by_step(self, feature: int) -> list[float]:
        """The largest activation in each step."""
        values, starts = self.values(feature), [0, *self.ends[:-1]]
        return [max(values[start:end], default=0.0) for start, end in zip(starts, self.ends, strict=True)]


class Row(BaseModel):
    """A row of the overview."""

    model_config = ConfigDict(frozen=True)

    feature: int
    rate: float
    reason: Estimate
    category: str
    auc: float | None
    q: float | None
    label: str


class Overview(BaseModel):
    """Features at a glance."""

    model_config = ConfigDict(frozen=True)

    rows: list[Row]
    words: list[str]
    reason_missing: str


class FeatureDocument(BaseModel):
    """Dashboards of one autoencoder on one run."""

    model_config = ConfigDict(frozen=True)

    format: Literal["cotlab-features/1"]
    card: Card
    sae_id: str
    model: str
    d_sae: int
    n_tokens: int
    n_rollouts: int
    n_problems: int
    l0: float
    n_silent: int
    features: list[Feature]
    overview: Overview | None = None
    along: dict[str, Along] = {}


def documents(root: Path, run: Path) -> dict[str, Path]:
    """Documents by name: those of the run, then `features.json` of folders under the root; links are none."""
    own = run / "features"
    found = (
        {} if own.is_symlink() or not own.is_dir() else {f"this run, {path.stem}": path for path in own.glob("*.json")}
    )
    if root.is_dir():
        for folder in sorted(root.iterdir()):
            file = folder / "features.json"
            if not folder.is_symlink() and file.is_file():
                found[folder.name] = file
    return {name: path for name, path in sorted(found.items(), key=lambda pair: pair[0]) if not path.is_symlink()}


def read_document(path: Path) -> FeatureDocument:
    """One document. Raises what `read_checked` does."""
    return read_checked(path, FeatureDocument, "dashboards", LARGEST)


def read_checked(path: Path, kind: type[Checked], what: str, largest: int) -> Checked:
    """A document that a job wrote, or that somebody put there.

    Raises:
        DataError: It is damaged, too large (bytes), or of another version.
    """
    if path.stat().st_size > largest:
        raise DataError(f"{path.name} is larger than {largest:,} bytes. Delete it, and read the features again")
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise DataError(
            f"{path.name} holds no {what} ({fault_of(error)}). Delete it, and read the features again"
        ) from error

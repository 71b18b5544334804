"""Traces of the math-rollouts format: what its files hold, read and checked, before anything is stored.

Local layout, one folder a trace: problem.json, base_solution.json, chunks.json, chunks_labeled.json and
`chunk_i/solutions.json`; answers that were forced lie in a folder beside, whose name ends in `_forced_answer`. The web
copy has chunks_resampled.json, step_importance.json and summary.json in the place of the solutions: first sentences
without what followed them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from cotlab.errors import DataError
from cotlab.runs.imports.checked import Fields, items
from cotlab.runs.imports.sources import Source

__all__ = ["COLUMNS", "LabelledChunk", "Solution", "Trace", "TraceName", "read_trace", "trace_names"]

COLUMNS = (
    "accuracy",
    "resampling_importance_accuracy",
    "resampling_importance_kl",
    "counterfactual_importance_accuracy",
    "counterfactual_importance_kl",
    "forced_importance_accuracy",
    "forced_importance_kl",
    "different_trajectories_fraction",
    "overdeterminedness",
)
"""Numbers of a row of chunks_labeled.json, in its order."""
FORCED = "_forced_answer"
MAX_CHUNKS = 100_000
_TRACE_FILES = ("base_solution.json", "chunks_labeled.json", "chunks.json")
_CHUNK = re.compile(r"chunk_(\d{1,6})/solutions\.json")


@dataclass(frozen=True, slots=True)
class TraceName:
    """Where a trace is, and what its path says."""

    folder: str
    """Relative to the source, with slashes; "" for the source itself."""
    model: str
    base: str
    """correct_base_solution or incorrect_base_solution; "" where the path does not say."""
    problem: str
    """problem_N."""
    sampling: str
    """temperature_0.6_top_p_0.95; "" where the path does not say."""


@dataclass(frozen=True, slots=True)
class Solution:
    """One rollout, or one that failed."""

    chunk_removed: str
    prefix_without_chunk: str
    chunk_resampled: str
    rollout: str
    full_cot: str
    answer: str
    is_correct: bool | None
    error: str | None = None

    def kept(self, prompt: str) -> str:
        """What the rollout went on from, as it was: between prompt and rollout; without a full_cot, as it is told."""
        if self.full_cot.startswith(prompt) and self.full_cot.endswith(self.rollout) and self.rollout:
            return self.full_cot[len(prompt) : len(self.full_cot) - len(self.rollout)]
        return self.prefix_without_chunk


@dataclass(frozen=True, slots=True)
class LabelledChunk:
    """A row of chunks_labeled.json."""

    chunk: str
    function_tags: list[str]
    depends_on: list[str]
    numbers: dict[str, float]
    """Those of `COLUMNS` that are there."""
    summary: str | None


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything about one base solution."""

    name: TraceName
    problem: dict[str, Any]
    base: dict[str, Any]
    chunks: list[str]
    labelled: dict[int, LabelledChunk]
    solutions: dict[int, list[Solution]] = field(default_factory=dict)
    forced: dict[int, list[Solution]] = field(default_factory=dict)
    resampled: dict[int, list[str]] = field(default_factory=dict)
    """First sentences, in the web copy."""
    impacts: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    """Step importance: (target, score) by source."""


def trace_names(source: Source) -> list[TraceName]:
    """The traces of a source, sorted; folders of forced answers belong to the trace beside them.

    Raises:
        DataError: There are none.
    """
    folders = {str(PurePosixPath(name).parent) for name in source.names() if name.endswith(_TRACE_FILES)}
    found = []
    for folder in sorted("" if one == "." else one for one in folders):
        parts = [*source.root.resolve().parts, *PurePosixPath(folder).parts]
        base = next((part for part in reversed(parts) if "base_solution" in part), "")
        if not base.endswith(FORCED):
            found.append(_named(folder, parts, base))
    if not found:
        raise DataError(
            f"{source.root} holds no trace: expected folders with base_solution.json and chunks_labeled.json"
        )
    return found


def _named(folder: str, parts: list[str], base: str) -> TraceName:
    sampling = next((part for part in reversed(parts) if part.startswith("temperature_")), "")
    above = parts[: len(parts) - 1 - parts[::-1].index(base)] if base else []
    above = [part for part in above if part != sampling]
    return TraceName(folder, above[-1] if above else "unknown model", base, parts[-1], sampling)


def read_trace(source: Source, name: TraceName) -> Trace:
    """Read and check one trace.

    Raises:
        DataError: A file is missing or holds something else; one line.
    """
    files = set(source.names())
    prefix = f"{name.folder}/" if name.folder else ""

    def load(file: str) -> Any:
        return source.json(prefix + file) if prefix + file in files else None

    where = f"{source.root}: {prefix}"
    problem = Fields(_or_empty(load("problem.json")), f"{where}problem.json")
    base = Fields(_or_empty(load("base_solution.json")), f"{where}base_solution.json")
    problem.text("problem", "")
    for key in ("prompt", "solution", "answer"):
        base.text(key, "")
    base.flag("is_correct")
    labelled = _labelled(load("chunks_labeled.json"), f"{where}chunks_labeled.json")
    chunks = _chunks(load("chunks.json"), labelled, where)
    return Trace(
        name,
        problem.values,
        base.values,
        chunks,
        labelled,
        _solutions(source, files, prefix, len(chunks)),
        _solutions(source, files, _forced_prefix(name), len(chunks)) if name.base else {},
        _resampled(load("chunks_resampled.json"), len(chunks), f"{where}chunks_resampled.json"),
        _impacts(load("step_importance.json"), len(chunks), f"{where}step_importance.json"),
    )


def _or_empty(value: Any) -> Any:
    return {} if value is None else value


def _forced_prefix(name: TraceName) -> str:
    parts = list(PurePosixPath(name.folder).parts)
    return "/".join(part + FORCED if part == name.base else part for part in parts) + "/" if parts else ""


def _labelled(value: object, where: str) -> dict[int, LabelledChunk]:
    found: dict[int, LabelledChunk] = {}
    for place, row in enumerate(items(value, where) if value is not None else []):
        fields = Fields(row, f"{where}, row {place}")
        index = fields.integer("chunk_idx")
        if index in found or index > MAX_CHUNKS:
            raise DataError(f"{fields.where}: chunk_idx {index} is there twice or larger than {MAX_CHUNKS:,}")
        numbers = {name: fields.number(name) for name in COLUMNS}
        found[index] = LabelledChunk(
            fields.text("chunk", ""),
            fields.texts("function_tags"),
            fields.texts("depends_on"),
            {name: number for name, number in numbers.items() if number is not None},
            fields.text("summary") if fields.values.get("summary") is not None else None,
        )
    return found


def _chunks(value: object, labelled: dict[int, LabelledChunk], where: str) -> list[str]:
    if value is not None:
        found = Fields(value, f"{where}chunks.json").texts("chunks")
    else:
        if sorted(labelled) != list(range(len(labelled))):
            raise DataError(f"{where}chunks_labeled.json: the chunks 0 … {len(labelled) - 1} are not all there")
        found = [labelled[i].chunk for i in range(len(labelled))]
    if not found or any(not chunk.strip() for chunk in found):
        raise DataError(f"{where}: no chunks, or an empty one among them")
    return found


def _solutions(source: Source, files: set[str], prefix: str, n_chunks: int) -> dict[int, list[Solution]]:
    found = {}
    for file in sorted(files):
        match = _CHUNK.fullmatch(file.removeprefix(prefix)) if file.startswith(prefix) else None
        if match is None:
            continue
        index, where = int(match[1]), f"{source.root}: {file}"
        if index >= n_chunks:
            raise DataError(f"{where}: the trace has {n_chunks} chunks only")
        found[index] = [_solution(row, f"{where}, row {i}") for i, row in enumerate(items(source.json(file), where))]
    return found


def _solution(row: object, where: str) -> Solution:
    fields = Fields(row, where)
    return Solution(
        fields.text("chunk_removed", ""),
        fields.text("prefix_without_chunk", ""),
        fields.text("chunk_resampled", ""),
        fields.text("rollout", ""),
        fields.text("full_cot", ""),
        fields.text("answer", ""),
        fields.flag("is_correct"),
        fields.text("error", "unknown") if "error" in fields.values else None,
    )


def _resampled(value: object, n_chunks: int, where: str) -> dict[int, list[str]]:
    if value is None:
        return {}
    fields, found = Fields(value, where), {}
    for key in fields.values:
        if not re.fullmatch(r"\d{1,6}", key) or int(key) >= n_chunks:
            raise DataError(f"{where}: {key[:40]!r} is no chunk of 0 … {n_chunks - 1}")
        found[int(key)] = fields.texts(key)
    return found


def _impacts(value: object, n_chunks: int, where: str) -> dict[int, list[tuple[int, float]]]:
    found: dict[int, list[tuple[int, float]]] = {}
    for place, row in enumerate(items(value, where) if value is not None else []):
        fields = Fields(row, f"{where}, row {place}")
        source = fields.integer("source_chunk_idx")
        targets = [Fields(one, fields.where) for one in items(fields.values.get("target_impacts"), fields.where)]
        pairs = [(one.integer("target_chunk_idx"), one.number("importance_score") or 0.0) for one in targets]
        if source in found or max([source, *(target for target, _ in pairs)]) >= n_chunks:
            raise DataError(f"{fields.where}: chunk {source} is there twice, or a chunk is not among {n_chunks}")
        found[source] = pairs
    return found

"""Export in the layout of math-rollouts (Thought Anchors, Bogdan et al. 2025), so that their tools read our runs.

- `local`: problem.json, base_solution.json, chunks.json, chunks_labeled.json and `chunk_i/solutions.json`, forced
  answers in a folder beside.
- `web`: chunks_resampled.json, step_importance.json and summary.json in the place of the solutions.
- `parquet`: the local layout as the hub's rows path, filename, extension, size_bytes, content.

Numbers in chunks_labeled.json are theirs: the published arithmetic (`variant="thought-anchors"`), or, of an imported
run, the published numbers as they came. What a run does not know (summaries, dependencies) is left out.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from cotlab.chains.problem import Problem
from cotlab.errors import UserError
from cotlab.measures import ExactText, Similarity
from cotlab.reports.math_rollouts_trace import TraceExport
from cotlab.runs import Run
from cotlab.runs.faults import disk_explained
from cotlab.trees import ConditionIds, resolve_scorer

__all__ = ["LAYOUTS", "Layout", "export_math_rollouts"]

Layout: TypeAlias = Literal["local", "web", "parquet"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)


def export_math_rollouts(
    run: Run,
    out: Path | str,
    *,
    layout: str = "local",
    similarity: Similarity | Callable[[Problem], Similarity] | None = None,
    scorer_id: str = "answers",
    condition: ConditionIds | None = None,
) -> list[Path]:
    """Write every chain of a run with its rollouts.

    The files are written in a temporary folder, which is renamed at the end: a folder that is there is whole.

    Args:
        run: The run.
        out: Folder that does not exist yet or is empty.
        layout: One of `LAYOUTS`.
        similarity: For their counterfactual columns, or what makes it for a problem; default: equal texts.
        scorer_id: Whose verdicts are written: an id, or a bare name for its last version.
        condition: Settings and engine; None where the run holds rollouts of one pair only.

    Returns:
        The files.

    Raises:
        UserError: The layout is unknown, the run has no chain, or the folder holds something.
    """
    if layout not in LAYOUTS:
        raise UserError(f"no layout is named '{layout}'. Choose one of {', '.join(LAYOUTS)}")
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} already holds something: choose another folder")
    chains, scorer = run.chains(), resolve_scorer(run, scorer_id)
    if not chains:
        raise UserError(f"{run.path} has no chain to export. Make one with `cotlab resample`")
    with disk_explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            made, problems = similarity or ExactText(), run.problems()
            traces = (
                TraceExport(
                    run,
                    one,
                    scorer,
                    made if isinstance(made, Similarity) else made(problems[one.problem_id]),
                    condition,
                )
                for one in chains
            )
            files = _files(traces, web=layout == "web")
            names = _write_parquet(files, work) if layout == "parquet" else _write_folder(files, work)
            os.chmod(work, 0o755)
            os.rename(work, folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return [folder / name for name in names]


def _files(traces: Iterable[TraceExport], *, web: bool) -> Iterator[tuple[str, Any]]:
    """Relative name and content of every file."""
    taken: set[str] = set()
    for trace in traces:
        yield from trace.files(_free(trace.folder(), taken), web=web)


def _free(folder: str, taken: set[str]) -> str:
    """The folder, or with the next free number where two chains of one problem are alike."""
    base, _, number = folder.rpartition("_")
    while folder in taken:
        number = str(int(number) + 1)
        folder = f"{base}_{number}"
    taken.add(folder)
    return folder


def _encoded(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=True, allow_nan=False)


def _write_folder(files: Iterator[tuple[str, Any]], work: Path) -> list[str]:
    names = []
    for name, content in files:
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_encoded(content), encoding="utf-8")
        names.append(name)
    return names


def _write_parquet(files: Iterator[tuple[str, Any]], work: Path) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("path", pa.string()),
            ("filename", pa.string()),
            ("extension", pa.string()),
            ("size_bytes", pa.int64()),
            ("content", pa.string()),
        ]
    )
    with pq.ParquetWriter(work / "default.parquet", schema, compression="zstd") as writer:
        for name, content in files:
            text = _encoded(content)
            row = (name, name.rpartition("/")[2], ".json", len(text.encode()), text)
            writer.write_table(pa.table([[value] for value in row], schema=schema))
    return ["default.parquet"]

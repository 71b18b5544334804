"""A run as Parquet files: one for each dataset; and the images that it shows."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cotlab.errors import RunError
from cotlab.runs.database import Database
from cotlab.runs.datasets import DATASETS, Dataset, pages
from cotlab.runs.faults import disk_explained
from cotlab.runs.images import FOLDER, copy_images
from cotlab.runs.run import Run
from cotlab.runs.run_identity import IDENTITY_FILE

__all__ = ["export_run"]


def export_run(run: Run, folder: Path | str, formats: Sequence[str] = ("parquet",)) -> list[Path]:
    """Write every dataset of a run (columns: `docs/run-folder.md`) and its `run.json`, and copy its images.

    The files are written in a temporary folder, which is renamed at the end: a folder that is there is whole.

    Args:
        run: The run.
        folder: Folder that does not exist yet or is empty.
        formats: `parquet` is the only one.

    Returns:
        The files.

    Raises:
        RunError: The folder holds something, cannot be written, or a format is not known.
    """
    unknown = [name for name in formats if name != "parquet"]
    if unknown:
        raise RunError(f"there is no export format {unknown[0]!r}: use 'parquet'")
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder} already holds something: choose another folder")
    with disk_explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            names = [_write(run._db, data, work) for data in DATASETS]
            shutil.copyfile(run.path / IDENTITY_FILE, work / IDENTITY_FILE)
            images = [file for (file,) in run._db.query("SELECT file FROM image ORDER BY key")]
            copy_images(run.path, work, images)
            os.chmod(work, 0o755)
            os.rename(work, folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return [folder / name for name in (*names, IDENTITY_FILE, *(f"{FOLDER}/{file}" for file in images))]


def _write(db: Database, data: Dataset, folder: Path) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        "string": pa.string(),
        "int64": pa.int64(),
        "list<int32>": pa.list_(pa.int32()),
        "list<float32>": pa.list_(pa.float32()),
    }
    schema = pa.schema(
        [pa.field(column.name, types[column.type], metadata={"doc": column.doc}) for column in data.columns],
        metadata={"doc": data.doc},
    )
    name = f"{data.name}.parquet"
    with pq.ParquetWriter(folder / name, schema, compression="zstd") as writer:
        for page in pages(db, data, data.columns):
            columns = zip(*page, strict=True)
            arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=schema), row_group_size=None)
    return name

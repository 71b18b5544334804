"""The page `docs/run-folder.md`, made from what schema, formats and datasets say of themselves."""

from __future__ import annotations

from cotlab.runs.datasets import DATASETS
from cotlab.runs.migrations import MIGRATIONS
from cotlab.runs.schema import TABLES

__all__ = ["markdown"]

_INTRODUCTION = """# The run folder

<!-- Written by `python -m cotlab.runs.documentation > docs/run-folder.md`;
     change src/cotlab/runs/schema.py instead. -->

    RUN/
      run.json       what the run is of: model, tokenizer, template, think tags; never changes
      run.sqlite     everything else
      images/        what problems show, as PNG or JPEG, each image once
      vectors/       steering vectors of the interventions, as safetensors
      saes/          rows of autoencoders that interventions on features need, or whole ones, as safetensors
      acts/          activations, as safetensors: one folder a hook point
      inside/        what the workbench read inside the model, a JSON file a chain
      features/      feature dashboards that the workbench made, a JSON file an autoencoder
      run.lock       there while someone writes: who

- One writer at a time, as many readers as you like, also while it writes. The write-ahead log (`run.sqlite-wal`,
  `run.sqlite-shm`) is folded back when the writer closes the run; what a killed writer leaves of it holds finished
  rows, so copy the whole folder, never `run.sqlite` alone.
- A run can be read from a read-only place.
- Ids are content ids: the same problem, prefix or condition has the same id in every run, so runs can be merged.
- A rollout exists once for each (prefix, intervention, settings, engine card, sample_idx). Resuming asks which are
  missing.
- Text is UTF-8 TEXT; text with lone surrogates, which UTF-8 cannot hold, is a BLOB (Python's `surrogatepass`).

## Tables of `run.sqlite`"""

_FORMATS = """## Formats

A run of any older format can be read, from a read-only place too: nothing in it is changed, a temporary copy of
`run.sqlite` is brought up to date each time that it is opened (in `TMPDIR`, and as large as the original).
`cotlab runs upgrade RUN …` brings the run itself up to date, once, as opening it for writing does; older versions of
cotlab then say that they cannot read it: copy the folder before, where you still need them. Each format is one
transaction, so an upgrade may be interrupted at any moment, and goes on when it is asked for again. A newer format
than this version knows is refused."""

_DATASETS = """## Datasets

What `Run.frame` gives as dataframes, and `cotlab export` writes as Parquet (with the columns marked *export only*)."""


def markdown() -> str:
    """The page `docs/run-folder.md`."""
    parts = [_INTRODUCTION]
    for table in TABLES:
        parts.append(f"### `{table.name}`\n\n{table.doc}\n\n| column | type | holds |\n|---|---|---|")
        parts[-1] += "".join(f"\n| `{c.name}` | {c.type} | {c.doc} |" for c in table.columns)
        if table.constraints:
            parts[-1] += "\n\n" + "; ".join(f"`{constraint}`" for constraint in table.constraints)
    parts.append(_FORMATS + "\n\n" + "\n".join(f"{m.number}. {m.reason}" for m in MIGRATIONS))
    parts.append(_DATASETS)
    for dataset in DATASETS:
        parts.append(f"### `{dataset.name}`\n\n{dataset.doc}\n\n| column | type | holds |\n|---|---|---|")
        parts[-1] += "".join(f"\n| `{c.name}` | {c.type} | {c.doc} |" for c in dataset.columns)
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")

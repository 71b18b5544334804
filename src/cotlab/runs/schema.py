"""Columns of `run.sqlite`: the sole truth.

Content ids are public; inside, rows point to each other by integer keys, which keeps 10^6 thin rows small and their
joins fast. `python -m cotlab.runs.documentation` prints `docs/run-folder.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["APPLICATION_ID", "PAGE_SIZE", "TABLES", "Column", "Table", "ddl"]

APPLICATION_ID = 0x636F746C
"""`cotl`: tells our files from other SQLite files."""

PAGE_SIZE = 8192
"""Bytes. A body of 200 tokens takes 2.2 kB, so that pages of 4096 bytes would be half empty."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, its SQL type with constraints, and what it holds."""

    name: str
    type: str
    doc: str


@dataclass(frozen=True, slots=True)
class Table:
    """One table."""

    name: str
    doc: str
    columns: tuple[Column, ...]
    constraints: tuple[str, ...] = ()
    options: str = ""
    indexes: tuple[str, ...] = ()
    """`CREATE INDEX` bodies: `name ON table(columns)`."""

    def sql(self) -> list[str]:
        """Statements that create the table and its indexes."""
        lines = [f"{column.name} {column.type}" for column in self.columns] + list(self.constraints)
        table = f"CREATE TABLE {self.name} (\n  " + ",\n  ".join(lines) + f"\n) {self.options}"
        return [table.rstrip(), *(f"CREATE INDEX {index}" for index in self.indexes)]


_KEY = Column("key", "INTEGER PRIMARY KEY", "internal number")
_ID = Column("id", "TEXT NOT NULL UNIQUE", "content id")


def _to(table: str, doc: str, name: str | None = None) -> Column:
    return Column(name or table, f"INTEGER NOT NULL REFERENCES {table}(key)", doc)


TABLES: tuple[Table, ...] = (
    Table(
        "image",
        "What problems show: PNG and JPEG files in `images/`. The id is a hash of the bytes.",
        (
            _KEY,
            _ID,
            Column("file", "TEXT NOT NULL", "file in `images/`: the id with its suffix"),
            Column("width", "INTEGER NOT NULL", "pixels, as it is shown"),
            Column("height", "INTEGER NOT NULL", "pixels, as it is shown"),
        ),
    ),
    Table(
        "problem",
        "What the model is asked.",
        (
            _KEY,
            _ID,
            Column("question", "TEXT NOT NULL", "the question"),
            Column("answer", "TEXT", "gold answer, where there is one"),
            Column("checker", "TEXT NOT NULL", "name of the answer class"),
            Column("choices", "TEXT NOT NULL", "JSON list: options of a multiple-choice question"),
            Column("name", "TEXT NOT NULL", "what a person calls it; not part of the id"),
            Column("meta", "TEXT NOT NULL", "JSON object: what the checker needs"),
            Column("images", "TEXT", "JSON list: ids of the images shown with it; null: none"),
        ),
    ),
    Table(
        "prefix",
        "Where sampling starts from. The id is a hash of ALL token ids, and of the images.",
        (
            _KEY,
            _ID,
            Column("parent", "INTEGER REFERENCES prefix(key)", "prefix whose tokens these go on from; null: from none"),
            _to("problem", "problem it belongs to"),
            Column("n_prompt", "INTEGER NOT NULL", "tokens of the prompt"),
            Column("n_tokens", "INTEGER NOT NULL", "tokens in all, prompt and parent included"),
            Column("ids", "BLOB NOT NULL", "token ids beyond the parent: int32, little endian"),
            Column("prompt", "TEXT", "what the prompt says (prefixes without a parent; null: not known)"),
            Column("kept", "TEXT", "what the kept tokens beyond the parent say (null: not known)"),
            Column("images", "TEXT", "JSON list: ids of the images that the prompt shows; null: none"),
        ),
        indexes=("prefix_problem ON prefix(problem)",),
    ),
    Table(
        "edge",
        "How a prefix came about. A prefix without an edge is a root.",
        (
            _KEY,
            _to("prefix", "prefix that was gone on from or edited", "parent"),
            _to("prefix", "prefix that came of it", "child"),
            Column("kind", "TEXT NOT NULL", "continue, edit or intervene"),
            Column("spec", "TEXT NOT NULL", "JSON: what was done (`null` where there is nothing to say)"),
        ),
        constraints=("UNIQUE (child, parent, kind, spec)",),
    ),
    Table(
        "settings",
        "Sampling settings (`gen_config` in other tools).",
        (_KEY, _ID, Column("spec", "TEXT NOT NULL", "JSON: all parameters")),
    ),
    Table(
        "engine_card",
        "Which model, exactly, said it.",
        (_KEY, _ID, Column("spec", "TEXT NOT NULL", "JSON: engine, model, revision, tokenizer, dtype, versions")),
    ),
    Table(
        "intervention",
        "What was changed inside the model; `baseline` changes nothing.",
        (
            _KEY,
            _ID,
            Column("kind", "TEXT NOT NULL", "kind of intervention"),
            Column("spec", "TEXT NOT NULL", "JSON: everything that decides what is applied"),
            Column("artifact", "TEXT", "file in the run folder that the spec needs (a vector, rows of an SAE)"),
        ),
    ),
    Table(
        "study",
        "What was asked. Append-only; asking the same again is the same study.",
        (
            _KEY,
            _ID,
            Column("spec", "TEXT NOT NULL", "JSON: problems, conditions, n, policy"),
            Column("seed", "INTEGER NOT NULL", "seed that the seeds of its rollouts are derived from"),
            Column("created", "TEXT NOT NULL", "when, UTC"),
        ),
    ),
    Table(
        "rollout",
        "Tokens sampled from a prefix under an intervention: facts, no verdict.",
        (
            _KEY,
            _ID,
            _to("prefix", "where it starts"),
            _to("intervention", "under what"),
            _to("settings", "sampled how"),
            _to("engine_card", "by what"),
            Column("sample_idx", "INTEGER NOT NULL", "which of the n samples"),
            _to("study", "study that asked for it first"),
            Column("wave", "INTEGER NOT NULL", "which round of the study asked for it"),
            Column("seed", "INTEGER NOT NULL", "seed of this rollout"),
            Column("finish_reason", "TEXT NOT NULL", "stop, or length: truncated"),
            Column("n_tokens", "INTEGER NOT NULL", "new tokens; 0 where only text is known"),
            Column("provenance", "TEXT NOT NULL", "sampled, given or imported:<format>"),
            Column("steered_tokens", "INTEGER", "tokens that an intervention was applied at; null: there was none"),
        ),
        constraints=("UNIQUE (prefix, intervention, settings, engine_card, sample_idx)",),
    ),
    Table(
        "asked",
        "Blocks of samples that were asked for together: a smaller part of one favours what finishes first.",
        (
            _to("prefix", "from where"),
            _to("intervention", "under what"),
            _to("settings", "sampled how"),
            _to("engine_card", "by what"),
            Column("n", "INTEGER NOT NULL", "samples 0 … n−1; where a budget ended the drawing, also how far it came"),
        ),
        constraints=("PRIMARY KEY (prefix, intervention, settings, engine_card, n)",),
        options="WITHOUT ROWID",
    ),
    Table(
        "rollout_body",
        "The long columns of a rollout, apart so that counting never reads them.",
        (
            Column("rollout", "INTEGER PRIMARY KEY REFERENCES rollout(key)", "whose"),
            Column("text", "TEXT NOT NULL", "new tokens, decoded"),
            Column("token_ids", "BLOB", "int32, little endian; null where only text is known"),
            Column("logprobs", "BLOB", "float32, little endian: raw log probability of each token, in nats"),
        ),
    ),
    Table(
        "chain",
        "A response under study with one cut of it.",
        (
            _KEY,
            _ID,
            _to("problem", "problem that it answers"),
            _to("rollout", "the response"),
            Column("cutter_id", "TEXT NOT NULL", "cutter and its version"),
            Column(
                "role",
                "TEXT NOT NULL",
                "how it was chosen (with `+`: in several ways); never a sample itself",
            ),
            Column("n_tokens", "INTEGER NOT NULL", "tokens of the response that the steps cover"),
        ),
        indexes=("chain_rollout ON chain(rollout)",),
    ),
    Table(
        "step",
        "Token spans of a chain; joined they give the response.",
        (
            _KEY,
            _to("chain", "whose"),
            Column("idx", "INTEGER NOT NULL", "which, from 0"),
            Column("start", "INTEGER NOT NULL", "first token, from the start of the response"),
            Column("end", "INTEGER NOT NULL", "one past the last token"),
            Column("text", "TEXT NOT NULL", "what the tokens say"),
        ),
        constraints=("UNIQUE (chain, idx)",),
    ),
    Table(
        "scorer",
        "Who gave verdicts.",
        (_KEY, Column("id", "TEXT NOT NULL UNIQUE", "name and version")),
    ),
    Table(
        "score",
        "Verdicts. Scoring again never samples again.",
        (
            _to("scorer", "whose"),
            Column("subject_kind", "TEXT NOT NULL", "rollout, step or prefix"),
            Column("subject", "INTEGER NOT NULL", "key of the rollout, step or prefix"),
            Column("value", "TEXT NOT NULL", "JSON object: the verdict"),
        ),
        constraints=("PRIMARY KEY (scorer, subject_kind, subject)",),
        options="WITHOUT ROWID",
    ),
    Table(
        "attempt",
        "Requests that gave no rollout: missing, and why. Never among the rollouts.",
        (
            _KEY,
            Column("prefix_id", "TEXT NOT NULL", "condition that was asked for …"),
            Column("intervention_id", "TEXT NOT NULL", "…"),
            Column("settings_id", "TEXT NOT NULL", "…"),
            Column("engine_card_id", "TEXT NOT NULL", "…"),
            Column("sample_idx", "INTEGER NOT NULL", "which of its samples"),
            _to("study", "study that asked"),
            Column("error", "TEXT NOT NULL", "what went wrong"),
            Column("created", "TEXT NOT NULL", "when, UTC"),
        ),
    ),
    Table(
        "capture",
        "Activations that were asked for: what `acts/` holds.",
        (_KEY, _ID, Column("spec", "TEXT NOT NULL", "JSON: hook points, places, precision, engine card")),
    ),
    Table(
        "activation",
        "Where the activations of a rollout are. They are files; merging leaves them where they are.",
        (
            _KEY,
            _to("capture", "what was asked"),
            _to("rollout", "whose"),
            Column("hook", "TEXT NOT NULL", "hook point"),
            Column("shard", "TEXT NOT NULL", "file in the run folder"),
            Column("first", "INTEGER NOT NULL", "row of the file's tensor where they begin"),
            Column("n", "INTEGER NOT NULL", "rows"),
            Column("places", "BLOB NOT NULL", "int32, little endian: token of each row, from the response's start"),
        ),
        constraints=("UNIQUE (capture, rollout, hook)",),
    ),
    Table(
        "note",
        "What people wrote down.",
        (
            _KEY,
            Column("subject", "TEXT NOT NULL", "id of what it is about; empty: the run"),
            Column("text", "TEXT NOT NULL", "the note"),
            Column("created", "TEXT NOT NULL", "when, UTC"),
        ),
    ),
)


def ddl() -> list[str]:
    """Statements that create every table of an empty run."""
    return [statement for table in TABLES for statement in table.sql()]

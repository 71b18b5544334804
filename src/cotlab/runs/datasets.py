"""Datasets: what a run gives as dataframes and Parquet, one declaration for both."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from cotlab.errors import RunError
from cotlab.runs.codecs import UNREADABLE, unpack_json, unpack_text, unreadable
from cotlab.runs.database import Database

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DATASETS", "Dataset", "DatasetName", "Field", "dataset", "frame", "pages"]

DatasetName = Literal[
    "problems",
    "prefixes",
    "rollouts",
    "steps",
    "scores",
    "studies",
    "settings",
    "engine_cards",
    "interventions",
    "images",
]
FieldType = Literal["string", "int64", "list<int32>", "list<float32>"]
_SURROGATES = re.compile("[\ud800-\udfff]")
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a dataset."""

    name: str
    type: FieldType
    sql: str
    doc: str
    part: str | None = None
    """Key of a JSON object that holds the value."""
    export_only: bool = False
    """Whether it is too long for a dataframe of the whole run."""

    def decode(self, value: Any) -> Any:
        """Python value of what is stored. Lone surrogates, which Arrow cannot hold, become U+FFFD."""
        if value is None:
            return None
        if self.part is not None:
            value = unpack_json(value).get(self.part)
            return None if value is None else _clean(value if isinstance(value, str) else str(value))
        try:
            return _DECODERS[self.type](value)
        except UNREADABLE as error:
            raise unreadable(self.type, error) from error


def _clean(value: str | bytes) -> str:
    text = unpack_text(value)
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def _vector(dtype: str) -> Callable[[bytes], Any]:
    def decode(value: bytes) -> Any:
        import numpy as np

        return np.frombuffer(value, dtype)  # Arrow takes these ten times faster than tuples

    return decode


_DECODERS: dict[FieldType, Callable[[Any], Any]] = {
    "string": _clean,
    "int64": int,
    "list<int32>": _vector("<i4"),
    "list<float32>": _vector("<f4"),
}


@dataclass(frozen=True, slots=True)
class Dataset:
    """One table for readers."""

    name: DatasetName
    doc: str
    source: str
    """FROM clause."""
    columns: tuple[Field, ...]
    order: tuple[str, ...]
    """Unique key that pages follow."""


def _text(name: str, sql: str, doc: str, *, export_only: bool = False) -> Field:
    return Field(name, "string", sql, doc, export_only=export_only)


def _number(name: str, sql: str, doc: str) -> Field:
    return Field(name, "int64", sql, doc)


def _specs(name: DatasetName, table: str, doc: str) -> Dataset:
    columns = (_text("id", f"{table}.id", "content id"), _text("spec", f"{table}.spec", "JSON"))
    return Dataset(name, doc, table, columns, (f"{table}.key",))


_SUBJECT_ID = (
    "CASE score.subject_kind WHEN 'rollout' THEN rollout.id WHEN 'prefix' THEN prefix.id "
    "ELSE chain.id || '/' || step.idx END"
)

DATASETS: tuple[Dataset, ...] = (
    Dataset(
        "problems",
        "What the model was asked.",
        "problem",
        (
            _text("id", "problem.id", "content id"),
            _text("name", "problem.name", "what a person calls it"),
            _text("question", "problem.question", "the question"),
            _text("answer", "problem.answer", "gold answer, where there is one"),
            _text("checker", "problem.checker", "name of the answer class"),
            _text("choices", "problem.choices", "JSON list: options of a multiple-choice question"),
            _text("meta", "problem.meta", "JSON object: what the checker needs"),
            _text("images", "problem.images", "JSON list: ids of the images shown with it"),
        ),
        ("problem.key",),
    ),
    Dataset(
        "prefixes",
        "Where rollouts start from.",
        "prefix JOIN problem ON problem.key = prefix.problem LEFT JOIN prefix base ON base.key = prefix.parent "
        "LEFT JOIN edge ON edge.key = (SELECT min(key) FROM edge WHERE child = prefix.key) "
        "LEFT JOIN prefix parent ON parent.key = edge.parent",
        (
            _text("id", "prefix.id", "hash of all token ids, and of the images"),
            _text("problem_id", "problem.id", "problem it belongs to"),
            _text("parent_id", "parent.id", "prefix that it came of"),
            _text("kind", "coalesce(edge.kind, 'root')", "how: root, continue, edit, intervene"),
            _text("spec", "edge.spec", "JSON: what was done to the parent"),
            _number("n_prompt", "prefix.n_prompt", "tokens of the prompt"),
            _number("n_tokens", "prefix.n_tokens", "tokens in all"),
            _text("images", "prefix.images", "JSON list: ids of the images that its prompt shows"),
            _text("base_id", "base.id", "prefix whose tokens it goes on from (not its parent after an edit)"),
            Field("new_ids", "list<int32>", "prefix.ids", "tokens beyond those of the base", export_only=True),
            _text("new_text", "prefix.kept", "what those of them say that are no prompt", export_only=True),
        ),
        ("prefix.key",),
    ),
    Dataset(
        "rollouts",
        "What was sampled.",
        "rollout JOIN prefix ON prefix.key = rollout.prefix JOIN problem ON problem.key = prefix.problem "
        "JOIN intervention ON intervention.key = rollout.intervention JOIN settings ON settings.key = rollout.settings "
        "JOIN engine_card ON engine_card.key = rollout.engine_card JOIN study ON study.key = rollout.study "
        "LEFT JOIN rollout_body body ON body.rollout = rollout.key",
        (
            _text("id", "rollout.id", "content id of the condition and the sample"),
            _text("problem_id", "problem.id", "problem"),
            _text("prefix_id", "prefix.id", "where it starts"),
            _text("intervention_id", "intervention.id", "under what"),
            _text("settings_id", "settings.id", "sampled how"),
            _text("engine_card_id", "engine_card.id", "by what"),
            _number("sample_idx", "rollout.sample_idx", "which of the n samples"),
            _text("study_id", "study.id", "study that asked for it first"),
            _number("wave", "rollout.wave", "which round of the study"),
            _number("seed", "rollout.seed", "seed of this rollout"),
            _text("finish_reason", "rollout.finish_reason", "stop, or length: truncated"),
            _number("n_tokens", "rollout.n_tokens", "new tokens"),
            _text("provenance", "rollout.provenance", "sampled, given or imported:<format>"),
            _number("steered_tokens", "rollout.steered_tokens", "tokens that an intervention was applied at"),
            _text("text", "body.text", "new tokens, decoded", export_only=True),
            Field("token_ids", "list<int32>", "body.token_ids", "new tokens", export_only=True),
            Field("logprobs", "list<float32>", "body.logprobs", "their raw log probabilities, nats", export_only=True),
        ),
        ("rollout.key",),
    ),
    Dataset(
        "steps",
        "Chains under study, step by step.",
        "step JOIN chain ON chain.key = step.chain JOIN problem ON problem.key = chain.problem "
        "JOIN rollout ON rollout.key = chain.rollout",
        (
            _text("chain_id", "chain.id", "chain"),
            _text("problem_id", "problem.id", "problem"),
            _text("rollout_id", "rollout.id", "the response"),
            _text("cutter_id", "chain.cutter_id", "cutter and its version"),
            _text("role", "chain.role", "how the chain was chosen, with `+` where in several ways"),
            _number("idx", "step.idx", "which step, from 0"),
            _number("start", "step.start", "first token"),
            _number("end", "step.end", "one past the last token"),
            _text("text", "step.text", "what it says"),
        ),
        ("step.key",),
    ),
    Dataset(
        "scores",
        "Verdicts.",
        "score JOIN scorer ON scorer.key = score.scorer "
        "LEFT JOIN rollout ON score.subject_kind = 'rollout' AND rollout.key = score.subject "
        "LEFT JOIN prefix ON score.subject_kind = 'prefix' AND prefix.key = score.subject "
        "LEFT JOIN step ON score.subject_kind = 'step' AND step.key = score.subject "
        "LEFT JOIN chain ON chain.key = step.chain",
        (
            _text("scorer_id", "scorer.id", "name and version"),
            _text("subject_kind", "score.subject_kind", "rollout, step or prefix"),
            _text("subject_id", _SUBJECT_ID, "id of the subject; of a step `<chain id>/<step index>`"),
            Field("outcome", "string", "score.value", "correct, wrong, unparsable, truncated, unjudged", "outcome"),
            Field("answer", "string", "score.value", "answer as it was read", "answer"),
            Field("answer_key", "string", "score.value", "equal for equal answers", "key"),
            Field("category", "string", "score.value", "what a step does", "category"),
            _text("value", "score.value", "JSON object: the whole verdict"),
        ),
        ("score.scorer", "score.subject_kind", "score.subject"),
    ),
    Dataset(
        "studies",
        "What was asked.",
        "study",
        (
            _text("id", "study.id", "content id"),
            _text("spec", "study.spec", "JSON"),
            _number("seed", "study.seed", "seed of the study"),
            _text("created", "study.created", "when, UTC"),
        ),
        ("study.key",),
    ),
    _specs("settings", "settings", "Sampling settings."),
    _specs("engine_cards", "engine_card", "Which models, exactly."),
    _specs("interventions", "intervention", "What was changed inside the model."),
    Dataset(
        "images",
        "What problems and prompts show; the files are exported beside, in `images/`.",
        "image",
        (
            _text("id", "image.id", "hash of the bytes"),
            _text("file", "image.file", "file in `images/`"),
            _number("width", "image.width", "pixels, as it is shown"),
            _number("height", "image.height", "pixels, as it is shown"),
        ),
        ("image.key",),
    ),
)


def dataset(name: str) -> Dataset:
    """The declaration of a dataset.

    Raises:
        RunError: There is none of that name.
    """
    for found in DATASETS:
        if found.name == name:
            return found
    raise RunError(f"there is no dataset {name!r}: choose one of {', '.join(get_args(DatasetName))}")


def pages(db: Database, data: Dataset, columns: tuple[Field, ...]) -> Iterator[list[tuple[Any, ...]]]:
    """Stream rows, decoded, a page at a time."""
    order, marks = ", ".join(data.order), ", ".join("?" * len(data.order))
    sql = (
        f"SELECT {order}, {', '.join(column.sql for column in columns)} FROM {data.source} "
        f"WHERE ({order}) > ({marks}) ORDER BY {order} LIMIT {_PAGE}"
    )
    n_keys = len(data.order)
    last: tuple[Any, ...] = (0,) if n_keys == 1 else (0, "", 0)  # below every key
    while page := db.query(sql, last):
        last = db.forward(last, tuple(page[-1][:n_keys]))
        yield [tuple(column.decode(value) for column, value in zip(columns, row[n_keys:], strict=True)) for row in page]


def frame(db: Database, name: str) -> pd.DataFrame:
    """A dataset as a dataframe, without the columns that are for export only.

    Raises:
        RunError: There is no dataset of that name.
    """
    import pandas as pd

    data = dataset(name)
    columns = tuple(column for column in data.columns if not column.export_only)
    rows = [row for page in pages(db, data, columns) for row in page]
    found = pd.DataFrame.from_records(rows, columns=[column.name for column in columns])
    # An empty or all-missing column would otherwise have no type.
    kinds = {column.name: "Int64" if column.type == "int64" else "str" for column in columns}
    return found.astype({key: kind for key, kind in kinds.items() if kind == "str" or found[key].isna().any()})

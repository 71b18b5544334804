"""What runs hold, in numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cotlab.runs.database import Database, stored_format
from cotlab.runs.lease import holder
from cotlab.runs.migrations import FORMAT
from cotlab.runs.opening import WAL_FILE
from cotlab.runs.run_identity import RunIdentity

__all__ = ["RunSummary", "folder_size", "summarize"]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Counts of everything in a run. Those of a damaged run are zero, and `state` says what is wrong."""

    path: str
    title: str
    model: str
    created: str
    state: str
    """whole, being written by …, interrupted (its writer was killed; nothing is lost), damaged: …"""
    problems: int = 0
    chains: int = 0
    prefixes: int = 0
    rollouts: int = 0
    tokens: int = 0
    """New tokens of all rollouts."""
    failed_attempts: int = 0
    studies: int = 0
    engines: tuple[str, ...] = ()
    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)
    """Rollouts by scorer and outcome, over ALL conditions."""
    size_bytes: int = 0
    format: int = FORMAT
    """Of its tables as they lie there; of an older one every opening makes a temporary copy."""

    @property
    def accuracy(self) -> dict[str, float]:
        """Correct over correct, wrong, unparsable and truncated rollouts, by scorer, over ALL conditions."""
        judged = {
            key: sum(n for name, n in found.items() if name != "unjudged") for key, found in self.outcomes.items()
        }
        return {key: self.outcomes[key].get("correct", 0) / n for key, n in judged.items() if n}

    def to_json(self) -> dict[str, Any]:
        """All fields and the accuracy as JSON values."""
        return {**asdict(self), "engines": list(self.engines), "accuracy": self.accuracy}


_ENGINES = "SELECT DISTINCT CAST(json_extract(spec, '$.engine') AS TEXT) AS engine FROM engine_card ORDER BY engine"


def summarize(db: Database, folder: Path, identity: RunIdentity) -> RunSummary:
    """Count."""
    counts = {
        table: db.query(f"SELECT count(*) FROM {table}")[0][0]
        for table in ("problem", "chain", "prefix", "rollout", "attempt", "study")
    }
    outcomes: dict[str, dict[str, int]] = {}
    for scorer, outcome, n in db.query(
        "SELECT CAST(scorer.id AS TEXT), CAST(json_extract(score.value, '$.outcome') AS TEXT), count(*) FROM score "
        "JOIN scorer ON scorer.key = score.scorer WHERE score.subject_kind = 'rollout' GROUP BY 1, 2 ORDER BY 1, 2"
    ):
        if outcome is not None:
            outcomes.setdefault(scorer, {})[outcome] = n
    return RunSummary(
        path=str(folder),
        title=identity.title,
        model=identity.model,
        created=identity.created,
        state=_state(folder),
        problems=counts["problem"],
        chains=counts["chain"],
        prefixes=counts["prefix"],
        rollouts=counts["rollout"],
        tokens=db.query("SELECT coalesce(sum(n_tokens), 0) FROM rollout")[0][0],
        failed_attempts=counts["attempt"],
        studies=counts["study"],
        engines=tuple(row[0] for row in db.query(_ENGINES)),
        outcomes=outcomes,
        size_bytes=folder_size(folder),
        format=stored_format(folder),
    )


def _state(folder: Path) -> str:
    who = holder(folder)
    if who is not None and who.alive:
        return f"being written by {who}"
    wal = folder / WAL_FILE
    return "interrupted" if who is not None or (wal.exists() and wal.stat().st_size) else "whole"


def folder_size(folder: Path) -> int:
    """Bytes of all its files."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())

"""How older run files are brought up to date, one numbered step after the other.

A new run file is made from `schema.py` as it is. To change the schema: change `schema.py`, add a migration with its
reason here, and let the test that upgrades `tests/fixtures/run_format_1.sql` show that both give the same tables.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FORMAT", "MIGRATIONS", "Migration", "steps_from"]


@dataclass(frozen=True, slots=True)
class Migration:
    """Statements that make format `number` of format `number` − 1."""

    number: int
    reason: str
    statements: tuple[str, ...]


MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, "The first format.", ()),
    Migration(
        2,
        "Which blocks of samples were asked for, so that what an interruption left of one is not taken for a sample.",
        (
            "CREATE TABLE asked (prefix INTEGER NOT NULL REFERENCES prefix(key), "
            "intervention INTEGER NOT NULL REFERENCES intervention(key), "
            "settings INTEGER NOT NULL REFERENCES settings(key), "
            "engine_card INTEGER NOT NULL REFERENCES engine_card(key), n INTEGER NOT NULL, "
            "PRIMARY KEY (prefix, intervention, settings, engine_card, n)) WITHOUT ROWID",
        ),
    ),
    Migration(
        3,
        "At how many tokens each rollout was steered, so that a vector that was never applied is no null result; and "
        "where captured activations are.",
        (
            "ALTER TABLE rollout ADD COLUMN steered_tokens INTEGER",
            "CREATE TABLE capture (key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, spec TEXT NOT NULL)",
            "CREATE TABLE activation (key INTEGER PRIMARY KEY, capture INTEGER NOT NULL REFERENCES capture(key), "
            "rollout INTEGER NOT NULL REFERENCES rollout(key), hook TEXT NOT NULL, shard TEXT NOT NULL, "
            "first INTEGER NOT NULL, n INTEGER NOT NULL, places BLOB NOT NULL, UNIQUE (capture, rollout, hook))",
        ),
    ),
    Migration(
        4,
        "Which images a problem shows, and a prompt: equal tokens behind another image are another prefix.",
        (
            "CREATE TABLE image (key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, file TEXT NOT NULL, "
            "width INTEGER NOT NULL, height INTEGER NOT NULL)",
            "ALTER TABLE problem ADD COLUMN images TEXT",
            "ALTER TABLE prefix ADD COLUMN images TEXT",
        ),
    ),
)

FORMAT = MIGRATIONS[-1].number
"""Format that this version writes."""


def steps_from(number: int) -> tuple[Migration, ...]:
    """Migrations that a file of format `number` still needs, in order."""
    return tuple(migration for migration in MIGRATIONS if migration.number > number)

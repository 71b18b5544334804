from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from runs_builder import IDENTITY, fill

import cotlab.runs
from cotlab.errors import RunError
from cotlab.runs import Run, export_run, merge_runs, verify_run
from cotlab.runs.documentation import markdown
from cotlab.runs.migrations import FORMAT, MIGRATIONS, Migration
from cotlab.runs.schema import TABLES, ddl

ROOT = Path(__file__).resolve().parents[2]
FIRST = ROOT / "tests" / "fixtures" / "run_format_1.sql"


def layout(db: sqlite3.Connection) -> dict[str, object]:
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    return {
        name: (
            db.execute(f"PRAGMA table_info({name})").fetchall(),
            db.execute(f"PRAGMA foreign_key_list({name})").fetchall(),
            sorted(row[2:] for row in db.execute(f"PRAGMA index_list({name})")),
        )
        for name in tables
    }


def test_the_first_format_migrated_is_the_schema() -> None:
    """Whoever changes schema.py without a migration sees this fail: the fixture is frozen."""
    old, new = sqlite3.connect(":memory:"), sqlite3.connect(":memory:")
    old.executescript(FIRST.read_text())
    for migration in MIGRATIONS:
        for statement in migration.statements:
            old.execute(statement)
    for statement in ddl():
        new.execute(statement)
    assert layout(old) == layout(new)
    old.close()
    new.close()


def test_migrations_are_numbered_and_have_reasons() -> None:
    assert [migration.number for migration in MIGRATIONS] == list(range(1, FORMAT + 1))
    assert all(migration.reason for migration in MIGRATIONS)


def test_an_older_run_is_brought_up_to_date(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    following = Migration(FORMAT + 1, "To try it.", ("ALTER TABLE note ADD COLUMN author TEXT",))
    monkeypatch.setattr("cotlab.runs.migrations.MIGRATIONS", (*MIGRATIONS, following))
    monkeypatch.setattr("cotlab.runs.database.FORMAT", FORMAT + 1)
    before = (filled / "run.sqlite").read_bytes()
    with Run.open(filled) as run:  # reads a copy
        assert len(list(run.rollouts())) == 4
        assert run._db.query("SELECT author FROM note") == []
        with pytest.raises(RunError, match="open for reading"), run.transaction():
            pass
    assert (filled / "run.sqlite").read_bytes() == before
    with Run.open(filled, writable=True) as run:
        assert len(list(run.rollouts())) == 4
    with Run.open(filled) as run:
        assert run._db.query("SELECT author FROM note") == []
        assert run._db.query("PRAGMA user_version") == [(FORMAT + 1,)]


def of_format_3(run: Path) -> None:
    """Take from a run without images what format 4 added."""
    with contextlib.closing(sqlite3.connect(run / "run.sqlite")) as db, db:
        db.execute("DROP TABLE image")
        db.execute("ALTER TABLE problem DROP COLUMN images")
        db.execute("ALTER TABLE prefix DROP COLUMN images")
        db.execute("PRAGMA user_version = 3")


def test_a_run_of_the_former_format_is_read_merged_and_verified_as_it_is(filled: Path, tmp_path: Path) -> None:
    with Run.open(filled) as run:
        problems, rollouts = run.problems(), list(run.rollouts())
    of_format_3(filled)
    before, temporary = (filled / "run.sqlite").read_bytes(), tmp_path / "temporary"
    temporary.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(temporary))
        with Run.open(filled) as run:
            assert run.problems() == problems and list(run.rollouts()) == rollouts
            assert run.image_ids() == [] and all(not run.prefix(row.id).images for row in run.prefixes())
            export_run(run, tmp_path / "out")
            assert len(list(temporary.iterdir())) == 1
        assert verify_run(filled) == []
        merged = merge_runs([filled], tmp_path / "merged").out
        assert not list(temporary.iterdir()), "copies are taken away"
    assert verify_run(merged) == []
    assert (filled / "run.sqlite").read_bytes() == before
    Run.open(filled, writable=True).close()
    with contextlib.closing(sqlite3.connect(filled / "run.sqlite")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (FORMAT,)


def test_a_newer_format_is_refused(filled: Path) -> None:
    with contextlib.closing(sqlite3.connect(filled / "run.sqlite")) as db, db:
        db.execute(f"PRAGMA user_version = {FORMAT + 1}")
    for writable in (False, True):
        with pytest.raises(RunError, match=f"has format {FORMAT + 1}, this cotlab reads up to {FORMAT}"):
            Run.open(filled, writable=writable)


def test_a_migration_that_fails_changes_nothing(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = Migration(FORMAT + 1, "Fails.", ("ALTER TABLE note ADD COLUMN author TEXT", "DROP TABLE nowhere"))
    monkeypatch.setattr("cotlab.runs.migrations.MIGRATIONS", (*MIGRATIONS, bad))
    monkeypatch.setattr("cotlab.runs.database.FORMAT", FORMAT + 1)
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        Run.open(filled, writable=True)
    monkeypatch.undo()
    with Run.open(filled, writable=True) as run:
        assert "author" not in [row[1] for row in run._db.query("PRAGMA table_info(note)")]


def test_the_page_in_docs_is_the_schema() -> None:
    command = [sys.executable, "-W", "error", "-m", "cotlab.runs.documentation"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert (ROOT / "docs" / "run-folder.md").read_text() == printed == markdown()


def test_the_room_says_what_it_offers() -> None:
    assert sorted(cotlab.runs.__all__) == cotlab.runs.__all__
    assert all(getattr(cotlab.runs, name).__name__ == name for name in cotlab.runs.__all__ if name != "EdgeKind")
    assert not hasattr(cotlab.runs, "nothing")


def test_importing_the_room_is_cheap() -> None:
    heavy = "{'torch', 'pandas', 'pyarrow', 'numpy', 'pydantic'}"
    code = f"import sys; from cotlab.runs import Run, list_runs; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_query_that_counts_uses_an_index(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", IDENTITY) as run:
        fill(run)
        plan = run._db.query(
            "EXPLAIN QUERY PLAN SELECT prefix, count(*) FROM rollout WHERE settings = 1 AND engine_card = 1 "
            "AND intervention = 1 GROUP BY prefix"
        )
    assert any("USING COVERING INDEX" in row[3] for row in plan)


def test_every_column_says_what_it_holds() -> None:
    assert all(column.doc for table in TABLES for column in table.columns)
    assert len({table.name for table in TABLES}) == len(TABLES)

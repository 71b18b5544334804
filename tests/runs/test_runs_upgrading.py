"""Runs of older formats are brought up to date in their place, once, whatever interrupts it."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import document, fault, shown

from cotlab.errors import RunError
from cotlab.runs import Run, upgrade_run, verify_run
from cotlab.runs.migrations import FORMAT, MIGRATIONS
from cotlab.runs.upgrading import Upgraded

LATER = {
    4: ("DROP TABLE image", "ALTER TABLE problem DROP COLUMN images", "ALTER TABLE prefix DROP COLUMN images"),
    3: ("DROP TABLE activation", "DROP TABLE capture", "ALTER TABLE rollout DROP COLUMN steered_tokens"),
    2: ("DROP TABLE asked",),
}
"""What takes away what a format added, from a run that does not use it."""
KILLED = """
import os, signal, sqlite3, sys
from cotlab.runs import database, migrations, upgrade_run
at = int(sys.argv[2])
original = database.steps_from
database.steps_from = lambda number: tuple(
    migrations.Migration(one.number, one.reason, one.statements + ("SELECT die()",) * (one.number == at))
    for one in original(number)
)
opened = database.open_writer
def with_death(folder):
    connection = opened(folder)
    connection.create_function("die", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))
    return connection
database.open_writer = with_death
upgrade_run(sys.argv[1])
"""
UNDER_WAY = """
import os, signal, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode = DELETE")  # as on network file systems
db.execute("PRAGMA cache_size = 1")
db.execute("BEGIN IMMEDIATE")
db.execute("CREATE TABLE image (file TEXT)")
db.executemany("INSERT INTO image VALUES (?)", [("y" * 4000,)] * 300)
os.kill(os.getpid(), signal.SIGKILL)
"""


def of_format(run: Path, number: int) -> Path:
    with contextlib.closing(sqlite3.connect(run / "run.sqlite")) as db, db:
        for later in range(FORMAT, number, -1):
            for statement in LATER[later]:
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {number}")
    return run


def held(run: Path) -> object:
    with Run.open(run) as opened:
        rollouts = [(one.id, one.text, one.token_ids, one.seed) for one in opened.rollouts()]
        return opened.problems(), rollouts, [row.id for row in opened.prefixes()], list(opened.scores("rollout", None))


@pytest.mark.parametrize("number", range(1, FORMAT))
def test_a_run_has_the_same_rows_afterwards_and_is_copied_no_more(
    filled: Path, tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = held(of_format(filled, number))
    with Run.open(filled) as run:
        assert run.summary().format == number
    assert upgrade_run(filled) == Upgraded(filled, number, FORMAT)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "no such place"))
    assert held(filled) == before and verify_run(filled) == []
    assert sorted(file.name for file in filled.iterdir()) == ["run.json", "run.sqlite"]


def test_what_is_up_to_date_is_not_opened_for_writing(filled: Path) -> None:
    before = (filled / "run.sqlite").read_bytes()
    with Run.open(filled, writable=True):  # else this would be refused
        assert upgrade_run(filled) == Upgraded(filled, FORMAT, FORMAT)
    assert (filled / "run.sqlite").read_bytes()[100:] == before[100:]


@pytest.mark.parametrize("at", [one.number for one in MIGRATIONS[1:]])
def test_sigkill_in_the_middle_loses_nothing_and_the_next_upgrade_goes_on(filled: Path, at: int) -> None:
    before = held(of_format(filled, 1))
    killed = subprocess.run([sys.executable, "-c", KILLED, str(filled), str(at)], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert held(filled) == before
    assert upgrade_run(filled) == Upgraded(filled, at - 1, FORMAT)
    assert held(filled) == before and verify_run(filled) == []


def test_sigkill_on_a_network_file_system_leaves_a_journal_that_is_read_and_upgraded_all_the_same(filled: Path) -> None:
    before = held(of_format(filled, 3))
    database = filled / "run.sqlite"
    killed = subprocess.run([sys.executable, "-c", UNDER_WAY, str(database)], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL and (filled / "run.sqlite-journal").stat().st_size, killed.stderr
    assert held(filled) == before and (filled / "run.sqlite-journal").exists()
    assert upgrade_run(filled) == Upgraded(filled, 3, FORMAT)
    assert held(filled) == before and verify_run(filled) == []
    assert sorted(file.name for file in filled.iterdir()) == ["run.json", "run.sqlite"]


def test_a_run_that_is_being_written_is_left_alone(filled: Path) -> None:
    with Run.open(of_format(filled, 3), writable=True):  # which has brought it up to date itself
        assert upgrade_run(filled) == Upgraded(filled, FORMAT, FORMAT)
        of_format(filled, 3)
        with pytest.raises(RunError, match="is being written by"):
            upgrade_run(filled)


def test_the_command_tells_one_line_a_run(filled: Path, tmp_path: Path) -> None:
    of_format(filled, 2)
    assert shown("runs", "upgrade", filled) == f"{filled} brought from format 2 to {FORMAT}\n"
    assert shown("runs", "upgrade", filled) == f"{filled} is of format {FORMAT} already: nothing to do\n"
    of_format(filled, 3)
    assert document("runs", "upgrade", filled) == [{"run": str(filled), "before": 3, "after": FORMAT}]
    assert "did you mean" in fault("runs", "upgrade", tmp_path / "filed")

"""What must not lose a row: SIGKILL, a full disk, a place that cannot be written."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from runs_builder import CONDITION, PROMPT, fill, make, rollout, without_rights

from cotlab.errors import RunError
from cotlab.runs import Run, verify_run

WRITER = str(Path(__file__).with_name("runs_writer.py"))
SAMPLES = 250


def stored(path: Path) -> dict[int, str]:
    with Run.open(path) as run:
        rows = list(run.rollouts())
    assert len({row.id for row in rows}) == len(rows)
    return {row.sample_idx: row.text for row in rows}


def expected(idx: int) -> str:
    return rollout(sample_idx=idx).text if idx < 4 else f"{idx} " * 2000


def test_sigkill_at_random_moments_then_resume(filled: Path) -> None:
    luck, committed = random.Random(0), set(range(4))
    for _ in range(4):
        with subprocess.Popen([sys.executable, WRITER, filled, str(SAMPLES)], stdout=-1, text=True) as process:
            assert process.stdout is not None
            for _ in range(luck.randint(1, 40)):
                committed.add(int(process.stdout.readline()))
            process.send_signal(signal.SIGKILL)
            committed |= {int(line) for line in process.stdout.read().splitlines() if line}
        assert process.returncode == -signal.SIGKILL
        rows = stored(filled)
        # One more may have been committed before its line was out.
        assert committed <= rows.keys() and len(rows) <= len(committed) + 1
        assert all(text == expected(idx) for idx, text in rows.items())
        committed = set(rows)
    subprocess.run([sys.executable, WRITER, filled, str(SAMPLES)], check=True, stdout=subprocess.DEVNULL)
    assert stored(filled) == {idx: expected(idx) for idx in range(SAMPLES)}
    assert verify_run(filled) == []
    assert sorted(file.name for file in filled.iterdir()) == ["run.json", "run.sqlite"]
    again = subprocess.run([sys.executable, WRITER, filled, str(SAMPLES)], check=True, capture_output=True)
    assert again.stdout == b""


def check_full(path: Path, answer: subprocess.CompletedProcess[str]) -> None:
    assert answer.returncode == 1
    (line,) = answer.stderr.splitlines()
    assert line.startswith(f"RunError: cannot write {path}: the disk is full") and "finished rows are safe" in line
    committed = {int(idx) for idx in answer.stdout.split()}
    assert len(committed) > 5
    assert stored(path).keys() == committed | set(range(4))
    assert verify_run(path) == []


def test_a_file_that_may_not_grow(filled: Path) -> None:
    command = [sys.executable, WRITER, filled, str(SAMPLES)]
    answer = subprocess.run([*command, "700000"], capture_output=True, text=True)
    check_full(filled, answer)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert stored(filled) == {idx: expected(idx) for idx in range(SAMPLES)}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if not shutil.which("mount") or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk]).returncode:
        pytest.skip("no right to mount a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk(small_disk: Path, filled: Path) -> None:
    path = Path(shutil.copytree(filled, small_disk / "run"))
    check_full(path, subprocess.run([sys.executable, WRITER, path, str(SAMPLES)], capture_output=True, text=True))
    # No run can be made there either, and nothing of it is left.
    (small_disk / "rest").write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize))
    with pytest.raises(RunError, match="cannot write .*(full|No space left)"):
        make(small_disk / "new")
    assert sorted(entry.name for entry in small_disk.iterdir()) == ["rest", "run"]
    # With space again it goes on.
    (small_disk / "rest").unlink()
    with Run.open(path, writable=True) as run:
        assert len(list(run.missing([PROMPT.id], SAMPLES, *CONDITION))) == SAMPLES - len(stored(path))


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder that may be read by everybody and written by nobody but root, with a run in it."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)
        for path in [Path(name), *Path(name).rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)


def lock(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)


def count(path: Path) -> int:
    with Run.open(path) as run:
        return len(list(run.rollouts())) + run.summary().rollouts


def test_a_read_only_folder(read_only: Path) -> None:
    path = make(read_only / "run")
    lock(path)
    assert without_rights(lambda: count(path)) == "8"
    refused = without_rights(lambda: Run.open(path, writable=True))
    assert refused.startswith(f"RunError: cannot write {path}") and "\n" not in refused
    refused = without_rights(lambda: make(path / "new"))
    assert refused.startswith("RunError: cannot write") and "\n" not in refused


def test_a_folder_that_may_not_be_seen(read_only: Path) -> None:
    path = make(read_only / "deep" / "run")
    (read_only / "deep").chmod(0o700)
    refused = without_rights(lambda: Run.open(path))
    assert refused == f"RunError: cannot open {path}: Permission denied; choose another place, or work on a copy"


def leave_wal(path: Path) -> None:
    """Add a fifth rollout that is only in the WAL, as a killed writer leaves it."""
    child = os.fork()
    if child == 0:
        run = Run.open(path, writable=True)
        run.add_rollouts([rollout(sample_idx=4)], study_id=run.studies()[0].id)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert (path / "run.sqlite-wal").stat().st_size > 0


@pytest.mark.parametrize("with_shm", [True, False])
def test_a_read_only_folder_that_a_killed_writer_left(read_only: Path, with_shm: bool) -> None:
    path = make(read_only / "run")
    leave_wal(path)
    if not with_shm:  # as after copying the folder
        (path / "run.sqlite-shm").unlink()
    lock(path)
    assert without_rights(lambda: count(path)) == "10"


def test_a_read_only_folder_that_was_read_while_its_writer_closed(read_only: Path) -> None:
    """The file is then marked as having a WAL, but there is none."""
    path = make(read_only / "run")
    with Run.open(path, writable=True) as run:
        fill(run)
        reader = Run.open(path)
        next(reader.rollouts())
    reader.close()
    assert (path / "run.sqlite-shm").exists()
    for name in ("run.sqlite-shm", "run.sqlite-wal"):
        (path / name).unlink()
    lock(path)
    assert without_rights(lambda: count(path)) == "8"


def test_what_a_killed_writer_left_is_folded_back_by_the_next(filled: Path) -> None:
    leave_wal(filled)
    with Run.open(filled) as run:
        assert run.summary().rollouts == 5
    Run.open(filled, writable=True).close()
    assert sorted(file.name for file in filled.iterdir()) == ["run.json", "run.sqlite"]
    assert count(filled) == 10

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from runs_builder import IDENTITY, fill

from cotlab.errors import RunError
from cotlab.runs import Run
from cotlab.runs.lease import Lease

HOLD = """
import sys
from cotlab.runs import Run
run = Run.open(sys.argv[1], writable=True)
print("held", flush=True)
input()
"""


def hold(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=-1, stdout=-1, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_writer_is_told_who_the_first_is(filled: Path) -> None:
    with hold(filled) as process:
        with pytest.raises(RunError, match=f"is being written by process {process.pid} on ") as caught:
            Run.open(filled, writable=True)
        assert "\n" not in str(caught.value)
        with Run.open(filled) as reader:
            assert len(list(reader.rollouts())) == 4
            assert reader.summary().state.startswith(f"being written by process {process.pid} on ")
        process.communicate("\n")
    with Run.open(filled, writable=True) as run:
        assert run.writable


def test_a_killed_writer_holds_nothing(filled: Path) -> None:
    with hold(filled) as process:
        process.send_signal(signal.SIGKILL)
    with Run.open(filled) as run:
        assert run.summary().state == "interrupted"
    with Run.open(filled, writable=True) as run:
        fill(run)
    with Run.open(filled) as run:
        assert run.summary().state == "whole"


def test_two_writers_in_one_process(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", IDENTITY):
        with pytest.raises(RunError, match=f"is being written by process {os.getpid()} on "):
            Run.open(tmp_path / "run", writable=True)
    Run.open(tmp_path / "run", writable=True).close()


def test_a_forked_child_does_not_keep_the_lease(tmp_path: Path) -> None:
    lease = Lease(tmp_path)
    (waiting, done), (started, starting) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:  # a worker that outlives the writer
        os.close(done)
        os.write(starting, b"x")
        os.read(waiting, 1)
        os._exit(0)
    os.read(started, 1)
    try:
        lease.forget()  # closes the file and leaves it there, as the kernel does when it kills the writer
        Lease(tmp_path).release()
    finally:
        os.close(done)
        os.waitpid(child, 0)
        for end in (waiting, started, starting):
            os.close(end)


def test_a_lock_file_that_says_nothing(tmp_path: Path) -> None:
    lease = Lease(tmp_path)
    (tmp_path / "run.lock").write_text("")
    with pytest.raises(RunError, match="is being written by another process"):
        Lease(tmp_path)
    lease.release()
    lease.release()
    assert list(tmp_path.iterdir()) == []

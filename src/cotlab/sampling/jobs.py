"""Sampling in a process of its own, which outlives the one that started it.

A job is a folder `<root>/.jobs/<id>/`:

    job.json        what was asked, and the process
    progress.json   how far it is; written anew, whole, at most twice a second
    log.txt         what it said
    stop            there once somebody has asked it to end
    job.lock        locked (`flock`) as long as the process lives, however it dies

What is sampled is in the run folder, so a job that is stopped or killed loses nothing: the same request goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from cotlab.errors import RunError
from cotlab.runs.faults import disk_explained
from cotlab.sampling.config import StudyConfig
from cotlab.sampling.job_kinds import kind_of

__all__ = ["JOBS_FOLDER", "Job", "JobProgress", "JobState", "list_jobs", "start_job", "write_json"]

JOBS_FOLDER = ".jobs"
_LOG_TAIL = 8_000
JobState = Literal["running", "done", "stopped", "failed", "killed"]
"""killed: its process ended without a word (the machine went down, or out of memory)."""


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job is."""

    state: JobState = "running"
    phase: str = "starting"
    done: int = 0
    """Rollouts of this phase, or what its unit is."""
    total: int = 0
    """How many this phase takes; 0 where that is not known."""
    unit: str = "rollouts"
    tokens: int = 0
    seconds: float = 0.0
    """Of this phase, until the last of its rollouts."""
    since: float = 0.0
    """When this phase began, seconds since the epoch."""
    lines: tuple[str, ...] = ()
    """What a person should know, oldest first."""
    error: str | None = None
    result: dict[str, Any] = field(default_factory=dict)
    """What the finished job says of itself, as JSON."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job that was started."""

    folder: Path
    kind: str
    """One of `cotlab.sampling.job_kinds.KINDS`."""
    asked: dict[str, Any]
    """Fields of the request, as JSON."""
    pid: int
    started: float
    """Seconds since the epoch."""

    @property
    def id(self) -> str:
        """Name of its folder."""
        return self.folder.name

    @property
    def run(self) -> Path:
        """The run folder that it fills."""
        return Path(self.asked["run"])

    def alive(self) -> bool:
        """Whether its process lives."""
        try:
            with open(self.folder / "job.lock", "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    @property
    def running(self) -> bool:
        """Whether it is at work. Once it has said its last word its process lives on for a while, busy with leaving."""
        return self.alive() and self.progress().state == "running"

    def progress(self) -> JobProgress:
        """How far it is, now."""
        alive = self.alive()  # before the file is read: what ends in between has then written its last word
        try:
            content = (self.folder / "progress.json").read_bytes()
            found = TypeAdapter(JobProgress).validate_json(content)
        except (FileNotFoundError, ValidationError):
            found = JobProgress(since=self.started)
        if found.state == "running" and not alive:
            asked_to = (self.folder / "stop").exists()  # before it could say that it heard
            return replace(found, state="stopped" if asked_to else "killed")
        return found

    def stop(self) -> None:
        """Ask it to end; what it has sampled is stored."""
        if self.alive():
            (self.folder / "stop").touch()
            with contextlib.suppress(ProcessLookupError):  # it ended just now
                os.kill(self.pid, signal.SIGINT)

    def log(self) -> str:
        """The end of what it said."""
        try:
            with open(self.folder / "log.txt", "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _LOG_TAIL))
                return file.read().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return ""


def start_job(root: Path | str, config: Any) -> Job:
    """Start sampling in a process of its own.

    Args:
        root: Folder of runs; jobs lie in its `.jobs`.
        config: What is asked: a request of one of `cotlab.sampling.job_kinds.KINDS`; its `run` is the folder it fills.

    Raises:
        RunError: The folder cannot be written, or a job already fills that run.
    """
    root = Path(root)
    run = (config.run_folder() if isinstance(config, StudyConfig) else config.run).absolute()
    busy = next((job for job in list_jobs(root) if job.run == run and job.running), None)
    if busy is not None:
        raise RunError(f"{run.name} is being sampled by job {busy.id}: wait until it is done, or stop it")
    kind = kind_of(config)
    asked = {**config.model_dump(mode="json"), "run": str(run)}
    folder = root / JOBS_FOLDER / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    with disk_explained(root):
        folder.mkdir(parents=True)
        write_json(folder / "asked.json", {"kind": kind, "asked": asked})
        pid = _launch(folder)
        job = Job(folder, kind, asked, pid, time.time())
        write_json(folder / "job.json", {"kind": kind, "asked": asked, "pid": pid, "started": job.started})
    return job


def _launch(folder: Path) -> int:
    """Start the worker; it inherits the lock, so that there is no moment at which it lives unlocked."""
    with open(folder / "job.lock", "wb") as lock, open(folder / "log.txt", "wb") as log:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [sys.executable, "-m", "cotlab.sampling.job_worker", str(folder), str(lock.fileno())]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[lock.fileno()],
            start_new_session=True,
        )
    _reap()
    _STARTED.append(process)
    return process.pid


_STARTED: list[subprocess.Popen[bytes]] = []
"""Children that nobody has waited for yet: kept, so that they are reaped and no warning is raised for them."""


def _reap() -> None:
    """Wait for children that have ended."""
    for process in list(_STARTED):
        if process.poll() is not None:
            with contextlib.suppress(ValueError):  # another thread was quicker: every page of the app lists jobs
                _STARTED.remove(process)


def list_jobs(root: Path | str) -> list[Job]:
    """All jobs of a folder of runs, newest first."""
    _reap()
    folder, jobs = Path(root) / JOBS_FOLDER, []
    for entry in sorted(folder.iterdir(), reverse=True) if folder.is_dir() else []:
        try:
            found = json.loads((entry / "job.json").read_bytes())
            jobs.append(Job(entry, found["kind"], dict(found["asked"]), int(found["pid"]), float(found["started"])))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # not a job, or one that is just being made
    return jobs


def write_json(path: Path, content: Any) -> None:
    """Whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(asdict(content) if isinstance(content, JobProgress) else content), "utf-8")
    temporary.replace(path)

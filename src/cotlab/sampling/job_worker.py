"""The process of a job: `python -m cotlab.sampling.job_worker FOLDER LOCK_FD`; started by `start_job`."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from cotlab.errors import CotlabError
from cotlab.sampling.job_kinds import carry_out
from cotlab.sampling.jobs import JobProgress, write_json

__all__ = ["main"]

WRITE_SECONDS = 0.5
KEPT_LINES = 20


class _Telling:
    """Progress that is written into the job's folder."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "progress.json"
        self.now = JobProgress(since=time.time())
        self.since = self.written = time.monotonic()
        self.write()

    def phase(self, name: str, total: int, unit: str = "rollouts") -> None:
        self.since = time.monotonic()
        now = time.time()
        self.now = replace(self.now, phase=name, done=0, total=total, unit=unit, tokens=0, seconds=0.0, since=now)
        self.write()

    def advance(self, rollouts: int, tokens: int) -> None:
        seconds = time.monotonic() - self.since
        self.now = replace(self.now, done=self.now.done + rollouts, tokens=self.now.tokens + tokens, seconds=seconds)
        if time.monotonic() - self.written > WRITE_SECONDS:
            self.write()

    def say(self, line: str) -> None:
        print(line, flush=True)
        self.now = replace(self.now, lines=(*self.now.lines, line)[-KEPT_LINES:])
        self.write()

    def end(self, **changes: Any) -> None:
        self.now = replace(self.now, **changes)
        self.write()

    def write(self) -> None:
        self.written = time.monotonic()
        write_json(self.file, self.now)


def main(folder: Path, lock: int) -> int:
    """Carry a job out; returns the exit code."""
    os.set_inheritable(lock, False)  # a child of ours that outlives us would look like us
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell without job control starts us with it ignored
    job = json.loads((folder / "asked.json").read_bytes())
    telling = _Telling(folder)
    try:
        result = carry_out(job["kind"], job["asked"], telling)
    except KeyboardInterrupt:
        telling.end(state="stopped", phase="stopped")
        return 130
    except CotlabError as error:
        telling.end(state="failed", phase="failed", error=" ".join(str(error).split()))
        return 1
    except BaseException as error:
        telling.end(state="failed", phase="failed", error=f"{type(error).__name__}: {error} (see log.txt of the job)")
        raise
    telling.end(state="done", phase="done", result=result)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))

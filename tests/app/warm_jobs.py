"""Processes for jobs that begin with PyTorch and transformers loaded, which each would else spend five seconds on.

They are forked from one that has done nothing but import (Python's forkserver), and do what a worker does from its
first line on. How a worker is really started is tested in `tests/sampling`.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from multiprocessing import reduction
from pathlib import Path
from typing import IO, Any

from cotlab.sampling import job_worker

LOADED = ("pytest", "transformers.models.qwen2.modeling_qwen2", "cotlab.engines.hf", "cotlab.saes", "cotlab.whitebox")


class WarmJob:
    """Stands for `subprocess.Popen` of a worker: `… FOLDER LOCK_FD`."""

    def __init__(
        self, command: Sequence[str], *, stdout: IO[bytes], pass_fds: Sequence[int], stdin: int, **more: Any
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([*LOADED, job_worker.__name__])
        (lock,) = pass_fds
        self.process = context.Process(target=_work, args=(command[-2], _Handed(lock), _Handed(stdout.fileno())))
        self.process.start()
        self.pid = self.process.pid

    def poll(self) -> int | None:
        return self.process.exitcode


class _Handed:
    """A file descriptor that the other process gets as one of its own."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __reduce__(self) -> Any:
        return _received, (reduction.DupFd(self.fd),)


def _received(sent: Any) -> int:
    return int(sent.detach())


def _work(folder: str, lock: int, log: int) -> None:
    os.setsid()
    for fd in (1, 2):
        os.dup2(log, fd)
    raise SystemExit(job_worker.main(Path(folder), lock))

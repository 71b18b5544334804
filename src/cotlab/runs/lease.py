"""Who may write: one process at a time.

The lock is `flock` on `run.lock`: the kernel drops it when its holder dies, however it dies. What the file says (pid,
host) is only for messages. `flock` belongs to the open file, which children made by `fork` share, so they close it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import weakref
from dataclasses import dataclass
from pathlib import Path

from cotlab.errors import RunError

__all__ = ["LEASE_FILE", "Holder", "Lease", "holder"]

LEASE_FILE = "run.lock"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who wrote the lock file."""

    pid: int
    host: str

    @property
    def alive(self) -> bool:
        """Whether that process lives; on another host it is taken to live."""
        if self.host != socket.gethostname():
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def holder(folder: Path) -> Holder | None:
    """Who holds, or held when it was killed, the lease; None where nobody does."""
    try:
        found = json.loads((folder / LEASE_FILE).read_bytes())
        return Holder(int(found["pid"]), str(found["host"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # no file, or a writer is just filling it in: there is nobody to name


class Lease:
    """The right to write a run, held until `release`."""

    def __init__(self, folder: Path) -> None:
        """Take the lease.

        Raises:
            RunError: Another writer has it.
            OSError: The folder cannot be written.
        """
        self._path = folder / LEASE_FILE
        self._file: int | None = None
        while self._file is None:
            self._file = self._try(folder)
        try:
            os.ftruncate(self._file, 0)
            os.write(self._file, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
        except OSError:
            self.release()
            raise
        _HELD.add(self)

    def _try(self, folder: Path) -> int | None:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder before us may have removed the file between our `open` and `flock`.
            if os.fstat(file).st_ino == os.stat(self._path).st_ino:
                return file
        except BlockingIOError:
            os.close(file)
            who = holder(folder) or "another process"
            raise RunError(
                f"{folder} is being written by {who}: wait until it is done, end it, or open the run for reading"
            ) from None
        except FileNotFoundError:
            pass  # removed, see above: try again
        os.close(file)
        return None

    def release(self) -> None:
        """Let others write. Releasing twice is allowed."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)  # while we still hold it, so that nobody else's is removed
            os.close(self._file)
            self._file = None
        _HELD.discard(self)

    def forget(self) -> None:
        """Close the file without releasing: what a forked child does with the lease of its parent."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None


_HELD: weakref.WeakSet[Lease] = weakref.WeakSet()


def _forget_all() -> None:
    for lease in list(_HELD):
        lease.forget()


os.register_at_fork(after_in_child=_forget_all)

"""The killable worker's other end: asks, waits with a time limit, kills, starts again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import weakref
from types import TracebackType
from typing import Any, Self

from cotlab.chains.answers import Judgement
from cotlab.chains.problem import Problem
from cotlab.errors import CotlabError, DataError

__all__ = ["AnswerJudge"]

PATIENCE = 4.0
"""Wall time that an item gets for each second of processor time, on a machine that does other things as well."""
START_SECONDS = 300.0
"""How long the worker may take to import its libraries, on a busy machine."""
CACHE_SIZE = 50_000


class AnswerJudge:
    """Judges answers in a worker process that is started at the first question and killed when one takes too long.

    One question is asked at a time and judgements are remembered, so many equal answers cost one. Use as a context
    manager, or leave it to the garbage collector. Threads may share it.

    Args:
        seconds: Processor time that one item may take; `PATIENCE` times that on the clock.
        memory_mb: Memory limit of the worker, where the system has one.
    """

    def __init__(self, seconds: float = 5.0, memory_mb: int = 4096) -> None:
        self.seconds = seconds
        self.memory_mb = memory_mb
        self.starts = 0
        """How many workers were started."""
        self._worker: subprocess.Popen[str] | None = None
        self._gym = False
        self._stop: weakref.finalize[Any, Any] | None = None
        self._lock = threading.Lock()
        self._seen: dict[str, dict[str, Any] | None] = {}

    def math(self, answer: str, gold: str | None) -> Judgement | None:
        """Parse an answer and compare it with the gold answer.

        Returns:
            None where the answer cannot be read within the limits. A gold answer that cannot be read equals nothing.
        """
        if gold is None:
            key = self._key(answer)
            return Judgement(key, None) if key is not None else None
        gold_key = self._key(gold)
        if gold_key is None:  # it would run into the limits again at every answer
            key = self._key(answer)
            return Judgement(key, False) if key is not None else None
        reply = self._ask(op="equal", answer=answer, gold=gold)
        if reply is None or reply.get("equal") is None:
            return None
        key = gold_key if reply["equal"] else self._key(answer)
        return Judgement(key, bool(reply["equal"])) if key is not None else None

    def gym(self, problem: Problem, answer: str) -> bool | None:
        """Whether reasoning-gym accepts an answer to one of its problems (`meta`: dataset, seed, index, size).

        Raises:
            DataError: The installed reasoning-gym does not generate this problem.
        """
        where = {name: problem.meta.get(name) for name in ("dataset", "seed", "index", "size")}
        if not self._gym:
            self._gym = True  # the next worker imports reasoning-gym before its first item
            self.close()
        reply = self._ask(op="gym", question=problem.question, answer=answer, **where)
        if reply is not None and reply.get("error") == "mismatch":
            raise DataError(
                f"problem {problem.name!r}: the installed reasoning-gym generates another question for "
                f"{json.dumps(where)}: install version {problem.meta.get('version', '(unknown)')}"
            )
        return None if reply is None or "score" not in reply else reply["score"] >= 1.0

    def close(self) -> None:
        """End the worker; the next question starts another."""
        if self._stop is not None:
            self._stop()
        self._worker = self._stop = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _wall_seconds(self) -> float:
        return self.seconds * PATIENCE if hasattr(signal, "setitimer") else self.seconds

    def _key(self, answer: str) -> str | None:
        reply = self._ask(op="key", answer=answer)
        return None if reply is None else reply.get("key")

    def _ask(self, **request: Any) -> dict[str, Any] | None:
        """Reply to one request; None where the worker had to be killed or died."""
        line = json.dumps(request)
        with self._lock:
            if line not in self._seen:
                if len(self._seen) >= CACHE_SIZE:
                    self._seen.clear()
                self._seen[line] = self._exchange(line)
            return self._seen[line]

    def _exchange(self, line: str) -> dict[str, Any] | None:
        worker = self._worker or self._start()
        reply = _talk(worker, line, self._wall_seconds)
        if reply is None:
            self.close()
        return reply

    def _start(self) -> subprocess.Popen[str]:
        # -P: a file in the current folder must not stand in for a library.
        command = [sys.executable, "-P", "-m", "cotlab.chains.answer_worker", str(self.memory_mb)]
        command += [str(self.seconds), *(["--gym"] if self._gym else [])]
        worker = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            errors="backslashreplace",
        )
        self.starts += 1
        self._worker = worker
        self._stop = weakref.finalize(self, _end, worker)
        if _talk(worker, None, START_SECONDS) is None:
            self.close()
            raise CotlabError(f"the answer worker did not start: run `{' '.join(command)}` to see why")
        return worker


def _talk(worker: subprocess.Popen[str], line: str | None, seconds: float) -> dict[str, Any] | None:
    if worker.stdin is None or worker.stdout is None:  # pragma: no cover - opened with pipes above
        raise ValueError("the worker has no pipes")
    killed = threading.Event()

    def kill() -> None:
        killed.set()
        worker.kill()

    timer = threading.Timer(seconds, kill)
    timer.daemon = True
    timer.start()
    try:
        if line is not None:
            worker.stdin.write(line + "\n")
            worker.stdin.flush()
        reply = worker.stdout.readline()
    except BrokenPipeError:
        reply = ""
    finally:
        timer.cancel()
    if killed.is_set() or not reply.endswith("\n"):
        return None
    answered: dict[str, Any] = json.loads(reply)
    return answered


def _end(worker: subprocess.Popen[str]) -> None:
    worker.kill()
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:  # a request that a killed worker never read
                continue
    worker.wait()

"""What is in flight in vLLM, and for whom.

1. Each call of `sample` or `logprobs` is a `Call`. It adds requests one by one, so that it decides how many wait.
2. `Steps.step` lets vLLM work one step and gives each finished output to the call that asked for it; so one call may
   go on while another one is half read.
3. A call that is left, for whatever reason, takes its unfinished requests out of vLLM.
4. Ctrl-C waits for the end of a step. vLLM enters blocks into its prefix cache before it computes them: a step that
   is cut off would leave wrong keys and values behind. A step that breaks, or a second Ctrl-C, spoils the engine.
"""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Generic, TypeVar

from cotlab.errors import EngineError

__all__ = ["Call", "Steps"]

About = TypeVar("About")


class Steps:
    """Runs an `LLMEngine` step by step for several calls."""

    def __init__(self, llm_engine: Any) -> None:
        self._llm_engine: Any = llm_engine
        self._trouble = ""
        self._owners: dict[str, Call[Any]] = {}
        self._added = 0

    def call(self) -> Call[Any]:
        """A new call.

        Raises:
            EngineError: The engine is closed, or broke earlier.
        """
        self._check()
        return Call(self)

    def close(self) -> None:
        """Let go of vLLM; calls that are half read end with an error."""
        self._llm_engine, self._trouble = None, self._trouble or "is closed"
        self._owners.clear()

    def add(self, owner: Call[Any], prompt: Any, params: Any) -> str:
        """Hand a request to vLLM; its id.

        Raises:
            ValueError: vLLM refuses it.
        """
        from vllm.exceptions import VLLMClientError

        self._check()
        self._added += 1
        request_id = str(self._added)
        self._owners[request_id] = owner
        try:
            with _interrupts_held():
                self._llm_engine.add_request(request_id, prompt, params)
        except (ValueError, VLLMClientError) as error:
            del self._owners[request_id]
            raise ValueError(str(error)) from error
        return request_id

    def step(self) -> None:
        """Let vLLM work one step; what it finishes goes to the calls that asked.

        Raises:
            EngineError: vLLM broke; the engine cannot be used any more.
        """
        self._check()
        with _interrupts_held():
            try:
                outputs = self._llm_engine.step()
            except BaseException as error:
                self._trouble = "broke in an earlier call"
                if isinstance(error, Exception):
                    raise EngineError(f"vllm broke: {type(error).__name__}: {error}") from error
                raise
            for output in outputs:
                self._owners.pop(output.request_id).arrived.append(output)

    def cancel(self, owner: Call[Any]) -> None:
        """Take the unfinished requests of a call out of vLLM."""
        mine = [request_id for request_id, other in self._owners.items() if other is owner]
        for request_id in mine:
            del self._owners[request_id]
        if mine and not self._trouble:
            with _interrupts_held():
                self._llm_engine.abort_request(mine)

    def _check(self) -> None:
        if self._trouble:
            raise EngineError(f"the vllm engine {self._trouble}; open it again")


class Call(Generic[About]):
    """The requests of one call, each with what the caller knows about it. A context manager: leaving it cancels."""

    def __init__(self, steps: Steps) -> None:
        self.arrived: deque[Any] = deque()
        self._steps = steps
        self._about: dict[str, About] = {}

    def __enter__(self) -> Call[About]:
        return self

    def __exit__(self, *error: object) -> None:
        self._steps.cancel(self)

    def __len__(self) -> int:
        return len(self._about)

    def add(self, token_ids: Sequence[int], params: Any, about: About, cache_salt: str | None = None) -> None:
        """Put a request in flight.

        Args:
            token_ids: The prompt.
            params: vLLM's `SamplingParams`, used by no other request.
            about: Comes back with the output.
            cache_salt: Requests of different salts share no cache.

        Raises:
            ValueError: vLLM refuses the request.
        """
        from vllm.inputs import tokens_input

        prompt = tokens_input(list(token_ids), cache_salt=cache_salt)
        self._about[self._steps.add(self, prompt, params)] = about

    def finished(self) -> Iterator[tuple[About, Any]]:
        """What has finished after one more step, with its `RequestOutput`.

        Raises:
            EngineError: vLLM broke.
        """
        if not self.arrived:
            self._steps.step()
        while self.arrived:
            output = self.arrived.popleft()
            yield self._about.pop(output.request_id), output


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold a Ctrl-C back until the block has ended; a second one goes through at once."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    held: list[tuple[int, FrameType | None]] = []

    def hold(number: int, frame: FrameType | None) -> None:
        if held:
            handler(number, frame)
        held.append((number, frame))

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if held:
        handler(*held[0])

"""A language model elsewhere: any server that speaks OpenAI's chat completions.

What leaves this machine is what is asked; nothing is sent unless a server is named by its address. What comes back is
limited in size and time, and quoted on one line where it is shown.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from cotlab.errors import UserError

if TYPE_CHECKING:
    import httpx

__all__ = ["ChatServer", "json_object", "quoted"]

_LONGEST_ANSWER = 2_000_000
"""Bytes of an answer that are read."""
_TOLD = 160
"""Characters of a server's answer that an error message quotes."""
_Read = TypeVar("_Read")
Prompt = str | Sequence[Mapping[str, Any]]
"""What a user says: text, or parts (`{"type": "text", …}`, `{"type": "image_url", …}`)."""


class _Message(BaseModel):
    content: str


class _Choice(BaseModel):
    message: _Message


class _Completion(BaseModel):
    choices: list[_Choice]


@dataclass(frozen=True, slots=True)
class ChatServer:
    """Where a language model answers."""

    url: str
    """Base address, such as `http://localhost:8000/v1`."""
    model: str
    """Name of the model at the server."""
    key: str | None = field(default=None, repr=False)
    """Sent as a bearer token where given."""
    timeout: float = 120.0
    """Seconds for one request from start to end, however slowly the server drips."""
    tries: int = 3
    """Requests before a bad answer is given up on."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if "@" in parts.netloc:
            raise UserError(
                "the judge address holds a user name or password before '@'. Leave it out, give the key apart"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"judge address '{self.url}' is no http address. Give one such as http://localhost:8000/v1")
        for name in ("timeout", "tries"):
            if getattr(self, name) <= 0:
                raise UserError(f"{name} of the judge is {getattr(self, name)}, expected more than 0")

    def client(self) -> httpx.Client:
        """A client for requests; use as a context manager."""
        import httpx

        limits = httpx.Timeout(self.timeout, connect=min(10.0, self.timeout))
        return httpx.Client(timeout=limits, follow_redirects=False, trust_env=False)

    def ask(
        self, client: httpx.Client, system: str, prompt: Prompt, read: Callable[[str], _Read], way_out: str = ""
    ) -> _Read:
        """Ask until the answer can be read, at most `tries` times.

        Args:
            client: Of `client()`.
            system: Instructions.
            prompt: The question: text, or parts of text and images.
            read: Reads an answer; raises ValueError where it cannot.
            way_out: What else a user may try, for the error message.

        Raises:
            UserError: The server cannot be reached, refuses, takes too long, or keeps answering what cannot be read.
        """
        fault = ""
        for _ in range(self.tries):
            text = self.say(client, system, prompt)
            try:
                return read(text)
            except ValueError as error:
                fault = str(error)
        raise UserError(
            f"the judge {self.model} at {self.url} answered {self.tries} times what cannot be read ({fault}). "
            f"Try another model{way_out}"
        )

    def say(self, client: httpx.Client, system: str, prompt: Prompt) -> str:
        """What the model answers at temperature 0.

        Raises:
            UserError: The server cannot be reached, refuses, takes too long, or is no such server.
        """
        import httpx

        body = {
            "model": self.model,
            "temperature": 0,
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": prompt if isinstance(prompt, str) else list(prompt)},
            ],
        }
        headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        address = f"{self.url.rstrip('/')}/chat/completions"
        try:
            with client.stream("POST", address, json=body, headers=headers) as response:
                content = self._content(response)
                status = response.status_code
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise UserError(
                f"no answer from the judge at {self.url}: {quoted(str(error)) or type(error).__name__}"
            ) from error
        if status != 200:
            raise UserError(f"the judge at {self.url} answered {status}: {quoted(content.decode('utf-8', 'replace'))}")
        try:
            return _Completion.model_validate_json(content).choices[0].message.content
        except (ValidationError, IndexError) as error:
            told = quoted(content.decode("utf-8", "replace"))
            raise UserError(f"the judge at {self.url} does not speak OpenAI's chat completions: {told}") from error

    def _content(self, response: httpx.Response) -> bytes:
        deadline, content = time.monotonic() + self.timeout, bytearray()
        for part in response.iter_bytes():
            content += part
            if len(content) > _LONGEST_ANSWER:
                raise UserError(f"the judge at {self.url} answered more than {_LONGEST_ANSWER:,} bytes")
            if time.monotonic() > deadline:
                raise UserError(f"the judge at {self.url} took longer than {self.timeout:g} s. Raise its timeout")
        return bytes(content)


def json_object(text: str) -> Any:
    """The JSON object in a model's text, behind its thoughts.

    Raises:
        ValueError: It holds none.
    """
    found = re.search(r"\{.*\}", text.rpartition("</think>")[2], re.DOTALL)
    if found is None:
        raise ValueError(f"no JSON object in {quoted(text)}")
    try:
        return json.loads(found[0])
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__} in {quoted(found[0])}") from error


def quoted(text: str) -> str:
    """What someone else's machine said, on one line, short, without control characters."""
    plain = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return plain if len(plain) <= _TOLD else plain[: _TOLD - 1] + "…"

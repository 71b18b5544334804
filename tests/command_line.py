"""The command line, called in this process: a new one for each call would import everything again."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from typing import Any, NamedTuple

from cotlab.cli import main


class Said(NamedTuple):
    """What a command gave."""

    code: int
    out: str
    err: str


def cotlab(*words: object) -> Said:
    """`cotlab WORDS…`."""
    before, out, err, code = sys.argv, io.StringIO(), io.StringIO(), 0
    sys.argv = ["cotlab", *map(str, words)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as done:
        code = int(done.code or 0)
    finally:
        sys.argv = before
    return Said(code, out.getvalue(), err.getvalue())


def shown(*words: object) -> str:
    """What a command that succeeds prints."""
    said = cotlab(*words)
    assert said.code == 0, (words, said.err)
    return said.out


def document(*words: object) -> Any:
    """The JSON document of a command that succeeds."""
    return json.loads(shown(*words, "--json"))


def fault(*words: object) -> str:
    """The one line of a command that fails by its user's fault; progress may stand before it."""
    said = cotlab(*words)
    lines = [line for line in said.err.splitlines() if line.startswith("cotlab: ")]
    assert said.code == 2 and len(lines) == 1 and "Traceback" not in said.err, (words, said)
    assert said.err.rstrip().endswith(lines[0]), said.err
    return lines[0]

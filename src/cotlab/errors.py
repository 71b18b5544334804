"""What can go wrong, as one tree.

    CotlabError
    ├── UserError           a user's fault: printed as one line, exit code 2
    │   ├── RunError        a run folder that is missing, damaged, locked or of another version
    │   ├── ModelError      a model that is not there, or that cannot do what was asked
    │   └── DataError       a problem file, transcript or import that cannot be read
    └── EngineError         an engine broke while it worked (not the user's fault)

A message says what was wrong, with the value, and what to do.
"""

from __future__ import annotations

__all__ = ["CotlabError", "DataError", "EngineError", "ModelError", "RunError", "UserError", "fault_of"]


class CotlabError(Exception):
    """Everything that cotlab raises on purpose."""


class UserError(CotlabError):
    """Something the user can mend; the CLI prints it without a traceback and exits with 2."""


class RunError(UserError):
    """A run folder that is missing, damaged, locked by another writer or of a newer version."""


class ModelError(UserError):
    """A model that is not there, or that cannot do what was asked of it."""


class DataError(UserError):
    """A problem file, transcript or import that cannot be read."""


class EngineError(CotlabError):
    """An engine failed while it worked."""


def fault_of(error: Exception) -> str:
    """What is wrong with a document, in a few words: the place that does not fit, or the key that it lacks."""
    faults = getattr(error, "errors", None)  # pydantic's, which is not imported here
    if faults is not None:
        first = faults()[0]
        said = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first["loc"] else str(first["msg"])
        if first["type"] == "literal_error":
            said += f", not {str(first['input'])[:40]!r}"
    else:
        said = f"it has no {error}" if isinstance(error, KeyError) else str(error)
    return " ".join(said.split())[:120]

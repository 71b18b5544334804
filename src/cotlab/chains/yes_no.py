"""Yes or no: how an answer in words is read, our way and as it is published.

| rule | reads | source |
|---|---|---|
| yes-no | the word that it begins with, else yes where it has no no (not, n't), no where it has no yes | ours |
| pope | no where the first sentence has the word No, no or not, else yes | RUCAIBox/POPE, `evaluate.py` |
| lmms-eval | yes or no where the whole answer is that word, else not read | lmms-eval, task `pope` |

What says neither, or both in running text, is not read; `pope` reads everything. The published rules are for
comparison with published tables: `pope` takes silence, a refusal and "There is a cat" in answer to a dog for yes,
`lmms-eval` loses every answer with a full stop.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

__all__ = ["YES_NO_RULES", "YesNo", "YesNoRule", "read_yes_no"]

YesNo = Literal["yes", "no"]
YesNoRule = Callable[[str], "YesNo | None"]

_FIRST = re.compile(r"[\W_]*(yes|no)\b(?!')", re.IGNORECASE)
_YES = re.compile(r"\byes\b", re.IGNORECASE)
_NO = re.compile(r"\b(?:no|not|cannot)\b|n['’]t\b", re.IGNORECASE)


def read_yes_no(text: str) -> YesNo | None:
    """What an answer says; None where it says neither or both."""
    if first := _FIRST.match(text):
        return "yes" if first[1].casefold() == "yes" else "no"
    yes, no = _YES.search(text) is not None, _NO.search(text) is not None
    return None if yes == no else "yes" if yes else "no"


def _pope(text: str) -> YesNo | None:
    words = text.split(".")[0].replace(",", "").split(" ")
    return "no" if {"No", "not", "no"} & set(words) else "yes"


def _lmms_eval(text: str) -> YesNo | None:
    said = text.lower().strip()
    return "yes" if said == "yes" else "no" if said == "no" else None


YES_NO_RULES: Mapping[str, YesNoRule] = MappingProxyType(
    {"yes-no": read_yes_no, "pope": _pope, "lmms-eval": _lmms_eval}
)
"""Ways to read an answer, by name."""

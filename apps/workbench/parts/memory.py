"""Memory of what large runs are read into."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["set_apart"]

LARGE = 1_000_000
"""Objects set apart from the search for garbage, from which on they are searched once more."""


@contextmanager
def set_apart() -> Iterator[None]:
    """Make hundreds of thousands of small objects that all stay: looking for garbage takes a fifth of the time.

    They are set apart (`gc.freeze`), so that no later click pays for a look at them; before the next large reading,
    what became garbage among them is collected.
    """
    if gc.get_freeze_count() > LARGE:
        gc.unfreeze()
        gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()

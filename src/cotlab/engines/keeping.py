"""One engine that stays open between studies of the same model: loading takes seconds, of large ones minutes.

with keeping_engine():                  # in a process that opens one study after the other
    resample(model="…")                 # loads it
    revisit("runs/…")                   # goes on with the engine that is there
    Inside.open("…", device="cuda")     # closes it first: it may hold most of the GPU's memory
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cotlab.engines.load import OpenedEngine

__all__ = ["close_idle_engine", "keeping_engine", "kept_engine"]


@dataclass(slots=True)
class _Keeper:
    asked: Hashable = None
    opened: OpenedEngine | None = None
    busy: bool = False

    def close(self) -> None:
        opened, self.opened, self.asked = self.opened, None, None
        if opened is not None:
            opened.engine.close()


_keeper: ContextVar[_Keeper | None] = ContextVar("keeper", default=None)


@contextmanager
def keeping_engine() -> Iterator[None]:
    """Keep the last engine of a study open, until another model is opened or the block ends."""
    if _keeper.get() is not None:
        yield
        return
    keeper = _Keeper()
    token = _keeper.set(keeper)
    try:
        yield
    finally:
        _keeper.reset(token)
        keeper.close()


@contextmanager
def kept_engine(asked: Hashable, open_it: Callable[[], OpenedEngine]) -> Iterator[OpenedEngine]:
    """The engine that was kept, if it is what is asked for; else a new one, kept inside of `keeping_engine`.

    Where the block fails it is closed, since the engine may be what failed.

    Args:
        asked: All that the engine depends on.
        open_it: Opens it.
    """
    keeper = _keeper.get()
    if keeper is None or keeper.busy:
        opened = open_it()
        with opened.engine:
            yield opened
        return
    if keeper.opened is None or keeper.asked != asked:
        keeper.close()
        keeper.opened, keeper.asked = open_it(), asked
    else:
        keeper.opened.engine.forget()  # so that no study draws otherwise because of the one before it
    keeper.busy = True
    try:
        yield keeper.opened
    except BaseException:
        keeper.close()
        raise
    finally:
        keeper.busy = False


def close_idle_engine() -> None:
    """Close the engine that is kept, if no study is using it: whoever loads another model makes room so."""
    keeper = _keeper.get()
    if keeper is not None and not keeper.busy:
        keeper.close()

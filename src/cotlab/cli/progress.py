"""Progress on stderr: a bar with rate and time left."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from cotlab.cli.output import err

__all__ = ["Bar"]


class Bar:
    """Shows `cotlab.sampling.Progress` as one bar a phase; on a pipe it prints one line a phase."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.bar = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", style="dim"),
            TimeRemainingColumn(),
            console=err(),
            disable=quiet or not err().is_terminal,
        )
        self.task: TaskID | None = None
        self.tokens = 0

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def phase(self, name: str, total: int, unit: str = "rollouts") -> None:
        """A phase of `total` rollouts, or whatever the unit is, begins (0: not known)."""
        self.tokens = 0
        if self.task is not None and (before := self.bar.tasks[self.task]).total is None:
            self.bar.update(self.task, total=before.completed)  # it has ended, and moves no longer
        self.task = self.bar.add_task(name, total=total or None, rate="")
        if self.bar.disable and not self.quiet:
            err().print(Text(f"{name}: {total:,} {unit}" if total else name))

    def advance(self, rollouts: int, tokens: int) -> None:
        """So many more are there."""
        if self.task is None:
            return
        self.tokens += tokens
        elapsed = self.bar.tasks[self.task].elapsed
        rate = f"{self.tokens / elapsed:,.0f} tok/s" if elapsed and self.tokens else ""
        self.bar.update(self.task, advance=rollouts, rate=rate)

    def say(self, line: str) -> None:
        """One line above the bars."""
        if not self.quiet:
            self.bar.console.print(Text(line))

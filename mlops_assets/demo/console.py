"""What a person sees while a demonstration runs: progress bars, and what is under way.

Put here their looks. Keep out what they measure.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console


def progress_bars(console: Console) -> Progress:
    """An empty display of bars: title, bar, count and seconds."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )


_LINE_SECONDS: Final = 20.0


class Bars:
    """One bar for each title, made when the title is first seen; a log gets lines instead."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._told = 0.0

    def __call__(self, title: str, done: int, total: int) -> None:
        """Show that so many of so many are done."""
        first = title not in self._tasks
        if first:
            self._tasks[title] = self._progress.add_task(title, total=total)
        # A log shows bars only when all are full.
        if not self._progress.console.is_terminal and (first or time.monotonic() - self._told > _LINE_SECONDS):
            self._told = time.monotonic()
            self._progress.console.print(f"{title}: {done} of {total}")
        self._progress.update(self._tasks[title], completed=done)


@contextmanager
def under_way(console: Console, title: str) -> Iterator[Callable[[str], None]]:
    """Show that title while the block runs; gives a function that tells what is under way."""
    if console.is_terminal:
        with console.status(f"{title} ...") as status:
            yield lambda text: status.update(f"{title}: {text}")
    else:
        # A log keeps each line.
        console.print(title)
        yield lambda text: console.print(f"  {text}", soft_wrap=True)

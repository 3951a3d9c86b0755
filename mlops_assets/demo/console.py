"""What a person sees while a demonstration runs: progress bars, and what is under way.

Put here their looks. Keep out what they measure.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console


def progress_bars(console: Console) -> Progress:
    """An empty display of bars: title, bar, count and seconds."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )


class Bars:
    """One bar for each title, made when the title is first seen."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, title: str, done: int, total: int) -> None:
        """Show that so many of so many are done."""
        if title not in self._tasks:
            self._tasks[title] = self._progress.add_task(title, total=total)
            if not self._progress.console.is_terminal:
                # A log shows bars only when all are full.
                self._progress.console.print(f"{title}: {total} runs")
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

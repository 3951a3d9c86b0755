"""Deadlines: every request is answered within the same time.

Put here how a request is ended that takes longer. Keep out what its client is told (``gate``).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable


class DeadlineError(Exception):
    """The time is over."""


class Deadlines:
    """The requests under way, the oldest first, and by when each must end.

    One timer looks at all of them. A timer for each, as ``asyncio.timeout`` sets it, took a tenth of a short request's
    time.
    """

    def __init__(self, seconds: float) -> None:
        """Give every request that many seconds."""
        self._seconds = seconds
        self._until: dict[asyncio.Task[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def keep(self, request: Awaitable[None]) -> None:
        """Await it in the task that runs.

        Raises:
            DeadlineError: it was cancelled because its time was over.
        """
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline is kept in a task")
        self._until[task] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look, loop)
        try:
            await request
        except asyncio.CancelledError:
            # Who is not listed any more was cancelled here; and perhaps by somebody else as well.
            if task in self._until or task.uncancel():
                raise
            raise DeadlineError from None
        finally:
            self._until.pop(task, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task, until in list(self._until.items()):
            if until > now:
                self._timer = loop.call_at(until, self._look, loop)
                return
            del self._until[task]
            task.cancel()
        self._timer = None

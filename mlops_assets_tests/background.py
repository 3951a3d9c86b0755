"""An asyncio server in a thread of its own, for tests whose clients are synchronous.

Put here starting and stopping. Keep out what is served, and assertions.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

_START_SECONDS = 10


@contextmanager
def served(start: Callable[[], Awaitable[asyncio.Server]]) -> Iterator[asyncio.Server]:
    """The server that ``start`` gives, serving while the block runs; whatever it still does is cancelled at the end."""
    loop, ready, started = asyncio.new_event_loop(), threading.Event(), []

    async def serve() -> None:
        server = await start()
        started.append(server)
        ready.set()
        with suppress(asyncio.CancelledError):
            await server.serve_forever()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    task = loop.create_task(serve())
    thread = threading.Thread(target=loop.run_until_complete, args=(task,))
    thread.start()
    try:
        assert ready.wait(_START_SECONDS), "the server did not start"
        yield started[0]
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(_START_SECONDS)
        loop.close()

"""What a worker does about itself: it ends when its event loop stands or its parent is gone, and leaves in two steps.

Put here the life of the process as the application sees it. Keep out starting and replacing workers, which the web
server does.
"""

from __future__ import annotations

import asyncio
import faulthandler
import multiprocessing
import signal
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType

    from mlops_assets.serving.exports.condition import Condition

_HUNG_SECONDS: Final = 30.0
"""A worker whose event loop has not turned for so long answers nobody."""
_LOOK_SECONDS: Final = 1.0


async def stay_watched() -> None:
    """Let the process end once the event loop stands, so that it is replaced; runs until cancelled.

    The interpreter's own watchdog ends it, in a thread that needs no lock, and prints where each thread stands. It
    judges the event loop alone: an export that is verified for minutes in a thread is no reason to end.
    """
    parent = multiprocessing.parent_process()
    try:
        while True:
            faulthandler.dump_traceback_later(_HUNG_SECONDS, exit=True)
            if parent is not None and not parent.is_alive():
                # Nobody would replace or end this worker any more.
                signal.raise_signal(signal.SIGTERM)
                return
            await asyncio.sleep(_LOOK_SECONDS)
    finally:
        faulthandler.cancel_dump_traceback_later()


def drain_before_end(condition: Condition, seconds: float) -> None:
    """On SIGTERM say first that no new client should come, and do a little later what was to be done.

    Told again, it does so at once.

    Args:
        condition: it tells ``/health/ready`` and every answer.
        seconds: how much later.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    leave = signal.getsignal(signal.SIGTERM)
    loop = asyncio.get_running_loop()

    def told(number: int, frame: FrameType | None) -> None:
        if not callable(leave):
            return
        if condition.draining:
            leave(number, frame)
            return
        condition.draining = True
        loop.call_soon_threadsafe(loop.call_later, seconds, leave, number, frame)

    if callable(leave):
        signal.signal(signal.SIGTERM, told)

"""Handshakes: how connections are accepted, and how many may be on their way to their first request.

Put here what holds until a connection is made. Keep out what holds for it afterwards (``connections``), and what is
judged in a handshake (``tls``).
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Sequence

_LOGGER: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 32
"""How many connections are accepted before others have their turn."""
_PAUSE_SECONDS: Final = 1.0
_SHUTDOWN_SECONDS: Final = 2.0


class Listener:
    """Accepts connections, and bounds how many are in their handshake.

    A socket that says nothing has to be waited for, since a distant client says nothing at first either. Beyond the
    limit a newcomer takes the place of the one that has waited longest, among those of the address that has most: who
    opens many sockets pushes out their own, and behind one proxy the oldest goes. Refusing the newcomer would let
    silent sockets keep everybody out for as long as a handshake may take; a shorter time for handshakes would only
    keep out distant clients.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        protocol: Callable[[], asyncio.Protocol],
        *,
        most: int,
        tls: ssl.SSLContext | None,
        handshake_seconds: float,
    ) -> None:
        """Prepare.

        Args:
            sockets: what to accept from; they listen already, and do not block.
            protocol: makes the protocol of a connection.
            most: how many handshakes at a time.
            tls: the context to begin with; ``None`` for connections without TLS.
            handshake_seconds: how long one may take.
        """
        self._sockets = sockets
        self._protocol = protocol
        self._most = most
        self._options: dict[str, Any] = {}
        if tls is not None:
            self._options = {
                "ssl": tls,
                "ssl_handshake_timeout": handshake_seconds,
                "ssl_shutdown_timeout": _SHUTDOWN_SECONDS,
            }
        self._count = 0
        self._waiting: dict[str, dict[asyncio.Task[Any], None]] = {}
        """The handshakes under way by the client's address, the oldest first."""
        self._paused: dict[socket.socket, asyncio.TimerHandle] = {}

    def start(self) -> None:
        """Accept from now on, in the event loop that runs."""
        self._loop = asyncio.get_running_loop()
        for each in self._sockets:
            self._resume(each)

    def close(self) -> None:
        """Accept nobody any more, and end the handshakes under way; the sockets stay open."""
        for each in self._sockets:
            self._loop.remove_reader(each)
        for timer in self._paused.values():
            timer.cancel()
        for of_address in list(self._waiting.values()):
            for handshake in list(of_address):
                handshake.cancel()

    async def wait_closed(self) -> None:
        """Nothing is left to wait for; asked by the web server of whatever listens."""

    def _resume(self, listening: socket.socket) -> None:
        self._paused.pop(listening, None)
        self._loop.add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Out of files or memory: it would be told again and again at once.
                _LOGGER.error("connections not accepted", extra={"fields": {"error": str(error)}})  # noqa: TRY400
                self._loop.remove_reader(listening)
                self._paused[listening] = self._loop.call_later(_PAUSE_SECONDS, self._resume, listening)
                return
            connection.setblocking(False)  # noqa: FBT003  the library's own signature
            self._greet(connection, str(address[0]))

    def _greet(self, connection: socket.socket, address: str) -> None:
        if self._count >= self._most:
            self._drop_one()
        handshake = self._loop.create_task(
            self._loop.connect_accepted_socket(self._protocol, connection, **self._options)
        )
        self._waiting.setdefault(address, {})[handshake] = None
        self._count += 1
        handshake.add_done_callback(partial(self._settle, connection, address))

    def _drop_one(self) -> None:
        address, of_address = max(self._waiting.items(), key=lambda item: len(item[1]))
        handshake = next(iter(of_address))
        self._forget(handshake, address)
        handshake.cancel()

    def _forget(self, handshake: asyncio.Task[Any], address: str) -> None:
        of_address = self._waiting.get(address, {})
        if handshake in of_address:
            del of_address[handshake]
            self._count -= 1
            if not of_address:
                del self._waiting[address]

    def _settle(self, connection: socket.socket, address: str, handshake: asyncio.Task[Any]) -> None:
        self._forget(handshake, address)
        # The event loop has told of an error, and an error that nobody looks at would be told twice.
        if handshake.cancelled() or handshake.exception() is not None:
            # One that was dropped before its first step belongs to nobody else.
            connection.close()

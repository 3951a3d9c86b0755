"""Whole answers: the head of an answer leaves together with the body that follows it.

Put here how an answer's parts are written to a connection, and how long its end waits for a client to take them. Keep
out what they are.
"""

from __future__ import annotations

import asyncio


class WholeAnswers(asyncio.Transport):
    """A transport that holds what is written until more follows, at most until the event loop turns.

    The web server writes head and body one after the other: two packets, two TLS records, and a client that is woken
    twice. That took a tenth of a short request's time.

    A closed transport waits until all is written, and so for ever for a client that never reads. This one is cut then.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, close_seconds: float) -> None:
        """Write to that transport.

        Args:
            transport: the connection's own.
            loop: the event loop.
            close_seconds: how long a closed connection waits for its client to take what was written.
        """
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._close_seconds = close_seconds
        self._end: asyncio.TimerHandle | None = None
        self._held = b""
        self._lost = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write it with what was held, or hold it for a moment; drop it when the connection is gone."""
        if self._lost:
            return
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held + data)
        elif data:
            self._held = bytes(data)
            self._loop.call_soon(self._flush)

    def is_closing(self) -> bool:
        """Whether the connection is being closed."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Close the connection when everything is written, and cut it when that is not taken in time."""
        self._flush()
        self._transport.close()
        if self._end is None and not self._lost:
            self._end = self._loop.call_later(self._close_seconds, self._transport.abort)

    def abort(self) -> None:
        """Cut the connection, and drop what was not written yet."""
        self._held = b""
        self._transport.abort()

    def lost(self) -> None:
        """The connection is gone. The web server tells that to its last request only, and earlier ones write on."""
        self._lost = True
        self._held = b""
        if self._end is not None:
            self._end.cancel()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)

"""Whole answers: the head of an answer leaves together with the body that follows it.

Put here how an answer's parts are written to a connection. Keep out what they are.
"""

from __future__ import annotations

import asyncio


class WholeAnswers(asyncio.Transport):
    """A transport that holds what is written until more follows, at most until the event loop turns.

    The web server writes head and body one after the other: two packets, two TLS records, and a client that is woken
    twice. That took a tenth of a short request's time.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._held = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write it with what was held, or hold it for a moment."""
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
        """Close the connection when everything is written."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Cut the connection, and drop what was not written yet."""
        self._held = b""
        self._transport.abort()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)

"""Heads of HTTP requests: what may say who asks, in a server that a reverse proxy alone can reach.

Put here how uvicorn's parser is held to the head. Keep out what its headers mean.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class HeadAlone(HttpToolsProtocol):
    """HTTP whose headers are those of the head.

    A proxy writes its own headers anew in the head and may pass on what a client sends behind a body in chunks, as
    nginx does without a buffer; uvicorn would add that to the headers of the request. RFC 9110, 6.5.1, lets it be
    discarded.
    """

    _in_head = False

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; one that comes behind the body is let fall."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        super().on_headers_complete()

"""What the web server's parsers cannot read as a request: refused like all else, and told in the audit trail.

Put here what uvicorn would answer by itself, before there is a request. Keep out refusals of requests (``problems``).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from mlops_assets.platform.http_heads import HeadAlone
from mlops_assets.serving.http.audit import decision_of, log_decision
from mlops_assets.serving.http.headers import with_secure_headers
from mlops_assets.serving.http.problems import Problem, error_body

if TYPE_CHECKING:
    import asyncio

_REASON: Final = "unreadable"
_LINGER_SECONDS: Final = 2.0
"""How long the rest of what was refused is let fall, before the connection ends."""
_ROUND_A_HEADER: Final = len(": \r\n")


class EdgeProtocol(HeadAlone):
    """HTTP as an edge speaks it: one question at a time, whole with its body."""

    refused = False

    def data_received(self, data: bytes) -> None:
        """Read on, but of what was refused nothing more."""
        if not self.refused:
            super().data_received(data)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  the library's own signature
        """Refuse what is no request, and end the connection."""
        _refuse(self)


class LoopbackProtocol(H11Protocol):
    """HTTP as anybody on this machine may speak it."""

    refused = False

    def data_received(self, data: bytes) -> None:
        """Read on, but of what was refused nothing more."""
        if not self.refused:
            super().data_received(data)

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401  the library's own
        """As the library says, with heads of limited size."""
        super().__init__(*arguments, **named)
        self.conn = _Heads(self.config.h11_max_incomplete_event_size or 0)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  the library's own signature
        """Refuse what is no request, and end the connection."""
        _refuse(self)


class _Heads(h11.Connection):
    """A connection whose heads are limited; the library limits those alone that come in several pieces."""

    def __init__(self, most: int) -> None:
        super().__init__(h11.SERVER, most)
        self._most = most

    def next_event(self) -> h11.Event | type[h11.NEED_DATA | h11.PAUSED]:
        event = super().next_event()
        if isinstance(event, h11.Request):
            size = len(event.target) + sum(len(name) + len(value) + _ROUND_A_HEADER for name, value in event.headers)
            if size > self._most:
                raise h11.RemoteProtocolError("The head is too long.", error_status_hint=431)
        return event


def _refuse(protocol: EdgeProtocol | LoopbackProtocol) -> None:
    """Answer what cannot be read, unless an answer is under way, and end the connection."""
    transport: asyncio.Transport = protocol.transport
    cycle: Any = protocol.cycle
    under_way = cycle is not None and not cycle.response_complete
    if under_way and cycle.response_started:
        transport.close()
        return
    # Of a request that is being answered the application writes the line, once it learns that its client is gone.
    scope: Any = cycle.scope if under_way else {"type": "http", "headers": [], "state": {}}
    status, decision = HTTPStatus.BAD_REQUEST, decision_of(scope)
    decision.reason = _REASON
    problem = Problem(
        title=status.phrase,
        status=status.value,
        detail="It cannot be read as a request.",
        request_id=decision.request_id,
    )
    body, media_type = error_body("", problem)
    own = [
        (b"content-type", media_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    head = [b"%s: %s\r\n" % header for header in with_secure_headers(own, decision)]
    if not under_way:
        log_decision(scope, status.value)
    transport.write(b"".join([b"HTTP/1.1 400 Bad Request\r\n", *head, b"\r\n", body]))
    protocol.refused = True
    if transport.can_write_eof():
        # Closed at once while more of the request comes, the connection is reset and its answer lost.
        transport.write_eof()
        protocol.loop.call_later(_LINGER_SECONDS, transport.close)
    else:
        transport.close()

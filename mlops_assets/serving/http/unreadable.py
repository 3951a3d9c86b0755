"""What the web server's parsers cannot read as a request: refused like all else, and told in the audit trail.

Put here what uvicorn would answer by itself, before there is a request. Keep out refusals of requests (``problems``).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mlops_assets.serving.http.audit import decision_of, log_decision
from mlops_assets.serving.http.headers import with_secure_headers
from mlops_assets.serving.http.problems import Problem, error_body

if TYPE_CHECKING:
    import asyncio


class EdgeProtocol(HttpToolsProtocol):
    """HTTP as an edge speaks it: one question at a time, whole with its body."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  the library's own signature
        """Refuse what is no request, and end the connection."""
        _refuse(self.transport)


class LoopbackProtocol(H11Protocol):
    """HTTP as anybody on this machine may speak it."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  the library's own signature
        """Refuse what is no request, unless an answer is under way, and end the connection."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            _refuse(self.transport)
        else:
            self.transport.close()


def _refuse(transport: asyncio.Transport) -> None:
    scope: Any = {"type": "http", "headers": [], "state": {}}
    status, decision = HTTPStatus.BAD_REQUEST, decision_of(scope)
    decision.reason = "unreadable"
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
    log_decision(scope, status.value)
    transport.write(b"".join([b"HTTP/1.1 400 Bad Request\r\n", *head, b"\r\n", body]))
    transport.close()

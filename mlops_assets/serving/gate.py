"""The gate: what surrounds every request, from its head to the end of its answer.

Put here what needs to know when a request begins and ends: its time limit, its figures, its trace. Keep out who may
pass (``access``).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from mlops_assets.serving.http.audit import decision_of
from mlops_assets.serving.http.edge_header import take_certificate
from mlops_assets.serving.http.headers import finish_response
from mlops_assets.serving.http.problems import Problem, error_body
from mlops_assets.serving.http.tracing import Tracer, trace_id_of

if TYPE_CHECKING:
    from litestar.types import ASGIApp, HTTPScope, Message, Receive, Send

    from mlops_assets.serving.exports.condition import Condition
    from mlops_assets.serving.http.metrics import ServiceMetrics
    from mlops_assets.serving.identity.access import AccessGuard

_CLOSE: Final = (b"connection", b"close")
_GONE: Final = 499
"""What is counted for a request whose client went away before its answer (nginx's number)."""


@dataclass
class Gate:
    """The application with its gate, itself an ASGI application.

    Attributes:
        app: the application.
        guard: it holds the places of the requests under way.
        condition: it says whether the service is about to end.
        metrics: figures of each request.
        request_seconds: within which a request must be answered.
        traces_url: where traces go; ``None`` for nowhere.
        edge_verifies: whether an edge in front verifies client certificates, and tells of them in a header.
    """

    app: ASGIApp
    guard: AccessGuard
    condition: Condition
    metrics: ServiceMetrics
    request_seconds: float
    traces_url: str | None = None
    edge_verifies: bool = False
    _tracer: Tracer | None = field(default=None, init=False)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401  of any kind of ASGI
        """Pass the request on, and close behind it."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] == "http":
            await self._pass(scope, receive, send)

    async def _live(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        self._tracer = None if self.traces_url is None else Tracer(self.traces_url)
        try:
            await self.app(scope, receive, send)
        finally:
            if self._tracer is not None:
                self._tracer.close()

    async def _pass(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        if self.edge_verifies:
            take_certificate(scope)
        decision = decision_of(scope)
        status = _GONE
        started = self.metrics.begin()
        span = None if self._tracer is None else self._tracer.begin(scope)
        if span is not None:
            decision.trace_id = trace_id_of(span)

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] != "http.response.start":
                await send(message)
                return
            if self.condition.draining or _has_two_lengths(scope):
                # The client's next request goes to another connection: to a service that stays, or because two readers
                # might not agree where this one ended (RFC 9112, 6.1).
                message["headers"] = [*message["headers"], _CLOSE]
            await send(message)
            # Not before: it has waited until the client took earlier answers, and may have ended meanwhile.
            status = message["status"]

        try:
            async with asyncio.timeout(self.request_seconds):
                await self.app(scope, receive, observed)
        except TimeoutError:
            decision.reason = "request_time"
            # Of an answer that its client does not take, the web server ends the connection.
            if status == _GONE:
                await self._give_up(scope, observed)
        finally:
            self.guard.release(decision)
            route, method = scope.get("path_template"), scope["method"]
            self.metrics.end(started, route=route, method=method, status=status, reason=decision.reason)
            if self._tracer is not None:
                self._tracer.end(span, route=route, method=method, status=status, request_id=decision.request_id)

    async def _give_up(self, scope: HTTPScope, send: Send) -> None:
        status = HTTPStatus.SERVICE_UNAVAILABLE
        problem = Problem(
            title=status.phrase,
            status=status.value,
            detail="The request took too long.",
            request_id=decision_of(scope).request_id,
        )
        body, media_type = error_body(scope["path"], problem)
        start: Message = {
            "type": "http.response.start",
            "status": status.value,
            "headers": [
                (b"content-type", media_type.encode()),
                (b"content-length", str(len(body)).encode()),
                (b"retry-after", b"5"),
                # Whatever the client is still sending is read no further.
                _CLOSE,
            ],
        }
        await finish_response(start, scope)
        await send(start)
        await send({"type": "http.response.body", "body": body, "more_body": False})


def _has_two_lengths(scope: HTTPScope) -> bool:
    names = [name for name, _ in scope["headers"]]
    return b"transfer-encoding" in names and b"content-length" in names

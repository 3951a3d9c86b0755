"""Connections: HTTP/1.1 as the web server speaks it, with limits on how slow, how long and how many clients may be.

Put here what holds for a connection before a request is whole and nobody knows yet who asks. Keep out limits of a
principal (``limits``) and everything about routes.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from mlops_assets.serving.http.audit import Decision, fresh_request_id, log_refusal
from mlops_assets.serving.http.headers import with_secure_headers
from mlops_assets.serving.http.problems import MEDIA_TYPE, problem_body
from mlops_assets.serving.http.tls import tls_extension
from mlops_assets.serving.http.whole_answers import WholeAnswers

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from mlops_assets.serving.config import ServiceConfig

_MAX_HEADERS: Final = 100
_LINGER_SECONDS: Final = 2.0
"""How long what a refused client still sends is read and dropped: closing at once would lose the answer on its way."""
_PART_BYTES: Final = 2048
"""How much is parsed before looking whether enough waits: about a hundred of the shortest requests, 250 kB parsed."""
_SPARE_FILES: Final = 128


@dataclass(frozen=True)
class _Refusal:
    """Why a connection's request is refused before it is whole."""

    reason: str
    status: HTTPStatus
    detail: str


_MALFORMED: Final = _Refusal("malformed_request", HTTPStatus.BAD_REQUEST, "The request is no valid HTTP/1.1.")
_LONG_HEAD: Final = _Refusal("long_head", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's head is too long.")
_LONG_BODY: Final = _Refusal("long_body", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too long.")
_SLOW_HEAD: Final = _Refusal("slow_head", HTTPStatus.REQUEST_TIMEOUT, "The request's head did not come in time.")
_SLOW_BODY: Final = _Refusal("slow_body", HTTPStatus.REQUEST_TIMEOUT, "The request's body did not come in time.")
_CROWDED: Final = _Refusal("crowded", HTTPStatus.SERVICE_UNAVAILABLE, "There are too many connections.")


class Crowd:
    """The connections of one worker. Beyond the limit the one that has waited longest for its client is cut.

    Those that are still in their handshake are bounded apart (``handshakes``): they can neither take the place of a
    client that got further nor use up the system's files.
    """

    def __init__(self, config: ServiceConfig, refused: Callable[[str, int], None]) -> None:
        """Make room for that many connections, as far as the system allows files.

        Args:
            config: the limits of every connection.
            refused: called with reason and status of each refusal.
        """
        self.config = config
        self.refused = refused
        self.limit = _room_for(config.connections)
        self._idle: dict[BoundedProtocol, None] = {}

    def wait(self, connection: BoundedProtocol) -> None:
        """The connection waits for its client from now on: for a request, or until an answer is taken."""
        self._idle.pop(connection, None)
        self._idle[connection] = None

    def leave(self, connection: BoundedProtocol) -> None:
        """The connection has a request to answer, or is gone."""
        self._idle.pop(connection, None)

    def make_room(self, newcomer: BoundedProtocol) -> bool:
        """Cut the connection that has waited longest; ``False`` when only the newcomer waits."""
        longest = next(iter(self._idle), newcomer)
        if longest is newcomer:
            return False
        self.leave(longest)
        # To close it in good order would take as long as its client likes, and more files with each newcomer.
        longest.transport.abort()
        return True


class _Intake(FlowControl):
    """The web server's flow control, which reads on at every answer and every look at a body.

    Here it does so only when all is parsed that came before.
    """

    def __init__(self, transport: asyncio.Transport, unread: bytearray) -> None:
        super().__init__(transport)
        self._unread = unread

    def resume_reading(self) -> None:
        """Read on, unless there is enough to do."""
        if not self._unread:
            super().resume_reading()


class BoundedProtocol(HttpToolsProtocol):
    """One connection.

    What may wait on it is bounded both ways. At most one part of what was read is parsed ahead of the request that is
    being answered; the rest stays bytes, and nothing more is read. No answer is begun while the client leaves earlier
    ones unread, and one that leaves them too long is cut.
    """

    def __init__(self, *, crowd: Crowd, **others: Any) -> None:  # noqa: ANN401  the web server's own arguments
        super().__init__(**others)
        self._crowd = crowd
        self._bounds = crowd.config
        self._own_app = self.app
        self._extensions: dict[str, Any] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._end: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._unread = bytearray()
        self._head_bytes = 0
        self._body_bytes = 0
        self._in_head = True
        self._whole = False
        """Whether the part that was parsed last has ended a request: its bytes are not all of the next one's head."""
        self._refusal: _Refusal | None = None
        self._refused = False
        self._no_room = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection, and give its first request a time."""
        super().connection_made(transport)
        self.flow = _Intake(transport, self._unread)
        if self.scheme == "https":
            # It would hold eight times as much as a plain connection.
            transport.set_write_buffer_limits(high=HIGH_WATER_LIMIT)
        # For whatever closes the connection too: what an answer has written must not be left behind.
        self.transport = self._answers = WholeAnswers(transport, self.loop, self._bounds.request_seconds)
        self._extensions = tls_extension(transport)
        self._crowd.wait(self)
        if len(self.connections) > self._crowd.limit:
            self._no_room = not self._crowd.make_room(self)
        self._await(_SLOW_HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._crowd.leave(self)
        for timer in (self._timer, self._end, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)
        self._answers.lost()

    def eof_received(self) -> None:
        """The client sends nothing more: close in time, whether or not it still reads."""
        self.transport.close()

    def pause_writing(self) -> None:
        """The client does not take its answers."""
        super().pause_writing()
        self._crowd.wait(self)
        self._stalled = self.loop.call_later(self._bounds.request_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client takes its answers again."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        if self._request is not None and not self._request.response_complete:
            self._crowd.leave(self)
        self._read_on()

    def data_received(self, data: bytes) -> None:
        """Read on, unless the client was refused already."""
        if self._refused or self.parser is None:
            return
        self._unread += data
        self._parse()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = self._body_bytes = 0
        if self._extensions:
            self.scope["extensions"] = self._extensions

    def on_url(self, url: bytes) -> None:
        """A part of the address has come."""
        super().on_url(url)
        self._demand_short_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header has come."""
        super().on_header(name, value)
        self._demand_short_head(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """The head is whole: the request begins to be answered, by a refusal if its body is going to be too long."""
        self._in_head = False
        self._head_bytes = 0
        self._settle()
        self._crowd.leave(self)
        length = b"0"
        for name, value in self.headers:
            if name == b"content-length":
                length = value
        refusal = _CROWDED if self._no_room else _LONG_BODY if int(length) > self._bounds.max_body_bytes else None
        self.app = self._own_app if refusal is None else self._refusing(refusal)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body has come."""
        self._body_bytes += len(body)
        if self._body_bytes > self._bounds.max_body_bytes and not self.cycle.response_started:
            self._stop(_LONG_BODY)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._settle()
        self._in_head = self._whole = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The request is answered."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self.cycle.response_complete:
            self._crowd.wait(self)
        self._read_on()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  the web server's text is replaced by our own
        """The request cannot be read on."""
        self._refuse(self._refusal or _MALFORMED)

    @property
    def _request(self) -> RequestResponseCycle | None:
        """The last request whose head was whole; the web server's own annotation forgets that there may be none."""
        return self.cycle

    def _read_on(self) -> None:
        """Go on with what was left unread."""
        if self._unread and not self.transport.is_closing():
            # It is not the client who is late.
            self._unset_keepalive_if_required()
            self._parse()
            self.flow.resume_reading()

    def _parse(self) -> None:
        """Parse what was read until a request waits behind another one, or the client does not take its answers."""
        while self._unread and not self.pipeline and not self.flow.write_paused:
            self._parse_part()
            if self._refused:
                self._unread.clear()
                return
        if self._unread:
            self._settle()
            self.flow.pause_reading()
        elif self._timer is None and not (self._whole and self._in_head):
            # Most requests are whole in one read, and need no timer.
            self._await(_SLOW_HEAD if self._in_head else _SLOW_BODY)

    def _parse_part(self) -> None:
        part = bytes(self._unread[:_PART_BYTES])
        del self._unread[:_PART_BYTES]
        self._whole = False
        before = self._head_bytes
        super().data_received(part)
        if self._in_head and not self._whole and not self._refused:
            # A header without end is told to nobody before it ends.
            self._head_bytes = before + len(part)
            if self._head_bytes > self._bounds.max_header_bytes:
                self._refuse(_LONG_HEAD)

    def _demand_short_head(self, more: int) -> None:
        self._head_bytes += more
        if self._head_bytes > self._bounds.max_header_bytes or len(self.headers) > _MAX_HEADERS:
            self._stop(_LONG_HEAD)

    def _stop(self, refusal: _Refusal) -> None:
        """Stop the parser in the middle of what has come; the web server then asks for ``send_400_response``."""
        self._refusal = refusal
        raise ValueError(refusal.detail)

    def _await(self, late: _Refusal) -> None:
        self._settle()
        seconds = self._bounds.header_seconds if late is _SLOW_HEAD else self._bounds.body_seconds
        self._timer = self.loop.call_later(seconds, self._late, late)

    def _settle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self, refusal: _Refusal) -> None:
        self._timer = None
        request = self._request
        if request is not None and request.response_complete and not self._head_bytes:
            # It was answered before its body came, or the client sent nothing but blank lines since.
            self.transport.close()
        elif request is None and not self._head_bytes:
            # Connected and silent: browsers do so ahead of need, and nothing was asked.
            self.transport.close()
        else:
            self._refuse(refusal)

    def _refuse(self, refusal: _Refusal) -> None:
        """Answer for the application, and close."""
        if self._refused:
            return
        self._refused = True
        self._settle()
        self._crowd.leave(self)
        request = self._request
        if request is not None and not request.response_complete:
            request.disconnected = True
            request.message_event.set()
            if request.response_started:
                self.transport.abort()
                return
        status, headers, body = self._answer(refusal)
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        self.transport.write(STATUS_LINE[status] + lines + b"connection: close\r\n\r\n" + body)
        self._end = self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    def _refusing(self, refusal: _Refusal) -> Any:  # noqa: ANN401  an ASGI application
        async def application(_scope: object, _receive: object, send: Any) -> None:  # noqa: ANN401
            # The connection stays, and what comes of the body is dropped.
            status, headers, body = self._answer(refusal)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        return application

    def _answer(self, refusal: _Refusal) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        decision = Decision(request_id=fresh_request_id(), reason=refusal.reason)
        body = problem_body(refusal.status, refusal.detail, decision.request_id)
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        if refusal is _CROWDED:
            headers += [(b"retry-after", b"1"), (b"connection", b"close")]
        log_refusal(decision, refusal.status)
        self._crowd.refused(refusal.reason, refusal.status)
        return refusal.status.value, with_secure_headers(headers, decision), body


def _room_for(connections: int) -> int:
    """As many connections as wanted, and as many in their handshake, or as the system's limit of open files allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections + _SPARE_FILES
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(connections, (soft - _SPARE_FILES) // 2))

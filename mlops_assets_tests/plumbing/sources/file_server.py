"""A real server of files on the loopback interface: validators, ranges and conditions as RFC 9110 has them, and faults.

Put here what the tests of files over HTTP need of a server. Keep out expectations.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mlops_assets_tests.plumbing.http_server import HttpServer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from http.server import BaseHTTPRequestHandler

OLD: Final = "Sat, 01 Jan 2022 00:00:00 GMT"
"""A time of change that is a strong validator."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the server was asked."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(kw_only=True)
class Manners:
    """How the server behaves.

    Attributes:
        etags: ``strong``, ``weak``, or none.
        modified: told as ``Last-Modified``.
        ranges: whether it heeds ``Range``.
        conditions: whether it heeds ``If-None-Match`` and ``If-Modified-Since``.
        chunked: whether bodies come in chunks, without a length.
        methods: those that it allows.
        headers: further ones.
        cuts: after how many bytes of the next bodies the connection ends.
        cut: what happens then.
        bytes_per_second: of a body.
        status: another status than 200, if any.
        secret: what ``Authorization`` has to be.
    """

    etags: str = "strong"
    modified: str | None = None
    ranges: bool = True
    conditions: bool = True
    chunked: bool = False
    methods: frozenset[str] = frozenset({"GET", "HEAD"})
    headers: dict[str, str] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    cut: Callable[[], object] = lambda: None
    bytes_per_second: float | None = None
    status: int | None = None
    secret: str | None = None


class FileServer(HttpServer):
    """Serves bytes by path.

    Attributes:
        files: the bodies.
        manners: how it behaves.
        asked: the questions, in order.
        sent: how many bytes of bodies were sent.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(self._asked, context)
        self.files: dict[str, bytes] = {}
        self.manners = Manners()
        self.asked: list[Question] = []
        self.sent = 0

    def _asked(self, handler: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.asked.append(Question(method=handler.command, path=handler.path, headers=headers))
        self.answer(handler, headers)

    def methods(self) -> list[str]:
        """The methods of the questions since they were last asked for."""
        found = [each.method for each in self.asked]
        self.asked.clear()
        return found

    def answer(self, handler: BaseHTTPRequestHandler, asked: Mapping[str, str]) -> None:
        body, manners = self.files.get(handler.path.partition("?")[0]), self.manners
        told = dict(manners.headers)
        if manners.etags:
            mark = hashlib.sha256(body or b"").hexdigest()[:16]
            told["ETag"] = f'"{mark}"' if manners.etags == "strong" else f'W/"{mark}"'
        if manners.modified is not None:
            told["Last-Modified"] = manners.modified
        if manners.secret is not None and asked.get("authorization") != manners.secret:
            self._sent(handler, 401, {}, b"who?")
        elif handler.command not in manners.methods:
            self._sent(handler, 405, {}, b"")
        elif manners.status is not None:
            self._sent(handler, manners.status, told, b"so it is")
        elif body is None:
            self._sent(handler, 404, {}, b"nothing here")
        elif self._stands(asked, told):
            self._sent(handler, 304, told, b"")
        else:
            self._found(handler, asked, told, body)

    def _stands(self, asked: Mapping[str, str], told: Mapping[str, str]) -> bool:
        known, since = asked.get("if-none-match"), asked.get("if-modified-since")
        if not self.manners.conditions:
            return False
        if known is not None:
            return known == told.get("ETag", "").removeprefix("W/")
        return since is not None and since == told.get("Last-Modified")

    def _found(
        self, handler: BaseHTTPRequestHandler, asked: Mapping[str, str], told: dict[str, str], body: bytes
    ) -> None:
        manners = self.manners
        wanted, unless = asked.get("range"), asked.get("if-range")
        if manners.ranges and wanted and (unless is None or unless in {told.get("ETag"), told.get("Last-Modified")}):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self._sent(handler, 416, {**told, "Content-Range": f"bytes */{len(body)}"}, b"")
                return
            told["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            self._sent(handler, 206, told, body[start:])
        else:
            self._sent(handler, 200, told, body)

    def _sent(self, handler: BaseHTTPRequestHandler, status: int, told: Mapping[str, str], body: bytes) -> None:
        manners, chunked = self.manners, self.manners.chunked and status == 200
        handler.send_response(status)
        for name, value in told.items():
            handler.send_header(name, value)
        if chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        elif status != 304:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command == "HEAD":
            return
        cut = manners.cuts.pop(0) if manners.cuts and body and status < 300 else len(body)
        step = 65_536 if manners.bytes_per_second is None else max(1, int(manners.bytes_per_second / 20))
        try:
            for start in range(0, cut, step):
                part = body[start : min(start + step, cut)]
                handler.wfile.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
                self.sent += len(part)
                if manners.bytes_per_second is not None:
                    time.sleep(len(part) / manners.bytes_per_second)
            if chunked and cut == len(body):
                handler.wfile.write(b"0\r\n\r\n")
        except OSError:
            handler.close_connection = True
        if cut < len(body):
            manners.cut()
            handler.close_connection = True

"""Real servers of REST answers on the loopback interface: one whose replies a test writes, one that sends raw bytes.

Put here what the tests of REST sources need of a server. Keep out expectations.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl, urlsplit

from mlops_assets_tests.plumbing.http_server import HttpServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path
    from types import TracebackType


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question that the server got."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    form: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Said:
    """What it answers."""

    value: object = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    @property
    def body(self) -> bytes:
        return self.value if isinstance(self.value, bytes) else json.dumps(self.value).encode()


class ApiServer(HttpServer):
    """An HTTP or HTTPS server whose answers a function gives.

    Attributes:
        asked: the questions, in order.
    """

    def __init__(self, answer: Callable[[Asked], Said], context: ssl.SSLContext | None = None) -> None:
        super().__init__(self._written, context)
        self.asked: list[Asked] = []
        self._answer = answer

    def _written(self, handler: BaseHTTPRequestHandler) -> None:
        split = urlsplit(handler.path)
        form = handler.rfile.read(int(handler.headers.get("Content-Length", 0))).decode()
        asked = Asked(
            method=handler.command,
            path=split.path,
            query=dict(parse_qsl(split.query)),
            headers={name.lower(): value for name, value in handler.headers.items()},
            form=dict(parse_qsl(form)),
        )
        self.asked.append(asked)
        said = self._answer(asked)
        handler.send_response(said.status)
        handler.send_header("Content-Type", said.content_type)
        handler.send_header("Content-Length", str(len(said.body)))
        for name, value in said.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(said.body)


def server_context(certificate: Path, key: Path, clients: Path | None = None) -> ssl.SSLContext:
    """TLS of a server, which asks for certificates of that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if clients:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@dataclass(frozen=True, kw_only=True)
class Bytes:
    """What a connection gets.

    Attributes:
        pause: seconds between the parts.
        reset: end by a reset instead of in order.
        stay: seconds for which the connection stays open afterwards.
    """

    parts: Sequence[bytes]
    pause: float = 0.0
    reset: bool = False
    stay: float = 0.0


class RawServer:
    """Sends bytes as they are: the first connection gets the first answer, the last answer is for all further ones.

    Attributes:
        connections: how many there were.
        asked: the questions, in order.
    """

    def __init__(self, *answers: Bytes) -> None:
        self.connections = 0
        self.asked: list[str] = []
        self._answers = list(answers)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            threading.Thread(target=self._answered, args=(connection, answer), daemon=True).start()

    def _answered(self, connection: socket.socket, answer: Bytes) -> None:
        with connection:
            try:
                self.asked.append(connection.recv(65_536).decode("latin-1"))
                for part in answer.parts:
                    connection.sendall(part)
                    if self._ended.wait(answer.pause):
                        return
                self._ended.wait(answer.stay)
                if answer.reset:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    time.sleep(0.05)
            except OSError:
                return


def head(*lines: str, status: str = "200 OK") -> bytes:
    """The head of an answer in JSON."""
    return "\r\n".join([f"HTTP/1.1 {status}", "Content-Type: application/json", *lines, "", ""]).encode()

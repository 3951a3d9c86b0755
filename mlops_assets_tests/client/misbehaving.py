"""A server that misbehaves on purpose.

Put here what a client may meet beside the service. Keep out what is expected of the client.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""
GOOD: Answer = (200, {}, b"{}")
BUSY: Answer = (503, {"Retry-After": "0"}, b"<html>busy</html>")


@dataclass(frozen=True)
class Asked:
    """A request that came, when, and with which headers by their names in lower case."""

    time: float
    path: str
    headers: dict[str, str]
    body: bytes


class Misbehaving:
    """Gives the prepared answers in their order, and keeps what it was asked; ``None`` is a connection that is cut."""

    def __init__(self, *prepared: Answer | None) -> None:
        self.asked: list[Asked] = []
        left, asked = list(prepared), self.asked

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked.append(Asked(time.monotonic(), self.path, headers, body))
                answer = left.pop(0)
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, content = answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
                # One that promises more than it sends is cut.
                self.close_connection = "Content-Length" in headers

            do_GET = do_POST = _answer  # noqa: N815  the server's names

            def log_message(self, *_: Any) -> None:  # noqa: ANN401
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

"""The shop: a REST service of simulated orders, which asks for a token and answers page by page.

``territories-shop FOLDER`` serves what ``territories-sources FOLDER`` wrote, at 127.0.0.1:8300 until it is interrupted.
"""

from __future__ import annotations

import argparse
import hmac
import json
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

PORT: Final = 8300
_PAGE: Final = 1000


class _Shop(ThreadingHTTPServer):
    """Answers from the folder."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Answer)
        self.orders: dict[str, list[dict[str, Any]]] = json.loads((folder / "orders.json").read_text(encoding="utf-8"))
        self.token = (folder / "orders_token").read_text(encoding="utf-8").strip()


class _Answer(BaseHTTPRequestHandler):
    server: _Shop

    def do_GET(self) -> None:
        """``/orders?month=2024-01&page=1``: a thousand orders, and how many there are."""
        if not hmac.compare_digest(self.headers.get("Authorization", ""), f"Bearer {self.server.token}"):
            self._answer(401, {"error": "a token is needed"})
            return
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        orders = self.server.orders.get(asked.get("month", ""), [])
        start = (int(asked.get("page", "1")) - 1) * _PAGE
        self._answer(200, {"items": orders[start : start + _PAGE], "total": len(orders)})

    def _answer(self, status: int, said: dict[str, Any]) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def shop(folder: Path, port: int = PORT) -> ThreadingHTTPServer:
    """The service; ``serve_forever`` starts it, and port 0 chooses a free one."""
    return _Shop(folder, port)


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="territories-shop", description="Serve the simulated orders.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("sources"), help="of territories-sources")
    parser.add_argument("--port", type=int, default=PORT, help=f"on loopback (default: {PORT})")
    arguments = parser.parse_args()
    with shop(arguments.folder, arguments.port) as serving:
        print(f"Orders at http://127.0.0.1:{serving.server_port}/orders")  # noqa: T201  a command's answer
        with suppress(KeyboardInterrupt):
            serving.serve_forever()


if __name__ == "__main__":
    main()

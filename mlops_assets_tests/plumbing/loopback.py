"""A real HTTP server on the loopback interface whose answers a test scripts, faults included.

Put here what several connector tests need of a server. Keep out expectations.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from mlops_assets_tests.plumbing.http_server import HttpServer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer.

    Attributes:
        hang_up: close the connection before answering.
        send_only: announce the whole body, send so many bytes of it, then close.
        etag: sent as ``ETag``; an ``If-None-Match`` of the same value is answered 304.
        pause: seconds between each tenth of the body.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "application/octet-stream"
    headers: Mapping[str, str] = field(default_factory=dict)
    hang_up: bool = False
    send_only: int | None = None
    etag: str | None = None
    pause: float = 0.0


def json_reply(value: object) -> Reply:
    return Reply(body=json.dumps(value).encode(), content_type="application/json")


def page_reply(title: str, *, status: int = 200) -> Reply:
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body>{title}</body></html>"
    return Reply(status=status, body=page.encode(), content_type="text/html; charset=utf-8")


class LoopbackServer(HttpServer):
    """Serves scripted replies and folders; remembers what it was asked.

    Attributes:
        asked: path and query of every request, in order.
    """

    def __init__(self) -> None:
        super().__init__(self._asked)
        self.asked: list[str] = []
        self.conditions: list[str | None] = []
        self._scripts: dict[str, list[Reply]] = {}
        self._folders: dict[str, Path] = {}

    def _asked(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(handler.path)
        self.conditions.append(handler.headers.get("If-None-Match"))
        self.answer(handler)

    def serve(self, path: str, *replies: Reply) -> str:
        """Answer that path with these replies in turn, the last one for ever; the path's address."""
        self._scripts[path] = list(replies)
        return self.url + path

    def serve_folder(self, path: str, folder: Path) -> None:
        """Answer paths below with the folder's files, and a path ending in a slash with their names."""
        self._folders[path] = folder

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(handler.path).path)
        reply = self._scripted(path) or self._from_folder(path)
        # One question for each connection, as the oldest servers do.
        handler.close_connection = True
        if reply.hang_up:
            return
        if reply.etag is not None and handler.headers.get("If-None-Match") == reply.etag:
            reply = Reply(status=304, etag=reply.etag)
        handler.send_response(reply.status)
        handler.send_header("Content-Type", reply.content_type)
        handler.send_header("Content-Length", str(len(reply.body)))
        handler.send_header("Connection", "close")
        if reply.etag is not None:
            handler.send_header("ETag", reply.etag)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        body = reply.body if reply.send_only is None else reply.body[: reply.send_only]
        if not reply.pause:
            handler.wfile.write(body)
            return
        step = max(1, len(body) // 10)
        for start in range(0, len(body), step):
            try:
                handler.wfile.write(body[start : start + step])
            except OSError:
                return
            time.sleep(reply.pause)

    def _scripted(self, path: str) -> Reply | None:
        script = self._scripts.get(path, [])
        return script.pop(0) if len(script) > 1 else next(iter(script), None)

    def _from_folder(self, path: str) -> Reply:
        for prefix, folder in self._folders.items():
            found = folder / path.removeprefix(prefix).strip("/")
            if path.startswith(prefix) and path.endswith("/") and found.is_dir():
                return json_reply(sorted(entry.name for entry in found.iterdir()))
            if path.startswith(prefix) and found.is_file():
                body = found.read_bytes()
                return Reply(body=body, etag=f'"{hashlib.sha256(body).hexdigest()}"')
        return page_reply("Not Found", status=404)

"""HTTP servers of the simulated sources, on 127.0.0.1, with faults on order.

Put here sockets, conditional requests and faults. Keep out what a source says (that is the API's and the files').
"""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, BinaryIO, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

from mlops_assets.simulation.census_api import Answer, CensusApi, page

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from io import BufferedIOBase
    from pathlib import Path
    from types import TracebackType

HOST: Final = "127.0.0.1"
HOUSE_RETURNS_PATH: Final = "/house-returns/1976-2022-house.csv"
_TYPES: Final = {".csv": "text/csv", ".json": "application/json", ".zip": "application/zip", ".txt": "text/plain"}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong with one request; requests take faults from a queue, the first request the first fault.

    Attributes:
        answer: what is sent instead of the right answer; ``None`` sends the right one.
        cut: whether the connection breaks after half of the body, with the whole body's length announced.
    """

    answer: Answer | None = None
    cut: bool = False

    @classmethod
    def too_many_requests(cls, retry_after: int = 0) -> Self:
        """Status 429 with ``Retry-After`` in seconds."""
        headers = {"Retry-After": str(retry_after), "Content-Type": "text/plain"}
        return cls(answer=Answer(HTTPStatus.TOO_MANY_REQUESTS, b"slow down", headers))

    @classmethod
    def server_error(cls, status: HTTPStatus = HTTPStatus.INTERNAL_SERVER_ERROR) -> Self:
        """Status 500, or another one of that kind."""
        return cls(answer=Answer(status, b"something went wrong", {"Content-Type": "text/plain"}))

    @classmethod
    def html_page(cls) -> Self:
        """Status 200 with an HTML page, as proxies and portals send it."""
        return cls(answer=page("Sign in", "Please sign in to use this network."))

    @classmethod
    def half_body(cls) -> Self:
        """The right answer, of which only half arrives."""
        return cls(cut=True)


@dataclass(frozen=True)
class File:
    """A file as an answer, with entity tag and date.

    Attributes:
        path: the file.
    """

    path: Path


class Server(ABC):
    """A server that runs in a thread while its ``with`` block runs.

    Attributes:
        url: address without a slash at the end; set inside the ``with`` block.
        requests: paths with queries, as they were asked for.
    """

    url: str

    def __init__(self, *, port: int = 0, faults: Iterable[Fault] = ()) -> None:
        """Prepare a server; ``port`` 0 takes any free one, ``faults`` are for the first requests."""
        self._port = port
        self._faults = deque(faults)
        self.requests: list[str] = []

    @abstractmethod
    def respond(self, path: str, query: Mapping[str, Sequence[str]]) -> Answer | File:
        """The right answer to a GET request."""

    def inject(self, *faults: Fault) -> None:
        """Let the next requests meet these faults, after those still queued."""
        self._faults.extend(faults)

    def next_fault(self) -> Fault:
        """The fault that the present request meets; taken from the queue."""
        try:
            return self._faults.popleft()
        except IndexError:
            return Fault()

    def __enter__(self) -> Self:
        self._listener = _Listener((HOST, self._port), self)
        self.url = f"http://{HOST}:{self._listener.server_address[1]}"
        self._thread = threading.Thread(
            target=self._listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()


class SourceServer(Server):
    """The census profiles under ``/data`` and the House returns under ``HOUSE_RETURNS_PATH``."""

    def __init__(self, *, profiles: Path, returns: Path, key: str, port: int = 0, faults: Iterable[Fault] = ()) -> None:
        """Serve a folder of profiles to holders of the key, and a CSV file of returns to everybody."""
        super().__init__(port=port, faults=faults)
        self._census = CensusApi(profiles, key)
        self._returns = returns

    @property
    def profiles_url(self) -> str:
        """Base address of the profiles, which a year follows."""
        return f"{self.url}/data"

    @property
    def house_returns_url(self) -> str:
        """Address of the returns."""
        return f"{self.url}{HOUSE_RETURNS_PATH}"

    def respond(self, path: str, query: Mapping[str, Sequence[str]]) -> Answer | File:
        """The census API's answer, or the returns."""
        return File(self._returns) if path == HOUSE_RETURNS_PATH else self._census.answer(path, query)


class FolderServer(Server):
    """The files of a folder; an address that ends in a slash gives a JSON array of the names there.

    Folders end in a slash in that array. Nothing outside the folder is reachable, not through links either.
    """

    def __init__(self, folder: Path, *, port: int = 0, faults: Iterable[Fault] = ()) -> None:
        """Serve that folder."""
        super().__init__(port=port, faults=faults)
        self._folder = folder.resolve()

    def respond(self, path: str, query: Mapping[str, Sequence[str]]) -> Answer | File:
        """The file or the names; the query is ignored."""
        del query
        target = (self._folder / path.lstrip("/")).resolve()
        if target.is_relative_to(self._folder):
            if path.endswith("/") and target.is_dir():
                names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in target.iterdir())
                return Answer(HTTPStatus.OK, json.dumps(names).encode(), {"Content-Type": "application/json"})
            if not path.endswith("/") and target.is_file():
                return File(target)
        return Answer(HTTPStatus.NOT_FOUND, b"not found", {"Content-Type": "text/plain"})


class _Listener(ThreadingHTTPServer):
    """A listening socket that knows whose answers to give."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], source: Server) -> None:
        super().__init__(address, _Handler)
        self.source = source


class _Handler(BaseHTTPRequestHandler):
    """Turns requests into calls of a server's ``respond``, and its answers into bytes."""

    protocol_version = "HTTP/1.1"
    server: _Listener

    def do_GET(self) -> None:
        """Answer with a body."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer with headers only."""
        self._answer(with_body=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own signature
        """Keep quiet: tests and the demo read ``Server.requests``."""

    def _answer(self, *, with_body: bool) -> None:
        source = self.server.source
        source.requests.append(self.path)
        address = urlsplit(self.path)
        fault = source.next_fault()
        answer = fault.answer or source.respond(unquote(address.path), parse_qs(address.query))
        try:
            if isinstance(answer, File):
                self._send_file(answer.path, cut=fault.cut, with_body=with_body)
            else:
                self._send(answer, cut=fault.cut, with_body=with_body)
        except ConnectionError:
            # The client went away; nobody is left to tell.
            self.close_connection = True

    def _send(self, answer: Answer, *, cut: bool, with_body: bool) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if with_body:
            self.wfile.write(answer.body[: len(answer.body) // 2] if cut else answer.body)
        self.close_connection = self.close_connection or cut

    def _send_file(self, path: Path, *, cut: bool, with_body: bool) -> None:
        with path.open("rb") as file:
            facts = path.stat()
            tag = f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'
            date = formatdate(facts.st_mtime, usegmt=True)
            unchanged = self._has(tag, date)
            self.send_response(HTTPStatus.NOT_MODIFIED if unchanged else HTTPStatus.OK)
            self.send_header("ETag", tag)
            self.send_header("Last-Modified", date)
            if not unchanged:
                self.send_header("Content-Type", _TYPES.get(path.suffix, "application/octet-stream"))
                self.send_header("Content-Length", str(facts.st_size))
            self.end_headers()
            if with_body and not unchanged:
                _copy(file, self.wfile, facts.st_size // 2 if cut else facts.st_size)
        self.close_connection = self.close_connection or cut

    def _has(self, tag: str, date: str) -> bool:
        """Whether the client has this version already (RFC 9110, 13.1: a tag goes before a date)."""
        tags = self.headers.get("If-None-Match")
        if tags is not None:
            known = {each.strip().removeprefix("W/") for each in tags.split(",")}
            return tag in known or "*" in known
        return bool(self.headers.get("If-Modified-Since") == date)


def _copy(source: BinaryIO, target: BufferedIOBase, count: int, chunk: int = 1 << 20) -> None:
    while count and (data := source.read(min(chunk, count))):
        target.write(data)
        count -= len(data)

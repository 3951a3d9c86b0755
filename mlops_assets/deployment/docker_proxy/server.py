"""The proxy's server: a Unix socket for each role of clients, the engine's behind them, one request per connection.

Put here bytes on sockets. Keep out what passes (that is in ``requests`` and ``policy``).

A request is parsed whole, judged, and written anew for the engine: nothing that a client sends reaches the engine as it
is, so two readings of one text cannot differ.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httptools

from mlops_assets.deployment.docker_proxy.policy import RefusedError
from mlops_assets.deployment.docker_proxy.requests import Request, allowed
from mlops_assets.platform.errors import PlatformError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlops_assets.deployment.docker_proxy.policy import Policy, Role

_LOG: Final = logging.getLogger(__name__)
_BLOCK: Final = 2**16
_MOST_BYTES: Final = 2**20
_REQUEST_SECONDS: Final = 10.0
_MOST_CONNECTIONS: Final = 64
_ENGINE_SECONDS: Final = 30.0
_LONGEST_SECONDS: Final = 3600.0
"""How long a client may wait for a container in one request."""
_OK, _NOT_FOUND = 200, 404
_REASONS: Final = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    502: "Bad Gateway",
    503: "Service Unavailable",
}


class _AbsentError(Exception):
    """What was asked for is not there; the client is told as the engine tells it."""


class EngineError(PlatformError):
    """The engine, or the proxy's own socket, cannot be used."""


@dataclass
class _Message:
    """A request or a response as it arrives; the parser calls back."""

    url: bytes = b""
    body: bytearray = field(default_factory=bytearray)
    content_type: str = ""
    complete: bool = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-type":
            self.content_type = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


class DockerProxy:
    """A Unix socket that takes the engine's requests and passes on what a policy allows to clients of one role."""

    def __init__(self, policy: Policy, role: Role, *, listen: Path, engine: Path) -> None:
        """Remember policy, role, own socket and the engine's socket; nothing is opened."""
        self._policy = policy
        self._role = role
        self._listen = listen
        self._engine = engine
        self._slots = asyncio.Semaphore(_MOST_CONNECTIONS)

    async def start(self) -> asyncio.Server:
        """Listen; the socket is for the account of this process alone.

        Raises:
            EngineError: the socket cannot be made.
        """
        before = os.umask(0o177)
        try:
            # What an earlier process left there belongs to nobody any more.
            self._listen.unlink(missing_ok=True)
            return await asyncio.start_unix_server(self._serve, path=str(self._listen), limit=_BLOCK)
        except OSError as error:
            raise EngineError(
                source=f"Socket {self._listen}",
                culprit=f"it cannot be made ({error.strerror}).",
                remedy="Does its folder exist, and may this account write there?",
            ) from error
        finally:
            os.umask(before)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._slots.locked():
                await _refuse(writer, 503, "Too many requests are under way.")
                return
            async with self._slots:
                await self._answer(reader, writer)
        except (ConnectionError, TimeoutError):
            # The client is gone, or never finished asking.
            _LOG.debug("connection lost")
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = _peer(writer)
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                request = await _read(reader)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, ValueError) as error:
            _LOG.warning("refused unreadable request from %s: %s", peer, error)
            await _refuse(writer, 400, "The request cannot be read.")
            return
        shown = f"{request.method} {request.target[:200]!r} to {self._role} from {peer}"
        try:
            passed = await allowed(request, self._role, self._policy, self._inspect)
        except RefusedError as refused:
            _LOG.warning("refused %s: %s", shown, refused)
            await _refuse(writer, 403, f"Refused by the deployment's policy: {refused}")
        except _AbsentError:
            _LOG.info("nothing there: %s", shown)
            await _refuse(writer, 404, "No such container or network.")
        except (OSError, TimeoutError) as error:
            _LOG.warning("engine unreachable for %s: %s", shown, error)
            await _refuse(writer, 503, "The Docker engine does not answer.")
        except (ValueError, httptools.HttpParserError) as error:
            _LOG.warning("engine's answer cannot be read for %s: %s", shown, error)
            await _refuse(writer, 502, "The Docker engine's answer cannot be read.")
        else:
            _LOG.info("allowed %s", shown)
            await self._forward(passed, reader, writer)

    async def _forward(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            engine_reader, engine_writer = await asyncio.open_unix_connection(str(self._engine))
        except OSError:
            await _refuse(writer, 503, "The Docker engine does not answer.")
            return
        try:
            engine_writer.write(_written(request))
            await engine_writer.drain()
            # A client that goes away while it waits for a container must not keep the engine's connection.
            answer = asyncio.create_task(_pipe(engine_reader, writer))
            gone = asyncio.create_task(_until_closed(reader))
            await asyncio.wait({answer, gone}, timeout=_LONGEST_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            if not answer.done():
                answer.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError, TimeoutError):
                await answer
        finally:
            engine_writer.close()

    async def _inspect(self, path: str) -> Mapping[str, Any]:
        """The engine's JSON at a path."""
        async with asyncio.timeout(_ENGINE_SECONDS):
            reader, writer = await asyncio.open_unix_connection(str(self._engine))
            try:
                writer.write(_written(Request("GET", path)))
                await writer.drain()
                message = _Message()
                parser = httptools.HttpResponseParser(message)
                while not message.complete and (block := await reader.read(_BLOCK)):
                    parser.feed_data(block)
            finally:
                writer.close()
        status = parser.get_status_code()
        if status == _NOT_FOUND:
            raise _AbsentError
        found = json.loads(message.body)
        if status != _OK or not isinstance(found, dict):
            raise ValueError(f"status {status}")
        return found


async def _read(reader: asyncio.StreamReader) -> Request:
    message = _Message()
    parser = httptools.HttpRequestParser(message)
    size = 0
    while not message.complete:
        block = await reader.read(_BLOCK)
        size += len(block)
        if not block or size > _MOST_BYTES:
            raise ValueError("too long" if block else "cut off")
        parser.feed_data(block)
    return Request(
        method=parser.get_method().decode("ascii"),
        target=message.url.decode("ascii"),
        body=bytes(message.body),
        content_type=message.content_type,
    )


def _written(request: Request) -> bytes:
    head = [f"{request.method} {request.target} HTTP/1.1", "Host: docker", "Connection: close"]
    if request.method == "POST":
        head.append(f"Content-Length: {len(request.body)}")
        if request.body:
            head.append("Content-Type: application/json")
    return "\r\n".join([*head, "", ""]).encode("ascii") + request.body


async def _until_closed(reader: asyncio.StreamReader) -> None:
    while await reader.read(_BLOCK):
        # More than one request on a connection is not answered.
        pass


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while block := await reader.read(_BLOCK):
        writer.write(block)
        # A client that does not read must not hold its slot for ever.
        async with asyncio.timeout(_REQUEST_SECONDS):
            await writer.drain()


async def _refuse(writer: asyncio.StreamWriter, status: int, text: str) -> None:
    # The engine's own form of an error, which its clients show.
    body = json.dumps({"message": text}).encode()
    writer.write(
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode("ascii")
        + body
    )
    await writer.drain()


def _peer(writer: asyncio.StreamWriter) -> str:
    own: socket.socket = writer.get_extra_info("socket")
    if not hasattr(socket, "SO_PEERCRED"):
        return "an unknown process"
    process, user, _ = struct.unpack("3i", own.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return f"process {process} of user {user}"


def serve(policy: Policy, *, listen: Mapping[Role, Path], engine: Path) -> None:
    """Serve until the process is told to end.

    Args:
        policy: what may be asked.
        listen: the socket to make for the clients of each role.
        engine: the engine's own socket.

    Raises:
        EngineError: a socket cannot be made.
    """

    async def run() -> None:
        async with contextlib.AsyncExitStack() as servers:
            for role, own in listen.items():
                await servers.enter_async_context(await DockerProxy(policy, role, listen=own, engine=engine).start())
                _LOG.info("listening on %s for clients that %s", own, role)
            await asyncio.Event().wait()

    asyncio.run(run())

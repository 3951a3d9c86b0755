"""Servers under load: processes with their start and memory, wrk, and requests at a fixed rate.

Put here how a server is measured, the same for every one. Keep out which servers there are (``serve_programs``) and
what is compared (``serve``).
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import uvloop

from mlops_assets.demo.waiting import wait_for_process

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTIONS_OF_RATE = 8
WARM_UP_SECONDS = 1.0
_END_SECONDS = 15.0
_LAST_ANSWERS_SECONDS = 10.0
_MAKES_WORK = """
local requests, n = {}, 0
function init(args)
  for line in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("POST", wrk.path, wrk.headers, line)
  end
end
function request()
  n = n + 1
  return requests[n % #requests + 1]
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\n{"requests": %d, "micros": %d, "p50": %d, "p99": %d, "failed": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.timeout + e.status))
end
"""


class LoadError(Exception):
    """A server did not answer as it should."""


@dataclass
class Program:
    """A server in a process group of its own, and a question that it answers.

    Attributes:
        name: what the table calls it.
        command: its command line.
        port: where it listens on loopback.
        path: address of the question.
        bodies: bodies of the question, sent in turn; JSON without line breaks.
        headers: what is sent with them.
        environment: variables beside this process's own.
        folder: where it runs and writes its log.
        authority: certificate authority of a server that speaks TLS; ``None`` for plain HTTP.
        edge: command of the nginx in front of it, which is started with it; ``None`` where it is asked itself.
        value: finds the number in an answer that every server must give to the first question.
    """

    name: str
    command: list[str]
    port: int
    path: str
    bodies: list[str]
    folder: Path
    value: Callable[[Any], float]
    headers: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    authority: Path | None = None
    edge: list[str] | None = None
    start_seconds: float = field(default=0.0, init=False)
    first_value: float = field(default=0.0, init=False)
    """The number in its answer to the first question."""
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    nginx: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        begun = time.perf_counter()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env={**os.environ, "ORT_DISABLE_TELEMETRY": "1", **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            if self.edge is not None:
                self.nginx = subprocess.Popen(self.edge, stdout=log, stderr=subprocess.STDOUT)
        with contextlib.ExitStack() as ended_if_it_fails:
            ended_if_it_fails.push(self)
            wait_for_process(
                self._answers,
                self.process,
                name=self.name,
                log=self.log,
                telling=lambda line: '"access"' not in line and self.path not in line,
                pause=0.01,
            )
            ended_if_it_fails.pop_all()
        self.start_seconds = time.perf_counter() - begun
        return self

    def __exit__(self, *_: object) -> None:
        if self.nginx is not None:
            self.nginx.terminate()
            self.nginx.wait()
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    @property
    def log(self) -> Path:
        """The file of what it prints."""
        return self.folder / "server.log"

    @property
    def context(self) -> ssl.SSLContext | None:
        """What verifies its certificate; ``None`` for plain HTTP."""
        return None if self.authority is None else ssl.create_default_context(cafile=str(self.authority))

    def pss_mib(self) -> float:
        """Memory of it, its children and its edge, MiB; pages shared by several processes count once (PSS)."""
        return sum(_pss_kib(each) for each in self._processes) / 1024

    def cpu_seconds(self) -> float:
        """Processor time that it, its children and its edge have used."""
        return sum(_ticks(each) for each in self._processes) / os.sysconf("SC_CLK_TCK")

    def _answers(self) -> bool:
        kind, others = http.client.HTTPConnection, {}
        if (context := self.context) is not None:
            kind, others = http.client.HTTPSConnection, {"context": context}
        connection = kind("127.0.0.1", self.port, timeout=60, **others)
        try:
            connection.request("POST", self.path, self.bodies[0], {"Content-Type": "application/json", **self.headers})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        if answer.status == http.HTTPStatus.OK:
            self.first_value = self.value(json.loads(text))
            return True
        if answer.status in (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.SERVICE_UNAVAILABLE):
            return False
        raise LoadError(f"{self.name} answers {answer.status}: {text[:500]!r}")

    @property
    def _processes(self) -> list[int]:
        if self.process is None:
            raise LoadError(f"{self.name} was not started.")
        edge = [] if self.nginx is None else _tree(self.nginx.pid)
        return [*_tree(self.process.pid), *edge]


def saturation(program: Program, *, connections: int, seconds: float) -> dict[str, float]:
    """As many requests as the server answers, by wrk on one thread.

    Returns:
        ``per_second``, ``p50_ms`` and ``p99_ms`` of the answers, ``cpu_us``: the server's processor time for each, and
        ``failed``: answers of another status than 2xx and 3xx, or that did not come.
    """
    before = program.cpu_seconds()
    with wrk(program, connections=connections, seconds=seconds) as running:
        told, _ = running.communicate()
    found = figures_of(told.decode())
    return {**found, "cpu_us": (program.cpu_seconds() - before) / max(found["requests"], 1) * 1e6}


def wrk(program: Program, *, connections: int, seconds: float) -> subprocess.Popen[bytes]:
    """Start wrk against the server."""
    script, bodies = program.folder / "load.lua", program.folder / "bodies.txt"
    script.write_text(_MAKES_WORK, encoding="utf-8")
    bodies.write_text("\n".join(program.bodies), encoding="utf-8")
    scheme = "http" if program.authority is None else "https"
    headers = {"Content-Type": "application/json", **program.headers}
    options = ["-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s", "-s", str(script)]
    options += [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    address = f"{scheme}://127.0.0.1:{program.port}{program.path}"
    return subprocess.Popen(["wrk", *options, address, "--", str(bodies)], stdout=subprocess.PIPE)


def figures_of(told: str) -> dict[str, float]:
    """The figures that wrk has printed."""
    found = json.loads(told.strip().splitlines()[-1])
    return {
        "per_second": found["requests"] / found["micros"] * 1e6,
        "p50_ms": found["p50"] / 1e3,
        "p99_ms": found["p99"] / 1e3,
        "requests": found["requests"],
        "failed": found["failed"],
    }


def at_rate(program: Program, *, rate: float, seconds: float) -> dict[str, float]:
    """Times of answers at a fixed rate, after a second of warming up, on a few connections that stay open.

    A request that finds no connection free waits, and its waiting counts: a server that stands still is not asked less.
    What the sender itself is late (the system's timers, its turn on a busy machine) does not count.

    Returns:
        ``p50_ms``, ``p99_ms`` of the answers; ``failed``: those that were not 200, or none within ten seconds.
    """
    return uvloop.run(_Sender(program, rate).send(seconds))


@dataclass
class _Sender:
    program: Program
    rate: float
    idle: deque[_Connection] = field(default_factory=deque)
    waiting: deque[float] = field(default_factory=deque)
    """When each request came that found no connection free."""
    times: list[tuple[float, float]] = field(default_factory=list)
    """Start and end of each good answer."""
    sent: int = 0
    answers: int = 0
    more: asyncio.Event = field(default_factory=asyncio.Event)
    opening: list[asyncio.Future[None]] = field(default_factory=list)
    over: bool = False

    async def send(self, seconds: float) -> dict[str, float]:
        for _ in range(CONNECTIONS_OF_RATE):
            await self.connect()
        begun, wanted = time.perf_counter(), round((seconds + WARM_UP_SECONDS) * self.rate)
        for number in range(wanted):
            ahead = begun + number / self.rate - time.perf_counter()
            if ahead > 0:
                await asyncio.sleep(ahead)
            self.waiting.append(time.perf_counter())
            self.dispatch()
        deadline = time.perf_counter() + _LAST_ANSWERS_SECONDS
        while self.answers < wanted and (left := deadline - time.perf_counter()) > 0:
            self.more.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.more.wait(), left)
        self.over = True
        for connection in self.idle:
            connection.close()
        counted = [ended - started for started, ended in self.times if started - begun >= WARM_UP_SECONDS]
        if not counted:
            raise LoadError(f"{self.program.name} answered nothing.")
        p50, p99 = np.percentile(np.array(counted) * 1e3, [50, 99])
        return {"p50_ms": float(p50), "p99_ms": float(p99), "failed": wanted - len(self.times)}

    async def connect(self) -> None:
        """Open a connection, and use it."""
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(self), "127.0.0.1", self.program.port, ssl=self.program.context
        )
        self.idle.append(connection)
        self.dispatch()

    def dispatch(self) -> None:
        """Send what waits on the connections that are free."""
        while self.waiting and self.idle:
            body = self.program.bodies[self.sent % len(self.program.bodies)]
            self.sent += 1
            # Each in its turn: servers close connections that are silent for some seconds.
            self.idle.popleft().ask(self.waiting.popleft(), body)

    def answered(self, connection: _Connection, started: float, *, whole: bool) -> None:
        """A connection has its answer."""
        self.answers += 1
        if whole:
            self.times.append((started, time.perf_counter()))
        self.idle.append(connection)
        self.more.set()
        self.dispatch()

    def lost(self, connection: _Connection) -> None:
        """The server has closed a connection: another is opened, and what was asked on it stays without answer."""
        if connection in self.idle:
            self.idle.remove(connection)
        if not self.over:
            self.opening.append(asyncio.ensure_future(self.connect()))


class _Connection(asyncio.Protocol):
    """A connection that stays open, with one request at a time; it reads just enough HTTP for that."""

    def __init__(self, sender: _Sender) -> None:
        self._sender = sender
        lines = [
            f"POST {sender.program.path} HTTP/1.1",
            f"Host: 127.0.0.1:{sender.program.port}",
            "Content-Type: application/json",
            *(f"{name}: {value}" for name, value in sender.program.headers.items()),
        ]
        self._head = "\r\n".join(lines)
        self._came = b""
        self._started = 0.0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def ask(self, started: float, body: str) -> None:
        self._started = started
        self._came = b""
        self._transport.write(f"{self._head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  the library's own signature
        self._sender.lost(self)

    def data_received(self, data: bytes) -> None:
        self._came += data
        head, found, body = self._came.partition(b"\r\n\r\n")
        if not found:
            return
        _, named, rest = head.lower().partition(b"\r\ncontent-length:")
        if not named:
            raise LoadError(f"{self._sender.program.name} does not say how long its answer is: {head!r}")
        if len(body) < int(rest.partition(b"\r\n")[0]):
            return
        self._sender.answered(self, self._started, whole=head.startswith(b"HTTP/1.1 200 "))

    def close(self) -> None:
        self._transport.close()


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _tree(process_id: int) -> list[int]:
    """A process and its descendants."""
    found = [process_id]
    for task in Path(f"/proc/{process_id}/task").glob("*/children"):
        for child in task.read_text(encoding="ascii").split():
            found += _tree(int(child))
    return found


def _ticks(process_id: int) -> int:
    """User and system time of a process, in the system's ticks (proc(5))."""
    fields = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _pss_kib(process_id: int) -> int:
    lines = Path(f"/proc/{process_id}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))

"""Tests of clients that want a worker for themselves: requests without end, answers that nobody reads, silence."""

from __future__ import annotations

import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlops_assets_tests.serving.certificates import Office
from mlops_assets_tests.serving.sample import export_predictions
from mlops_assets_tests.serving.service_process import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REQUEST = b"GET /v1/tables/predictions HTTP/1.1\r\nHost: a\r\n\r\n"
DEADLINE_SECONDS = 2.0
GROWTH_KIB = 24 * 1024
"""Unbounded, the flood of these tests takes a gigabyte."""
FLOOD_BYTES = 32_000_000
SLOW_BYTES = 64 * 1024
"""A second; twice what a client must take of its answers in time, and a fraction of what the service writes."""
OPEN_FILES = 400
SILENT = 420


def started(folder: Path, *, tls: bool, open_files: int | None = None) -> Service:
    """A service that is not patient, with an export to answer from."""
    office = Office(folder / "tls")
    changes: dict[str, object] = {"request_seconds": DEADLINE_SECONDS}
    if tls:
        certificate, key = office.server()
        changes |= {"tls_certificate": certificate, "tls_key": key}
    service = Service(
        folder, changes=changes, authority=office.server_authority if tls else None, open_files=open_files
    )
    service.create_keys()
    export_predictions(service.config.exports)
    return service


@pytest.fixture(name="service", scope="module", params=["plain", "tls"])
def _service(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Service]:
    with started(tmp_path_factory.mktemp("hostile"), tls=request.param == "tls") as service:
        yield service


def connect(service: Service) -> socket.socket:
    connection = socket.socket()
    # What the system holds back for a client that does not read is no memory of the worker, and takes time to fill.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(30)
    connection.connect(("127.0.0.1", service.port))
    trust = service.trust()
    if isinstance(trust, ssl.SSLContext):
        return trust.wrap_socket(connection, server_hostname="localhost")
    return connection


def most_memory_kib(service: Service) -> int:
    """The most that the service's process has ever held."""
    assert service.process is not None
    lines = Path(f"/proc/{service.process.pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def open_sockets(service: Service) -> int:
    assert service.process is not None
    files = Path(f"/proc/{service.process.pid}/fd").iterdir()
    with suppress(FileNotFoundError):
        return sum(str(file.readlink()).startswith("socket:") for file in files)
    return open_sockets(service)


def wait_for(condition: Callable[[], bool]) -> bool:
    """Whether it comes true within a time that is long for any machine."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def left_open(service: Service, sockets: int) -> int:
    """How many more sockets than that stay open."""
    wait_for(lambda: open_sockets(service) <= sockets)
    return max(open_sockets(service) - sockets, 0)


@contextmanager
def silent_sockets(service: Service) -> Iterator[None]:
    """More connections than the service may have files, none of which says a word."""
    with ExitStack() as stack:
        for _ in range(SILENT):
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
        yield


def exchange(service: Service, requests: bytes, answers: int, *, slow_seconds: float = 0.0) -> bytes:
    """Send the requests while the answers are read, and as long as that read no faster than `SLOW_BYTES` a second.

    One thread does both: two must not use one TLS connection at a time.
    """
    received = bytearray()
    with connect(service) as connection:
        connection.settimeout(0)
        began = time.monotonic()
        while received.count(b"HTTP/1.1 ") < answers:
            moved = False
            with suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                sent = connection.send(requests[:65536]) if requests else 0
                requests, moved = requests[sent:], sent > 0
            elapsed = time.monotonic() - began
            if elapsed > slow_seconds or len(received) < SLOW_BYTES * elapsed:
                with suppress(BlockingIOError, ssl.SSLWantReadError):
                    part = connection.recv(65536)
                    assert part, "the service ended the connection"
                    received += part
                    moved = True
            if not moved:
                time.sleep(0.001)
    return bytes(received)


def flood(service: Service) -> bool:
    """Send requests for ever and read no answer; whether the service ended it."""
    with connect(service) as connection:
        try:
            for _ in range(FLOOD_BYTES // (1000 * len(REQUEST))):
                connection.sendall(1000 * REQUEST)
        except TimeoutError:
            return False
        except OSError:
            return True
    return False


@dataclass(frozen=True)
class Flooded:
    """What happened under a flood.

    Attributes:
        growth_kib: by how much the process grew.
        ended: for each flood whether the service ended it.
        statuses: what another client was answered meanwhile.
        left: sockets of the service that were not open before.
    """

    growth_kib: int
    ended: list[bool]
    statuses: list[int]
    left: int


@pytest.fixture(name="flooded", scope="module")
def _flooded(service: Service) -> Flooded:
    """Four floods at a time, and a client meanwhile."""
    statuses = []
    with service.client(service.token()) as client:
        assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200
        memory, sockets = most_memory_kib(service), open_sockets(service)
    with ThreadPoolExecutor(4) as pool:
        floods = [pool.submit(flood, service) for _ in range(4)]
        while not all(each.done() for each in floods):
            with service.client(service.token()) as client:
                statuses.append(client.get("/v1/tables/predictions/NC/12/turnout").status_code)
    growth = most_memory_kib(service) - memory
    return Flooded(growth, [each.result() for each in floods], statuses, left_open(service, sockets))


def test_requests_without_end_take_little_memory(flooded: Flooded) -> None:
    assert flooded.growth_kib < GROWTH_KIB


def test_a_client_that_reads_no_answer_is_cut_at_the_deadline(flooded: Flooded) -> None:
    assert flooded.ended == [True] * 4
    assert flooded.left == 0


def test_others_are_answered_under_a_flood(flooded: Flooded) -> None:
    assert len(flooded.statuses) > 1
    assert set(flooded.statuses) == {200}


def test_a_client_that_says_it_is_done_and_reads_no_answer_is_cut_too(service: Service) -> None:
    sockets = open_sockets(service)
    with connect(service) as connection:
        connection.sendall(2000 * REQUEST)
        # TLS or not: the stream of bytes ends here.
        socket.socket.shutdown(connection, socket.SHUT_WR)
        wait_for(lambda: open_sockets(service) > sockets)
        assert left_open(service, sockets) == 0


def test_a_client_that_reads_slowly_gets_every_answer(service: Service) -> None:
    count = 3000
    received = exchange(service, count * REQUEST, count, slow_seconds=2 * DEADLINE_SECONDS)
    assert received.count(b"HTTP/1.1 401") == count


def test_requests_that_wait_are_answered_in_their_order(service: Service) -> None:
    one, other = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n", REQUEST
    count = 500
    received = exchange(service, count * (one + other), 2 * count)
    statuses = [answer[:3] for answer in received.split(b"HTTP/1.1 ")[1:]]
    assert statuses == count * [b"200", b"401"]


def test_silent_sockets_beyond_the_limit_keep_no_client_out(tmp_path: Path) -> None:
    with (
        started(tmp_path, tls=True, open_files=OPEN_FILES) as service,
        silent_sockets(service),
        service.client(service.token()) as client,
    ):
        assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200


def test_silent_sockets_of_one_address_do_not_end_the_handshake_of_another(tmp_path: Path) -> None:
    with started(tmp_path, tls=True, open_files=OPEN_FILES) as service:
        plain = socket.create_connection(("127.0.0.1", service.port), timeout=30, source_address=("127.0.0.2", 0))
        trust = service.trust()
        assert isinstance(trust, ssl.SSLContext)
        with trust.wrap_socket(plain, server_hostname="localhost", do_handshake_on_connect=False) as slow:
            with silent_sockets(service):
                slow.do_handshake()
            slow.sendall(REQUEST)
            assert slow.recv(12) == b"HTTP/1.1 401"

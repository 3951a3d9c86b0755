"""Tests of connections that are slow, long, silent or many, with sockets of their own."""

from __future__ import annotations

import json
import resource
import socket
import time
from typing import TYPE_CHECKING

import pytest

from mlops_assets_tests.serving.sample import export_predictions
from mlops_assets_tests.serving.service_process import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY_LIMIT = 20_000
CONNECTIONS = 100


@pytest.fixture(name="strict", scope="module")
def _strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that waits for nobody and holds few connections."""
    changes = {
        "header_seconds": 1.0,
        "body_seconds": 1.0,
        "max_body_bytes": BODY_LIMIT,
        "max_header_bytes": 4096,
        "connections": CONNECTIONS,
    }
    service = Service(tmp_path_factory.mktemp("strict"), changes=changes)
    service.create_keys()
    export_predictions(service.config.exports)
    with service:
        yield service


def connect(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=8)


def read_to_end(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def problem_of(answer: bytes) -> tuple[int, dict[str, object]]:
    """Status and problem document of the one answer in these bytes."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower()
    assert b"x-content-type-options: nosniff" in head.lower()
    problem: dict[str, object] = json.loads(body)
    status = int(head.split(b" ")[1])
    assert problem["status"] == status
    return status, problem


def reason_of(service: Service, problem: dict[str, object]) -> str:
    for _ in range(40):
        for line in service.log():
            if line.get("request_id") == problem["request_id"]:
                return str(line["reason"])
        time.sleep(0.05)
    raise AssertionError("no line in the audit trail")


@pytest.mark.parametrize(
    ("sent", "status", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-", 408, "slow_head"),
        (b"G", 408, "slow_head"),
        (b"nonsense\r\n\r\n", 400, "malformed_request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "malformed_request"),
        (b"GET / HTTP/1.1\r\nA: b\nc\r\n\r\n", 400, "malformed_request"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400, None),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400, "malformed_request"),
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431, "long_head"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 5000, 431, "long_head"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431, "long_head"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 104857600\r\n\r\n", 413, "long_body"),
    ],
)
def test_what_cannot_become_a_request_is_a_problem_and_a_line_in_the_audit_trail(
    strict: Service, sent: bytes, status: int, reason: str | None
) -> None:
    with connect(strict) as connection:
        connection.sendall(sent)
        answered, problem = problem_of(read_to_end(connection))
    assert answered == status
    if reason is not None:
        assert reason_of(strict, problem) == reason


def test_a_client_that_says_nothing_is_let_go_without_an_answer(strict: Service) -> None:
    with connect(strict) as connection:
        started = time.monotonic()
        assert read_to_end(connection) == b""
        assert 0.5 < time.monotonic() - started < 6


def test_a_head_that_comes_byte_by_byte_is_cut_off_however_busy_it_looks(strict: Service) -> None:
    started = time.monotonic()
    with connect(strict) as connection:
        connection.settimeout(0.05)
        answer = b""
        while not answer and time.monotonic() - started < 6:
            connection.sendall(b"\r\n" if time.monotonic() - started < 0.3 else b"G")
            try:
                answer = connection.recv(65536)
            except TimeoutError:
                continue
    assert answer.startswith((b"HTTP/1.1 408", b"HTTP/1.1 400"))


def test_a_body_that_does_not_come_in_time_is_cut_off(strict: Service) -> None:
    token = strict.token(scopes=["models:infer"])
    head = (
        "POST /v1/models/person_turnout/score HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: 1000\r\n\r\n"
    )
    with connect(strict) as connection:
        connection.sendall(head.encode() + b'{"rows"')
        status, problem = problem_of(read_to_end(connection))
    assert (status, reason_of(strict, problem)) == (408, "slow_body")


def test_a_body_that_does_not_come_in_time_is_cut_off_behind_another_request_too(strict: Service) -> None:
    before = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"
    head = (
        "POST /v1/models/person_turnout/score HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {strict.token(scopes=['models:infer'])}\r\nContent-Length: 1000\r\n\r\n"
    )
    with connect(strict) as connection:
        connection.sendall(before + head.encode() + b'{"rows"')
        _, first, second = read_to_end(connection).split(b"HTTP/1.1 ")
    assert first.startswith(b"200")
    status, problem = problem_of(b"HTTP/1.1 " + second)
    assert (status, reason_of(strict, problem)) == (408, "slow_body")


def test_a_chunked_body_without_end_is_refused_once_it_is_too_long(strict: Service) -> None:
    token = strict.token(scopes=["models:infer"])
    head = (
        "POST /v1/models/person_turnout/score HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with connect(strict) as connection:
        connection.sendall(head.encode())
        for _ in range(BODY_LIMIT // 1000 + 5):
            connection.sendall(b"3e8\r\n" + b" " * 1000 + b"\r\n")
        status, problem = problem_of(read_to_end(connection))
    assert status == 413
    assert reason_of(strict, problem) == "long_body"


def test_a_client_that_sends_100_megabytes_regardless_reads_why_they_were_refused(strict: Service) -> None:
    with connect(strict) as connection:
        connection.sendall(b"POST /v1/tables/predictions HTTP/1.1\r\nHost: a\r\nContent-Length: 104857600\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"a" * 1_048_576)
        connection.settimeout(4)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413")


def test_many_idle_and_slow_connections_keep_nobody_else_out(strict: Service) -> None:
    idle = [connect(strict) for _ in range(3 * CONNECTIONS)]
    try:
        for connection in idle[-CONNECTIONS:]:
            connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        with strict.client(strict.token()) as client:
            for _ in range(20):
                assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200
    finally:
        for connection in idle:
            connection.close()


def test_thousands_of_connections_keep_nobody_else_out(service: Service) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = 3000 if hard == resource.RLIM_INFINITY or hard >= 4000 else 500
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 500), hard))
    idle = []
    try:
        for _ in range(count):
            idle.append(connect(service))
            idle[-1].sendall(b"GET / HT")
        with service.client(service.token()) as client:
            assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200
    finally:
        for connection in idle:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_requests_in_one_packet_are_answered_one_after_the_other(strict: Service) -> None:
    with connect(strict) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
        received = b""
        while received.count(b"HTTP/1.1 200") < 20:
            part = connection.recv(65536)
            assert part
            received += part

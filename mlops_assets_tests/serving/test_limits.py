"""Tests of what one principal may send."""

from __future__ import annotations

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.serving.identity.limits import ConcurrencyLimiter, RateLimiter
from mlops_assets_tests.serving.sample import export_predictions
from mlops_assets_tests.serving.service_process import Service

if TYPE_CHECKING:
    from collections.abc import Iterator


@given(burst=st.integers(1, 50), principals=st.lists(st.text(min_size=1), min_size=1, max_size=5, unique=True))
def test_each_principal_has_its_burst_and_no_more(burst: int, principals: list[str]) -> None:
    limiter = RateLimiter(rate_per_second=0.01, burst=burst)
    for principal in principals:
        taken = [limiter.take(principal) for _ in range(burst + 3)]
        assert [allowance.allowed for allowance in taken] == [True] * burst + [False] * 3
        assert [allowance.remaining for allowance in taken] == [*range(burst - 1, -1, -1), 0, 0, 0]
        assert 0 < taken[-1].reset_seconds <= 100


def test_an_emptied_bucket_fills_at_its_rate() -> None:
    limiter = RateLimiter(rate_per_second=100, burst=5000)
    started = time.monotonic()
    allowed = emptied(limiter)
    time.sleep(0.5)
    least = 5000 + 100 * (time.monotonic() - started) - 1
    allowed += emptied(limiter)
    assert least <= allowed <= 5000 + 100 * (time.monotonic() - started) + 1


def emptied(limiter: RateLimiter) -> int:
    """How many requests were allowed until the first that was not."""
    return sum(1 for _ in iter(lambda: limiter.take("dashboard").allowed, False))  # noqa: FBT003  what ends it


def test_forked_workers_share_a_bucket() -> None:
    limiter = RateLimiter(rate_per_second=0.01, burst=100)
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            os._exit(sum(limiter.take("dashboard").allowed for _ in range(60)))
        children.append(child)
    allowed = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    # Two that meet at the same moment may let one more through.
    assert 100 <= sum(allowed) <= 110


def test_places_are_given_back() -> None:
    limiter = ConcurrencyLimiter(2)
    assert [limiter.enter("a"), limiter.enter("a"), limiter.enter("a"), limiter.enter("b")] == [True, True, False, True]
    limiter.leave("a")
    assert limiter.enter("a")


@pytest.fixture(name="stingy", scope="module")
def _stingy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    changes = {"rate_per_second": 0.4, "burst": 10, "concurrency": 2, "request_seconds": 2.0, "workers": 2}
    service = Service(tmp_path_factory.mktemp("stingy"), changes=changes)
    service.create_keys()
    export_predictions(service.config.exports)
    with service:
        yield service


def test_a_principal_that_asks_too_often_is_told_when_to_come_back_and_others_are_not_disturbed(
    stingy: Service,
) -> None:
    """Over several connections, and so over both workers."""

    def ask(_: int) -> list[int]:
        with stingy.client(stingy.token()) as client:
            return [client.get("/v1/exports").status_code for _ in range(10)]

    with ThreadPoolExecutor(4) as pool:
        statuses = [status for some in pool.map(ask, range(4)) for status in some]
    assert set(statuses) == {200, 429}
    assert 10 <= statuses.count(200) <= 20
    with stingy.client(stingy.token()) as client:
        answer = client.get("/v1/exports")
        while answer.status_code != 429:
            answer = client.get("/v1/exports")
    assert answer.headers["content-type"] == "application/problem+json"
    assert 1 <= int(answer.headers["retry-after"]) <= 3
    assert answer.headers["ratelimit-policy"] == '"principal";q=10;w=25'
    assert answer.headers["ratelimit"].startswith('"principal";r=0;t=')
    lines = [line for line in stingy.log() if line.get("request_id") == answer.headers["x-request-id"]]
    assert lines[0]["reason"] == "rate"
    with stingy.client(stingy.token(principal="another-client")) as client:
        answer = client.get("/v1/exports")
        assert answer.status_code == 200
        assert answer.headers["ratelimit"] == '"principal";r=9;t=3'


def test_a_principal_with_too_many_requests_under_way_is_refused(stingy: Service) -> None:
    token = stingy.token(scopes=["models:infer"], principal="slow-client")
    head = (
        "POST /v1/models/person_turnout/score HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: 100\r\n\r\n"
    )
    connections = [socket.create_connection(("127.0.0.1", stingy.port), timeout=60) for _ in range(6)]
    try:
        for connection in connections:
            connection.sendall(head.encode())
        statuses = sorted(int(connection.recv(65536).split(b" ")[1]) for connection in connections)
    finally:
        for connection in connections:
            connection.close()
    # Of six on two workers at most two each wait for their bodies, until their time is over.
    assert set(statuses) == {429, 503}
    assert 2 <= statuses.count(503) <= 4

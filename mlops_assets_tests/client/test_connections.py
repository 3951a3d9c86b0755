"""Tests of connections against a server that misbehaves on purpose, sync and async."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import pytest

from mlops_assets.client.connections import async_connection, connection
from mlops_assets.demo.live import free_port
from mlops_assets_tests.client.misbehaving import BUSY, GOOD, Answer, Misbehaving

if TYPE_CHECKING:
    from collections.abc import Callable

SCORE = "/v1/models/churn/score"


class Ask(Protocol):
    """Asks a server by a connection of one kind."""

    def __call__(
        self, url: str, path: str = "/", method: str = "GET", *, token: Callable[[], str] | None = None
    ) -> httpx.Response: ...


def _sync(url: str, path: str = "/", method: str = "GET", *, token: Callable[[], str] | None = None) -> httpx.Response:
    with connection(url, token=token) as client:
        return client.request(method, path, content=b"[1]" if method == "POST" else None)


def _async(url: str, path: str = "/", method: str = "GET", *, token: Callable[[], str] | None = None) -> httpx.Response:
    async def asked() -> httpx.Response:
        async with async_connection(url, token=token) as client:
            return await client.request(method, path, content=b"[1]" if method == "POST" else None)

    return asyncio.run(asked())


@pytest.fixture(name="ask", params=[_sync, _async], ids=["sync", "async"])
def _ask(request: pytest.FixtureRequest) -> Any:  # noqa: ANN401  one of the parameters
    return request.param


def test_overload_and_cut_connections_are_tried_again_under_one_request_id(ask: Ask) -> None:
    cut_in_the_body = (200, {"Content-Length": "99"}, b"{")
    with Misbehaving(BUSY, None, cut_in_the_body, GOOD) as server:
        assert ask(server.url).status_code == 200
    identities = [asked.headers["x-request-id"] for asked in server.asked]
    assert len(identities) == 4
    assert len(set(identities)) == 1
    assert len(identities[0]) == 32


def test_attempts_end_with_the_last_answer(ask: Ask) -> None:
    with Misbehaving(BUSY, BUSY, BUSY, BUSY, GOOD) as server:
        assert ask(server.url).status_code == 503
        assert len(server.asked) == 4
    with pytest.raises(httpx.ConnectError):
        ask(f"http://127.0.0.1:{free_port()}")


def test_a_score_and_a_look_up_are_repeated_with_their_body_and_nothing_else_that_is_posted(ask: Ask) -> None:
    for path in (SCORE, "/v1/lookup/customers", "/v2/models/churn/infer"):
        with Misbehaving(BUSY, None, GOOD) as server:
            assert ask(server.url, path, "POST").status_code == 200
            assert [asked.body for asked in server.asked] == [b"[1]"] * 3
    with Misbehaving(BUSY, GOOD) as server:
        assert ask(server.url, "/v1/orders", "POST").status_code == 503
        assert len(server.asked) == 1


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_retry_after_is_waited_for(ask: Ask, form: str) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
    with Misbehaving((429, {"Retry-After": "1" if form == "seconds" else date}, b""), GOOD) as server:
        assert ask(server.url).status_code == 200
        assert server.asked[1].time - server.asked[0].time >= 1


@pytest.mark.parametrize("after", ["11", "9" * 400, "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_whoever_asks_for_more_than_ten_seconds_is_not_asked_again(ask: Ask, after: str) -> None:
    with Misbehaving((429, {"Retry-After": after}, b""), GOOD) as server:
        assert ask(server.url).status_code == 429
        assert len(server.asked) == 1


@pytest.mark.parametrize("after", ["soon", "-1", "", "٣", "Wed, 99 Oct 2099 07:28:00 GMT"])
def test_a_retry_after_that_says_nothing_is_as_none(ask: Ask, after: str) -> None:
    with Misbehaving((429, {"Retry-After": after.encode().decode("latin-1")}, b""), GOOD) as server:
        assert ask(server.url).status_code == 200


@pytest.mark.parametrize("status", [400, 404, 500, 502])
def test_other_errors_are_not_tried_again(ask: Ask, status: int) -> None:
    with Misbehaving((status, {}, b""), GOOD) as server:
        assert ask(server.url).status_code == status
        assert len(server.asked) == 1


def test_a_token_is_asked_for_before_each_attempt_and_once_more_after_a_401(ask: Ask) -> None:
    refused: Answer = (401, {}, b"")
    given = iter("abcdefg")
    with Misbehaving(BUSY, refused, GOOD) as server:
        assert ask(server.url, token=lambda: next(given)).status_code == 200
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer a", "Bearer b", "Bearer c"]
    with Misbehaving(refused, refused, GOOD) as server:
        assert ask(server.url, token=lambda: next(given)).status_code == 401
        assert len(server.asked) == 2
    with Misbehaving(refused, GOOD) as server:
        assert ask(server.url, token=lambda: "the same").status_code == 401
        assert len(server.asked) == 1


def test_a_redirect_is_not_followed_with_the_token(ask: Ask) -> None:
    with Misbehaving(GOOD) as elsewhere, Misbehaving((307, {"Location": elsewhere.url}, b"")) as server:
        assert ask(server.url, token=lambda: "secret").status_code == 307
        assert not elsewhere.asked


def test_a_proxy_of_the_environment_sees_nothing(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    with Misbehaving(GOOD) as proxy, Misbehaving(GOOD) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        assert ask(server.url).status_code == 200
        assert not proxy.asked


@pytest.mark.parametrize(
    "address", ["http://customers.example", "http://10.0.0.1:8089", "customers.example", "ftp://127.0.0.1", ""]
)
def test_a_token_is_not_sent_unencrypted_to_another_machine(ask: Ask, address: str) -> None:
    with pytest.raises(ValueError, match="must be https"):
        ask(address, token=lambda: "secret")


@pytest.mark.parametrize("value", [".", ".."])
def test_a_value_does_not_lead_to_another_address(ask: Ask, value: str) -> None:
    with Misbehaving(GOOD) as server, pytest.raises(ValueError, match="part of an address"):
        ask(server.url, f"/v1/tables/customers/{value}/north")
    assert not server.asked


def test_a_stream_is_tried_once() -> None:
    with Misbehaving(BUSY, GOOD) as server, connection(server.url) as client, client.stream("GET", "/") as answer:
        assert (answer.status_code, answer.read()) == (503, BUSY[2])
        assert len(server.asked) == 1

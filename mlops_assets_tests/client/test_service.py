"""Tests of the client against the real service, and against a server that misbehaves on purpose."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import msgspec
import pytest

from mlops_assets.client import answers, problems
from mlops_assets.client.retries import Retries
from mlops_assets.client.service import PredictionService, Value
from mlops_assets.demo.live import free_port
from mlops_assets.serving.identity.scopes import Scope
from mlops_assets_tests.serving.sample import (
    ELECTIONS,
    MEASURES,
    MODEL,
    PERSONS,
    ROWS,
    export_everything,
    export_predictions,
)
from mlops_assets_tests.serving.service_process import Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUICK = Retries(attempts=3, first=0.01)
ROW: dict[str, Value] = {"age": 40, "party": "DEM"}


@pytest.fixture(name="running", scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("service"))
    service.create_keys()
    export_everything(service.config.exports)
    with service:
        yield service


def connection(service: Service, *, states: list[str] | None = None) -> PredictionService:
    token = service.token(scopes=tuple(Scope), states=states)
    return PredictionService(f"http://127.0.0.1:{service.port}", token=lambda: token, retries=QUICK)


def test_every_prediction_is_iterated_over_once_whatever_the_size_of_a_page(running: Service) -> None:
    with connection(running) as client:
        for size in (7, 500):
            found = list(client.predictions(page_size=size))
            assert len(found) == len(set(found)) == ROWS
            assert isinstance(found[0], answers.Prediction)
        some = list(client.predictions(election="2022", state="NC", measure="turnout"))
        assert {(one.election, one.state, one.measure) for one in some} == {("2022", "NC", "turnout")}


def test_pages_are_of_one_export_although_another_becomes_current(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.create_keys()
    first = export_predictions(service.config.exports).export_id
    with service, connection(service) as client:
        found = client.predictions(page_size=10)
        versions = [next(found).model_version]
        export_predictions(service.config.exports, "v2")
        service.wait_for_log("export served", count=2)
        versions += [prediction.model_version for prediction in found]
        assert (len(versions), set(versions)) == (ROWS, {"v1"})
        assert client.district("NC", "12").predictions[0].model_version == "v2"
        assert client.district("NC", "12", as_of=first).predictions[0].model_version == "v1"
        assert client.export(as_of=datetime.now(UTC)).export_id == client.exports().current != first


def test_answers_are_typed(running: Service) -> None:
    with connection(running) as client:
        forecast = client.district("NC", "12", election="2020")
        assert [one.measure for one in forecast.predictions] == sorted(MEASURES)
        history = client.history("NC", "12", measure="turnout")
        assert [one.election for one in history.predictions] == list(ELECTIONS)
        assert client.export().rows["predictions"] == ROWS
        _, model = client.models().models
        assert (model.name, [column.name for column in model.inputs]) == (MODEL, ["age", "party"])
        scores = client.score(MODEL, [ROW, {"age": None, "party": "REP"}])
        assert scores.scores == [19.0, 20.0]
        assert client.score(MODEL, [ROW], model_version=scores.model_version).scores == [19.0]
        assert client.features("NC", [PERSONS[0], "f" * 32]).features == [ROW, None]


def test_problems_become_exceptions_with_the_requests_id(running: Service) -> None:
    with connection(running, states=["NC"]) as client:
        with pytest.raises(problems.NotFoundError) as caught:
            client.district("NC", "99")
        assert (caught.value.status, len(caught.value.request_id)) == (404, 32)
        with pytest.raises(problems.ForbiddenError):
            client.district("GA", "01")
        with pytest.raises(problems.InvalidRequestError) as invalid:
            client.score(MODEL, [{"age": 1}])
        assert invalid.value.errors[0].parameter == "rows"
        with pytest.raises(problems.InvalidRequestError):
            client.history("NC", "12", measure="weight")
        with pytest.raises(problems.NotFoundError):
            client.score("nothing", [ROW])
        with pytest.raises(ValueError, match="time zone"):
            client.export(as_of=datetime(2024, 1, 1))  # noqa: DTZ001  the point
    with (
        PredictionService(f"http://127.0.0.1:{running.port}") as stranger,
        pytest.raises(problems.UnauthenticatedError),
    ):
        stranger.export()


@pytest.mark.parametrize("part", ["../export", "..", "NC/12/history?x=", "NC%2F12", "ü", "."])
def test_what_is_put_into_a_path_leads_nowhere_else(running: Service, part: str) -> None:
    with connection(running) as client, pytest.raises((problems.InvalidRequestError, problems.NotFoundError)):
        client.district(part, "12")


def test_an_expired_token_is_renewed_once(running: Service) -> None:
    given = iter(["expired", "expired", running.token()])
    last = running.token()
    tokens: list[str] = []

    def token() -> str:
        tokens.append(next(given, last))
        return tokens[-1]

    with PredictionService(f"http://127.0.0.1:{running.port}", token=token, retries=QUICK) as client:
        with pytest.raises(problems.UnauthenticatedError):
            client.export()
        assert client.export().export_id
    assert len(tokens) == 3


class Misbehaving:
    """A server that gives the prepared answers in their order, and keeps what it was asked."""

    def __init__(self, *prepared: tuple[int, dict[str, str], bytes] | None) -> None:
        self.asked: list[tuple[float, str, dict[str, str]]] = []
        left = list(prepared)
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                asked.append((time.monotonic(), self.path, {k.lower(): v for k, v in self.headers.items()}))
                self.rfile.read(int(self.headers.get("content-length", 0)))
                answer = left.pop(0)
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, body = answer
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _answer  # noqa: N815  the server's names

            def log_message(self, *_: Any) -> None:  # noqa: ANN401
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def client(self, retries: Retries = QUICK) -> PredictionService:
        return PredictionService(f"http://127.0.0.1:{self._server.server_port}", retries=retries, timeout_seconds=60)


KEPT = msgspec.json.encode({"current": "a", "exports": [], "added_later": 1})
GOOD: tuple[int, dict[str, str], bytes] = (200, {}, KEPT)
SCORED = msgspec.json.encode({"export_id": "a", "model_name": "m", "model_version": "v", "scores": [1.0]})
BUSY = (503, {"Retry-After": "0"}, b"<html>busy</html>")


def test_overload_and_cut_connections_are_tried_again() -> None:
    with Misbehaving(BUSY, None, GOOD) as server, server.client() as client:
        assert client.exports().current == "a"
        assert len(server.asked) == 3


def test_scores_are_asked_for_again_as_scoring_changes_nothing() -> None:
    with Misbehaving(None, (429, {"Retry-After": "0"}, b""), (200, {}, SCORED)) as server, server.client() as client:
        assert client.score("m", [ROW]).scores == [1.0]
        assert len(server.asked) == 3


def test_attempts_end() -> None:
    with Misbehaving(BUSY, BUSY, BUSY, GOOD) as server, server.client() as client:
        with pytest.raises(problems.OverloadedError):
            client.exports()
        assert len(server.asked) == 3
    with (
        PredictionService(f"http://127.0.0.1:{free_port()}", retries=QUICK) as client,
        pytest.raises(problems.ServiceUnreachableError, match="after 3 attempts"),
    ):
        client.exports()


def test_a_retry_after_is_waited_for_and_a_long_one_is_not() -> None:
    with Misbehaving((429, {"Retry-After": "1"}, b""), GOOD) as server, server.client() as client:
        client.exports()
        assert server.asked[1][0] - server.asked[0][0] >= 1
    with Misbehaving((429, {"Retry-After": "3600"}, b""), GOOD) as server, server.client() as client:
        with pytest.raises(problems.OverloadedError):
            client.exports()
        assert len(server.asked) == 1


@pytest.mark.parametrize("status", [400, 404, 500])
def test_other_errors_are_not_tried_again(status: int) -> None:
    with Misbehaving((status, {"X-Request-ID": "an-id-of-it"}, b"[" * 9999), GOOD) as server, server.client() as client:
        with pytest.raises(problems.ProblemError) as caught:
            client.exports()
        assert (caught.value.status, caught.value.request_id) == (status, "an-id-of-it")
        assert len(server.asked) == 1


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b"[" * 99999])
def test_what_is_no_answer_of_the_service_is_said_to_be(body: bytes) -> None:
    with (
        Misbehaving((200, {}, body)) as server,
        server.client() as client,
        pytest.raises(problems.UnexpectedAnswerError),
    ):
        client.exports()


@pytest.mark.parametrize("address", ["http://predictions.example", "http://10.0.0.1:8089", "predictions.example"])
def test_a_token_is_not_sent_unencrypted_to_another_machine(address: str) -> None:
    with pytest.raises(ValueError, match="must be https"):
        PredictionService(address, token=lambda: "secret")


def test_a_redirect_is_not_followed_with_the_token() -> None:
    elsewhere = (302, {"Location": "http://127.0.0.1:9/"}, b"")
    with Misbehaving(elsewhere) as server, server.client() as client, pytest.raises(problems.ProblemError):
        client.exports()


def test_what_has_not_changed_is_not_transferred_again() -> None:
    first, unchanged = (200, {"ETag": '"one"'}, KEPT), (304, {"ETag": '"one"'}, b"")
    with Misbehaving(first, unchanged) as server, server.client() as client:
        assert client.exports() == client.exports()
        assert server.asked[1][2]["if-none-match"] == '"one"'


def test_waits_grow_and_are_spread() -> None:
    retries = Retries(attempts=6, first=1.0, longest=4.0)
    for attempt, most in ((1, 1.0), (2, 2.0), (3, 4.0), (5, 4.0)):
        waits = [retries.wait(attempt, None) or 0.0 for _ in range(300)]
        assert 0 <= min(waits) < most * 0.2
        assert most * 0.8 < max(waits) <= most
    assert retries.wait(6, None) is None

"""Tests of the service as its operator meets it: workers, figures, health, traces, and an end in good order."""

from __future__ import annotations

import gzip
import os
import signal
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from mlops_assets.demo.waiting import wait_until
from mlops_assets.platform.exports.export import current_export_id, pointer_path
from mlops_assets.platform.security.revocations import revoke_token
from mlops_assets.serving.identity.scopes import Scope
from mlops_assets_tests.serving.sample import EVERYTHING, MODEL, TABLE, export_predictions
from mlops_assets_tests.serving.service_process import Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import httpx


def figures(client: httpx.Client) -> dict[tuple[str, tuple[str, ...]], float]:
    """All samples by name and label values."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def wait_for_figures(service: Service, token: str, expected: Mapping[tuple[str, tuple[str, ...]], float]) -> None:
    """Return when all of these are told: a request is counted a moment after its answer."""

    def look() -> dict[tuple[str, tuple[str, ...]], float | None]:
        with service.client(token) as client:
            told = figures(client)
        return {sample: told.get(sample) for sample in expected}

    wait_until(lambda found: found == expected, look, what="The figures", remedy=f"They should be {expected}.")


@pytest.fixture(name="pair")
def _pair(tmp_path: Path) -> Iterator[Service]:
    """A service of two workers, which the test may damage."""
    changes = {"workers": 2, "drain_seconds": 1.0, "revoked": tmp_path / "revoked.json"}
    service = Service(tmp_path, changes=changes)
    service.create_keys()
    export_predictions(service.config.exports)
    with service:
        service.wait_for_log("Application startup complete.", count=2)
        yield service


def workers(service: Service) -> list[int]:
    return [line["process_id"] for line in service.log() if line["message"] == "worker started"]


def test_figures_are_those_of_all_workers_also_of_one_that_was_killed(pair: Service) -> None:
    token = pair.token(scopes=EVERYTHING)
    served = current_export_id(pair.config.exports / TABLE)
    for _ in range(30):
        # A new connection each time, and so now and then the other worker.
        with pair.client(token) as client:
            assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200
    with pair.client() as stranger:
        assert stranger.get("/v1/tables/predictions").status_code == 401
    district = "/v1/tables/{table}/{key}"
    expected = {
        ("mlops_assets_requests_total", ("GET", district, "200")): 30,
        ("mlops_assets_request_seconds_count", (district,)): 30,
        ("mlops_assets_denied_total", ("no_token",)): 1,
    }
    # A worker that is killed before it has counted its last request takes the count with it.
    wait_for_figures(pair, token, expected)
    killed = workers(pair)[0]
    os.kill(killed, signal.SIGKILL)
    pair.wait_for_log("worker started", count=3)
    wait_for_figures(pair, token, {**expected, ("mlops_assets_ready", ()): 1})
    with pair.client(token) as client:
        found = figures(client)
    assert found["mlops_assets_data_age_seconds", ("predictions",)] >= 0
    assert found["mlops_assets_requests_in_progress", ()] <= 2
    assert ("mlops_assets_export", (served, "predictions")) in found


def test_every_worker_follows_exports_and_revocations(pair: Service) -> None:
    token = pair.token()
    other = pair.token()

    def ask(bearer: str) -> set[tuple[int, str | None]]:
        answers = set()
        for _ in range(12):
            with pair.client(bearer) as client:
                answer = client.get("/v1/tables/predictions/NC/12/turnout")
                answers.add((answer.status_code, answer.json().get("export_id")))
        return answers

    assert len(ask(token)) == 1
    new = export_predictions(pair.config.exports, "v2").export_id
    pair.wait_for_log("export served", count=4)
    assert ask(token) == {(200, new)}
    with pair.client(token) as held:
        assert held.get("/v1/exports").status_code == 200
        token_id = next(line["token_id"] for line in reversed(pair.log()) if line.get("token_id"))
        revoke_token(pair.folder / "revoked.json", token_id, expires=time.time() + 3600)
        time.sleep(1)
        assert held.get("/v1/exports").status_code == 401
    assert ask(token) == {(401, None)}
    assert ask(other) == {(200, new)}
    denied = [line for line in pair.log() if line.get("reason") == "revoked"]
    assert len(denied) == 13
    (pair.folder / "revoked.json").unlink()
    time.sleep(1)
    assert ask(other) == {(503, None)}
    started = workers(pair)
    os.kill(started[0], signal.SIGKILL)
    pair.wait_for_log("worker started", count=len(started) + 1)
    # The new worker never saw the list.
    assert ask(other) == {(503, None)}


def test_no_two_requests_of_all_workers_have_the_same_id(pair: Service) -> None:
    for _ in range(30):
        with pair.client(pair.token()) as client:
            client.get("/v1/exports")
    ids = [line["request_id"] for line in pair.log() if line["message"] == "access"]
    assert len(ids) == len(set(ids)) == 30


def test_a_worker_that_is_started_while_the_current_export_is_bad_serves_what_the_others_serve(pair: Service) -> None:
    with pair.client(pair.token()) as client:
        served = client.get("/v1/exports/predictions").json()["current"]
    pair.wait_for_log("export served", count=2)
    staged = pair.config.exports / TABLE / "pointer.new"
    staged.write_text(f"{'0' * 32}\n", encoding="ascii")
    staged.replace(pointer_path(pair.config.exports / TABLE))
    pair.wait_for_log("export refused", count=2)
    for process_id in workers(pair):
        os.kill(process_id, signal.SIGKILL)
    pair.wait_for_log("export served", count=4)
    for _ in range(10):
        with pair.client(pair.token()) as client:
            assert client.get("/v1/exports/predictions").json()["current"] == served


def test_a_service_that_is_told_to_end_says_so_first_and_answers_until_it_is_told_again(tmp_path: Path) -> None:
    patient = Service(tmp_path, changes={"workers": 2, "drain_seconds": 60.0})
    patient.create_keys()
    export_predictions(patient.config.exports)
    with patient, patient.client(patient.token()) as client:
        assert patient.process is not None
        answers = [client.get("/health/ready")]
        assert answers[0].status_code == 200

        def said() -> bool:
            answers.append(client.get("/health/ready"))
            return answers[-1].status_code != 200

        patient.process.send_signal(signal.SIGTERM)
        patient.wait_for(said)
        assert (answers[-1].status_code, answers[-1].headers["connection"]) == (503, "close")
        assert client.get("/v1/tables/predictions/NC/12/turnout").status_code == 200
        told_again = time.monotonic()

        def ended() -> bool:
            # Two signals are one to a worker that has not yet run since the first.
            for process_id in workers(patient):
                with suppress(ProcessLookupError):
                    os.kill(process_id, signal.SIGTERM)
            assert patient.process is not None
            return patient.process.poll() is not None

        patient.wait_for(ended)
        assert patient.process.poll() == 0
        assert time.monotonic() - told_again < patient.config.drain_seconds / 2


def test_figures_and_dependencies_are_for_those_with_their_scope(service: Service) -> None:
    for path in ("/metrics", "/health/dependencies"):
        with service.client(service.token()) as reader:
            assert reader.get(path).status_code == 403
    with service.client(service.token(scopes=[Scope.READ_METRICS])) as operator:
        told = operator.get("/health/dependencies").json()
    assert told["ready"]
    assert {one["name"]: one["status"] for one in told["dependencies"]} == {
        "export customers": "ok",
        "export person_features": "ok",
        f"export {MODEL}": "ok",
        "export predictions": "ok",
        "keys": "ok",
        "certificate": "absent",
        "inference log": "ok",
    }


def test_what_is_not_ready_is_told_to_operators_only(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.create_keys()
    with service, service.client(service.token(scopes=[Scope.READ_METRICS])) as operator:
        assert operator.get("/health/ready").json()["detail"] == "The service is not ready."
        told = operator.get("/health/dependencies").json()
        exports = next(one for one in told["dependencies"] if one["name"] == "exports")
        assert (told["ready"], exports["status"], exports["detail"]) == (False, "failed", "there is none")
        found = figures(operator)
    assert found["mlops_assets_ready", ()] == 0


class _Receiver(BaseHTTPRequestHandler):
    """Takes traces as an OpenTelemetry collector does."""

    spans: list[tuple[str, str, str, dict[str, str]]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    attributes = {
                        one.key: one.value.string_value or str(one.value.int_value) for one in span.attributes
                    }
                    self.spans.append((span.name, span.trace_id.hex(), span.parent_span_id.hex(), attributes))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


def test_requests_are_traced_where_the_settings_say_as_part_of_the_callers_trace(tmp_path: Path) -> None:
    _Receiver.spans = []
    with ThreadingHTTPServer(("127.0.0.1", 0), _Receiver) as receiver:
        threading.Thread(target=receiver.serve_forever, args=(0.01,), daemon=True).start()
        changes = {"traces_url": f"http://127.0.0.1:{receiver.server_port}/v1/traces"}
        service = Service(tmp_path, changes=changes)
        service.create_keys()
        export_predictions(service.config.exports)
        trace, caller = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
        with service, service.client(service.token()) as client:
            answer = client.get(
                "/v1/tables/predictions/NC/12/turnout", headers={"traceparent": f"00-{trace}-{caller}-01"}
            )
            assert answer.status_code == 200
        # The end of the service sends what is left.
        receiver.shutdown()
    (span,) = [span for span in _Receiver.spans if "tables" in span[0]]
    name, trace_id, parent, attributes = span
    assert name == "GET /v1/tables/{table}/{key}"
    assert (trace_id, parent) == (trace, caller)
    assert attributes["mlops_assets.request_id"] == answer.headers["x-request-id"]
    assert attributes["http.response.status_code"] == "200"
    assert not any("NC" in value or "test-client" in value for value in attributes.values())
    (line,) = [line for line in service.log() if line.get("request_id") == answer.headers["x-request-id"]]
    assert line["trace_id"] == trace

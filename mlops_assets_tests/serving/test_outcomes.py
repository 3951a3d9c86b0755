"""Tests of outcomes: what applications report of scored rows, and what of it is kept beside what was answered."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mlops_assets.platform.exports.manifest import OutcomeKind, Split
from mlops_assets.serving.identity.scopes import Scope
from mlops_assets_tests.serving.sample import MODEL, export_models, turnout_model
from mlops_assets_tests.serving.service_process import Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

ROUTE = f"/v1/outcomes/{MODEL}"
ROWS = {"rows": [{"age": 40, "party": "DEM"}, {"age": 60, "party": "REP"}]}
SPLIT = Split(weights={"previous": 1.0}, shadow=("latest",), outcome=OutcomeKind.BOOLEAN)


@pytest.fixture(name="running", scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of one worker whose model has a shadow, and takes outcomes."""
    service = Service(tmp_path_factory.mktemp("outcomes"))
    service.create_keys()
    export_models(service.config.exports, turnout_model(), turnout_model(fill=60.0), split=SPLIT)
    with service, service.client() as client:
        service.wait_for(lambda: client.get("/health/ready").is_success)
        yield service


@pytest.fixture(name="asking")
def _asking(running: Service) -> Iterator[httpx.Client]:
    with running.client(running.token(scopes=[Scope.INFER, Scope.WRITE_OUTCOMES], principal="shop")) as client:
        yield client


def kept(service: Service, kind: str, request_id: str) -> list[dict[str, Any]]:
    """The lines of a kind that name that request."""
    found = [
        json.loads(line)
        for file in (service.config.inference_log / MODEL / kind).glob("*.open")
        for line in file.read_text(encoding="utf-8").splitlines()
        if line
    ]
    return [line for line in found if line["request_id"] == request_id]


def reported(**changes: object) -> dict[str, Any]:
    one = {"request_id": "order-20241105-17", "row": 1, "outcome": True, "observed": "2024-12-01T00:00:00+01:00"}
    return {"outcomes": [{**one, **changes}]}


def test_answers_and_shadows_are_logged_by_request_row_and_version_without_what_was_scored(
    running: Service, asking: httpx.Client
) -> None:
    answer = asking.post(f"/v1/models/{MODEL}/score", json=ROWS)
    assert answer.status_code == 200
    name = answer.headers["x-request-id"]
    running.wait_for(lambda: len(kept(running, "answers", name)) == 4)
    lines = kept(running, "answers", name)
    assert {(line["row"], line["way"], line["model_version"]) for line in lines} == {
        (row, way, version)
        for row in (0, 1)
        for way, version in (("answered", turnout_model().version), ("shadow", turnout_model(fill=60.0).version))
    }
    scores = {line["row"]: line["score"] for line in lines if line["way"] == "answered"}
    assert [scores[0], scores[1]] == answer.json()["scores"]
    assert {line["principal"] for line in lines} == {"shop"}
    known = {"request_id", "row", "model_version", "way", "score", "principal", "answered", "date"}
    assert {frozenset(line) for line in lines} == {frozenset(known)}


def test_the_other_protocol_is_logged_by_the_same_names(running: Service, asking: httpx.Client) -> None:
    tensors = {
        "inputs": [
            {"name": "age", "shape": [1], "datatype": "FP64", "data": [40]},
            {"name": "party", "shape": [1], "datatype": "BYTES", "data": ["DEM"]},
        ]
    }
    answer = asking.post(f"/v2/models/{MODEL}/infer", json=tensors, headers={"X-Request-ID": "order-by-tensors"})
    assert answer.headers["x-request-id"] == "order-by-tensors"
    [line] = kept(running, "answers", "order-by-tensors")
    assert (line["row"], line["score"], line["way"]) == (0, answer.json()["outputs"][0]["data"][0], "answered")


def test_an_outcome_is_kept_when_the_answer_comes(running: Service, asking: httpx.Client) -> None:
    answer = asking.post(ROUTE, json=reported())
    assert (answer.status_code, answer.json()) == (202, {"model_name": MODEL, "taken": 1})
    assert answer.headers["cache-control"] == "no-store"
    [line] = kept(running, "outcomes", "order-20241105-17")
    assert (line["row"], line["outcome"], line["observed"], line["principal"]) == (
        1,
        1.0,
        "2024-11-30T23:00:00Z",
        "shop",
    )


@pytest.mark.parametrize(
    ("changes", "status", "place"),
    [
        ({"outcome": 1}, 422, "$.outcomes[0].outcome"),
        ({"outcome": 0.5}, 422, "$.outcomes[0].outcome"),
        ({"outcome": None}, 400, "$.outcomes[0].outcome"),
        ({"outcome": "true"}, 400, "$.outcomes[0].outcome"),
        ({"row": -1}, 400, "$.outcomes[0].row"),
        ({"row": 0.5}, 400, "$.outcomes[0].row"),
        ({"row": 10**400}, 400, "$"),
        ({"outcome": 1e200}, 400, "$.outcomes[0].outcome"),
        ({"outcome": 10**400}, 400, "$"),
        ({"request_id": "order-20241105-17\n"}, 400, "$.outcomes[0].request_id"),
        ({"observed": "2024-12-01T00:00:00Z\n"}, 400, "$.outcomes[0].observed"),
        ({"request_id": "short"}, 400, "$.outcomes[0].request_id"),
        ({"request_id": "../../etc/passwd"}, 400, "$.outcomes[0].request_id"),
        ({"observed": "2024-12-01"}, 400, "$.outcomes[0].observed"),
        ({"observed": "2024-12-01T00:00:00"}, 400, "$.outcomes[0].observed"),
        ({"observed": "0001-01-01T00:00:00+14:00"}, 422, "$.outcomes[0].observed"),
        ({"observed": "2023-02-29T00:00:00Z"}, 400, "$.outcomes[0].observed"),
        ({"observed": (datetime.now(UTC) + timedelta(days=1)).isoformat()}, 422, "$.outcomes[0].observed"),
        ({"more": 1}, 400, "$.outcomes[0]"),
    ],
)
def test_an_outcome_that_cannot_be_is_refused_by_its_place_and_none_is_taken(
    running: Service, asking: httpx.Client, changes: dict[str, Any], status: int, place: str
) -> None:
    before = (running.config.inference_log / MODEL / "outcomes").exists() and kept(
        running, "outcomes", "order-refused-1"
    )
    body = {"outcomes": [*reported(request_id="order-refused-1")["outcomes"], *reported(**changes)["outcomes"]]}
    answer = asking.post(ROUTE, content=json.dumps(body), headers={"Content-Type": "application/json"})
    told = answer.json()
    assert answer.status_code == status, told
    assert told["errors"][0]["parameter"].startswith(place.replace("[0]", "[1]")) or place == "$", told
    assert kept(running, "outcomes", "order-refused-1") == (before or [])


@pytest.mark.parametrize("body", [{}, {"outcomes": []}, {"outcomes": reported()["outcomes"] * 1001}])
def test_none_and_too_many_are_refused(asking: httpx.Client, body: dict[str, Any]) -> None:
    assert asking.post(ROUTE, json=body).status_code == 400


def test_a_number_is_taken_where_the_model_declares_one(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.create_keys()
    export_models(service.config.exports, turnout_model(), split=Split(outcome=OutcomeKind.NUMBER))
    token = service.token(scopes=[Scope.INFER, Scope.WRITE_OUTCOMES])
    with service, service.client(token) as client:
        service.wait_for(lambda: client.get("/health/ready").is_success)
        assert client.get(f"/v1/models/{MODEL}").json()["outcome"] == "number"
        assert client.post(ROUTE, json=reported(outcome=17)).status_code == 202
        assert client.post(ROUTE, json=reported(outcome=True)).status_code == 422
        for large in (1e200, -1e16):
            refused = client.post(ROUTE, json=reported(outcome=large))
            assert refused.status_code == 400
            assert "1e15" in json.dumps(refused.json()["errors"]).replace("1000000000000000.0", "1e15")
        assert [line["outcome"] for line in kept(service, "outcomes", "order-20241105-17")] == [17.0]


def test_a_model_without_that_declaration_takes_no_outcomes_and_logs_no_answers(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.create_keys()
    export_models(service.config.exports, turnout_model())
    with service, service.client(service.token(scopes=[Scope.INFER, Scope.WRITE_OUTCOMES])) as client:
        service.wait_for(lambda: client.get("/health/ready").is_success)
        assert client.post(f"/v1/models/{MODEL}/score", json=ROWS).status_code == 200
        assert client.post(ROUTE, json=reported()).status_code == 404
    assert not service.config.inference_log.exists()


def test_a_disk_that_is_nearly_full_keeps_its_room_for_outcomes(tmp_path: Path) -> None:
    service = Service(tmp_path, changes={"inference_log_free_bytes": 10**18})
    service.create_keys()
    export_models(service.config.exports, turnout_model(), split=Split(outcome=OutcomeKind.BOOLEAN))
    scopes = [Scope.INFER, Scope.WRITE_OUTCOMES, Scope.READ_METRICS]
    with service, service.client(service.token(scopes=scopes)) as client:
        service.wait_for(lambda: client.get("/health/ready").is_success)
        assert client.post(f"/v1/models/{MODEL}/score", json=ROWS).status_code == 200
        assert client.post(ROUTE, json=reported()).status_code == 202
        assert "mlops_assets_answers_not_logged_total 2.0" in client.get("/metrics").text
        dependencies = client.get("/health/dependencies").json()["dependencies"]
    [told] = [each for each in dependencies if each["name"] == "inference log"]
    assert told["status"] == "failed"
    assert told["detail"] == f"answers of {MODEL}: less than 1,000,000,000,000,000,000 bytes are free"


def test_a_log_that_cannot_be_written_costs_no_answer_takes_no_outcome_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "inference_log").write_text("no folder")
    service = Service(tmp_path)
    service.create_keys()
    export_models(service.config.exports, turnout_model(), split=Split(outcome=OutcomeKind.BOOLEAN))
    with (
        service,
        service.client(service.token(scopes=[Scope.INFER, Scope.WRITE_OUTCOMES, Scope.READ_METRICS])) as client,
    ):
        service.wait_for(lambda: client.get("/health/ready").is_success)
        assert client.post(f"/v1/models/{MODEL}/score", json=ROWS).status_code == 200
        refused = client.post(ROUTE, json=reported())
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
        assert "mlops_assets_answers_not_logged_total 2.0" in client.get("/metrics").text
        [told] = [
            each
            for each in client.get("/health/dependencies").json()["dependencies"]
            if each["name"] == "inference log"
        ]
        assert told["status"] == "failed"
        assert client.get("/health/ready").status_code == 200

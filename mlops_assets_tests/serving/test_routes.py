"""Tests of what the routes take and answer, against a running service."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, get_args

import pytest
from litestar import Request

from mlops_assets.contracts.predictions import PredictionsModel
from mlops_assets.platform.exports.export import current_export_id
from mlops_assets.platform.security.tokens import Principal
from mlops_assets.serving.exports.predictions import KEY, Prediction
from mlops_assets.serving.http import answers
from mlops_assets.serving.http.answers import versioned
from mlops_assets.serving.routes.parameters import Measure
from mlops_assets_tests.serving.sample import DISTRICTS, ELECTIONS, MEASURES, PERSONS, ROWS

if TYPE_CHECKING:
    import httpx

    from mlops_assets.serving.http.answers import ServiceRequest
    from mlops_assets_tests.serving.service_process import Service


def key_of(item: dict[str, Any]) -> tuple[str, ...]:
    return tuple(item[column] for column in KEY)


def all_pages(client: httpx.Client, **parameters: object) -> list[list[dict[str, Any]]]:
    pages: list[list[dict[str, Any]]] = []
    cursor = None
    while True:
        query = {**parameters, **({"cursor": cursor} if cursor else {})}
        page = client.get("/v1/predictions", params=query).raise_for_status().json()  # type: ignore[arg-type]  # str, int
        pages.append(page["items"])
        cursor = page["next_cursor"]
        if cursor is None:
            return pages


def test_a_prediction_has_the_columns_of_the_contract() -> None:
    assert list(PredictionsModel.to_schema().columns) == list(Prediction.__struct_fields__)


def test_the_measures_are_those_of_the_contract() -> None:
    (check,) = [check for check in PredictionsModel.to_schema().columns["measure"].checks if check.name == "isin"]
    assert set(check.statistics["allowed_values"]) == set(get_args(Measure))


def test_a_district_is_answered_with_all_measures_of_the_latest_election(
    client: httpx.Client, service: Service
) -> None:
    answer = client.get("/v1/predictions/NC/12").raise_for_status().json()
    assert answer["export_id"] == current_export_id(service.config.exports)
    assert (answer["election"], answer["state"], answer["district"]) == ("2022", "NC", "12")
    assert [prediction["measure"] for prediction in answer["predictions"]] == sorted(MEASURES)
    assert answer["predictions"][1] == {
        "election": "2022",
        "state": "NC",
        "district": "12",
        "measure": "turnout",
        "value": 0.5,
        "lower": 0.4,
        "upper": 0.6,
        "coverage": 0.9,
        "basis": None,
        "model_name": "district_turnout",
        "model_version": "v1",
        "features_version": "features-2022-NC",
        "expected_error": 0.05,
        "expected_brier": 0.2,
    }


def test_another_election_is_answered_when_asked_for(client: httpx.Client) -> None:
    answer = client.get("/v1/predictions/NC/12", params={"election": "2020"}).raise_for_status().json()
    assert {prediction["election"] for prediction in answer["predictions"]} == {"2020"}


@pytest.mark.parametrize(
    "path", ["/v1/predictions/NC/99", "/v1/predictions/ZZ/01", "/v1/predictions/NC/12?election=1998"]
)
def test_what_has_no_prediction_is_not_found(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("limit", [1, 7, 56, 112, 500])
def test_pages_hold_every_row_once_and_in_order(client: httpx.Client, limit: int) -> None:
    pages = all_pages(client, limit=limit)
    keys = [key_of(item) for page in pages for item in page]
    assert len(keys) == len(set(keys)) == ROWS
    assert keys == sorted(keys)
    assert all(len(page) == limit for page in pages[:-1])
    assert pages[-1]


@pytest.mark.parametrize(
    ("filters", "rows"),
    [
        ({"state": "NC"}, ROWS // 2),
        ({"measure": "turnout"}, ROWS // 2),
        ({"election": "2022", "district": "07"}, 4),
        ({"election": "2022", "state": "GA", "district": "07", "measure": "turnout"}, 1),
        ({"district": "99"}, 0),
    ],
)
def test_filters_narrow_the_list(client: httpx.Client, filters: dict[str, str], rows: int) -> None:
    items = [item for page in all_pages(client, **filters, limit=3) for item in page]
    assert len(items) == rows
    assert all(item[name] == value for item in items for name, value in filters.items())


def test_the_export_says_where_it_comes_from(client: httpx.Client, service: Service) -> None:
    answer = client.get("/v1/export").raise_for_status().json()
    assert answer["export_id"] == current_export_id(service.config.exports)
    assert answer["provenance"] == {"lake_snapshot": 7, "model": "v1"}
    assert answer["rows"] == {"predictions": ROWS, "models": 1, "person_features": len(PERSONS)}
    assert answer["latest_election"] == max(ELECTIONS)
    assert answer["models"] == [
        {"measure": measure, "model_name": f"district_{measure}", "model_version": "v1"} for measure in MEASURES
    ]


def test_the_history_of_a_district_holds_every_election(client: httpx.Client) -> None:
    answer = client.get("/v1/predictions/NC/12/history").raise_for_status().json()
    keys = [(item["election"], item["measure"]) for item in answer["predictions"]]
    assert keys == [(election, measure) for election in ELECTIONS for measure in MEASURES]
    assert {(item["state"], item["district"]) for item in answer["predictions"]} == {("NC", "12")}
    one = client.get("/v1/predictions/NC/12/history", params={"measure": "turnout"}).raise_for_status().json()
    assert [item["election"] for item in one["predictions"]] == list(ELECTIONS)


@pytest.mark.parametrize("path", ["/v1/predictions/NC/99/history", "/v1/predictions/ZZ/01/history"])
def test_a_district_without_predictions_has_no_history(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_long_answers_are_compressed_where_the_client_takes_that(client: httpx.Client) -> None:
    plain = client.get("/v1/predictions", headers={"Accept-Encoding": "identity"})
    packed = client.get("/v1/predictions", headers={"Accept-Encoding": "gzip, br"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json() == plain.json()
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 5
    # Two encodings are two representations; either is enough for a 304.
    assert packed.headers["etag"] != plain.headers["etag"]
    for answer in (plain, packed):
        again = client.get("/v1/predictions", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.headers["etag"]) == (304, answer.headers["etag"])


@pytest.mark.parametrize("accepted", ["", "gzip;q=0", "br", "gzip; q=0.0, br", "identity;q=1, gzip;q=0", "*, gzip;q=0"])
def test_who_does_not_take_gzip_does_not_get_it(client: httpx.Client, accepted: str) -> None:
    answer = client.get("/v1/predictions", headers={"Accept-Encoding": accepted})
    assert "content-encoding" not in answer.headers
    assert answer.json()["items"]


@pytest.mark.parametrize(
    "path", ["/v1/predictions", "/v1/predictions?state=NC&limit=3", "/v1/predictions/NC/12", "/v1/export"]
)
def test_an_unchanged_answer_is_not_sent_again(client: httpx.Client, path: str) -> None:
    first = client.get(path)
    etag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    assert first.headers["vary"] == "Authorization, Accept-Encoding"
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"].replace("-gzip", "") == etag.replace("-gzip", "")
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_different_questions_have_different_versions(client: httpx.Client) -> None:
    paths = ["/v1/predictions", "/v1/predictions?limit=3", "/v1/predictions?state=NC", "/v1/predictions/NC/12"]
    paths += [f"/v1/predictions/{state}/01" for state in DISTRICTS]
    assert len({client.get(path).headers["etag"] for path in paths}) == len(paths)


def test_another_version_of_the_program_has_other_versions_of_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    principal = Principal(name="dashboard", scopes=frozenset(), limits={}, token_id=None, key_id=None, expires=0.0)
    scope: Any = {"type": "http", "path": "/v1/export", "query_string": b"", "headers": [], "user": principal}
    request: ServiceRequest = Request(scope)
    before = versioned(request, {}, version="one").headers["ETag"]
    assert versioned(request, {}, version="one").headers["ETag"] == before
    monkeypatch.setattr(answers, "__version__", "999")
    assert versioned(request, {}, version="one").headers["ETag"] != before


def test_a_version_of_nothing_stays_not_found(client: httpx.Client) -> None:
    assert client.get("/v1/predictions/NC/99", headers={"If-None-Match": "*"}).status_code == 404


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=many", "limit"),
        ("state=nc", "state"),
        ("state=NC'--", "state"),
        ("district=1", "district"),
        ("election=20222", "election"),
        ("measure=votes", "measure"),
        ("cursor=%00", "cursor"),
        ("state=NC%0A", "state"),
        ("district=12%0A", "district"),
        ("election=2024%0A", "election"),
        ("stat=NC", "stat"),
        ("state=NC&state=GA", "state"),
    ],
)
def test_a_parameter_that_is_not_valid_is_named(client: httpx.Client, query: str, parameter: str) -> None:
    answer = client.get(f"/v1/predictions?{query}")
    assert answer.status_code == 400
    assert [error["parameter"] for error in answer.json()["errors"]] == [parameter]


@pytest.mark.parametrize("cursor", ["abc", "WyJhIl0"])
def test_a_cursor_that_no_page_gave_out_is_refused(client: httpx.Client, cursor: str) -> None:
    answer = client.get("/v1/predictions", params={"cursor": cursor})
    assert answer.status_code == 422
    assert [error["parameter"] for error in answer.json()["errors"]] == ["cursor"]


def test_a_path_that_is_not_valid_is_named(client: httpx.Client) -> None:
    answer = client.get("/v1/predictions/nc/1")
    assert {error["parameter"] for error in answer.json()["errors"]} == {"state_code", "district"}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD"])
def test_another_method_is_refused_with_what_is_allowed(client: httpx.Client, method: str) -> None:
    answer = client.request(method, "/v1/export")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, OPTIONS"


def test_a_body_is_refused(client: httpx.Client) -> None:
    assert client.request("GET", "/v1/export", content=b"x").status_code == 413
    assert client.request("GET", "/v1/export", content=iter([b"x"])).status_code == 413


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nowhere"), ("POST", "/v1/export"), ("GET", "/v1/predictions?limit=x"), ("GET", "/v1/predictions/NC/99")],
)
def test_every_error_is_a_problem_document_with_secure_headers(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(method, path)
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert set(problem) == {"type", "title", "status", "detail", "request_id", "errors"}
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text


def test_every_answer_has_secure_headers_and_names_no_server(client: httpx.Client) -> None:
    for path in ("/v1/export", "/health/live", "/nowhere", "/docs"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "server" not in headers


def test_health_answers_strangers(stranger: httpx.Client) -> None:
    assert stranger.get("/health/live").json() == {"status": "live"}
    assert stranger.get("/health/ready").json() == {"status": "ready"}


def test_what_is_no_http_gets_no_trace(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall(b"\x00\x01\x02 nonsense\r\n\r\n")
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"Traceback" not in answer

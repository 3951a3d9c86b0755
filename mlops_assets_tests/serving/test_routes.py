"""Tests of what the routes take and answer, against a running service."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from litestar import Request

from mlops_assets.platform.exports.export import current_export_id, write_export
from mlops_assets.platform.security.tokens import Principal
from mlops_assets.serving.http import answers
from mlops_assets.serving.http.answers import versioned
from mlops_assets_tests.serving.sample import (
    CUSTOMERS,
    CUSTOMERS_SERVED,
    DISTRICTS,
    EVERYTHING,
    KEY,
    MODEL,
    MODEL_KEY,
    PERSONS,
    ROWS,
    TABLE,
    customers,
)
from mlops_assets_tests.serving.service_process import Service

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from mlops_assets.serving.http.answers import ServiceRequest


def key_of(item: dict[str, Any]) -> tuple[str, ...]:
    return tuple(item[column] for column in KEY)


def all_pages(client: httpx.Client, **parameters: object) -> list[list[dict[str, Any]]]:
    pages: list[list[dict[str, Any]]] = []
    cursor = None
    while True:
        query = {**parameters, **({"cursor": cursor} if cursor else {})}
        page = client.get("/v1/tables/predictions", params=query).raise_for_status().json()  # type: ignore[arg-type]  # str, int
        pages.append(page["items"])
        cursor = page["next_cursor"]
        if cursor is None:
            return pages


def test_a_row_is_answered_of_the_latest_where_no_other_is_named(client: httpx.Client, service: Service) -> None:
    answer = client.get("/v1/tables/predictions/NC/12/turnout").raise_for_status().json()
    assert answer == {
        "export_id": current_export_id(service.config.exports / TABLE),
        "row": {
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
        },
    }


@pytest.mark.parametrize(
    ("path", "when"),
    [("predictions/NC/12/turnout?election=2020", "2020"), ("predictions/NC/12/turnout?election=latest", "2022")],
)
def test_another_time_is_answered_when_asked_for(client: httpx.Client, path: str, when: str) -> None:
    assert client.get(f"/v1/tables/{path}").raise_for_status().json()["row"]["election"] == when


def test_the_latest_row_of_a_key_is_its_own_where_others_are_newer(tmp_path: Path) -> None:
    left = [row for row in customers(3).to_pylist() if (row["month"], row["customer"]) != ("2024-03", 4)]
    rows = pa.Table.from_pylist(left, schema=customers(3).schema)
    names = {CUSTOMERS: ("month", "customer")}
    exports = tmp_path / "exports" / CUSTOMERS
    write_export(
        exports, {CUSTOMERS: rows}, {}, keys=names, served={CUSTOMERS: CUSTOMERS_SERVED}, signing_key=MODEL_KEY
    )
    own = Service(tmp_path)
    own.create_keys()
    with own, own.client(own.token(scopes=EVERYTHING)) as client:
        for customer, month in ((3, "2024-03"), (4, "2024-02")):
            assert client.get(f"/v1/tables/customers/{customer}").json()["row"]["month"] == month
        keys = [{"customer": 4}, {"customer": 4, "month": "2024-03"}, {"customer": 3, "month": "latest"}]
        found = client.post("/v1/lookup/customers", json={"keys": keys}).json()["rows"]
        assert [row and row["month"] for row in found] == ["2024-02", None, "2024-03"]
        listed = client.get("/v1/tables/customers?month=latest").json()["items"]
        assert 4 not in {row["customer"] for row in listed}


def test_a_key_is_read_as_the_kind_of_its_column(client: httpx.Client) -> None:
    assert client.get("/v1/tables/customers/3").json()["row"]["customer"] == 3
    assert client.get("/v1/tables/customers/3?month=2024-01").json()["row"]["month"] == "2024-01"
    for path in ("/v1/tables/customers/three", "/v1/tables/customers/3.0", "/v1/tables/customers/99999999999999999999"):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/v1/tables/predictions/NC/99/turnout",
        "/v1/tables/predictions/ZZ/01/turnout",
        "/v1/tables/predictions/NC/12/turnout?election=1998",
        "/v1/tables/predictions/NC/12",
        "/v1/tables/predictions/NC/12/turnout/more",
        "/v1/tables/nothing",
        "/v1/tables/person_turnout",
    ],
)
def test_what_is_not_there_is_not_found(client: httpx.Client, path: str) -> None:
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


@pytest.mark.parametrize(
    ("query", "customers"),
    [
        ("month=latest&active=true", [1, 2, 4, 5, 7, 8, 10]),
        ("month=2024-01&active=false", [3, 6, 9]),
        ("month=latest&since=2020-01-05", [5]),
        ("month=latest&seen=2024-01-05T13:00:00%2B01:00", [5]),
        ("month=latest&customer=7", [7]),
        ("month=latest&note=note 7", [7]),
        ("month=latest&territory=north", [1, 3, 5, 7, 9]),
        ("month=1999-01", []),
    ],
)
def test_a_filter_is_read_as_the_kind_of_its_column(client: httpx.Client, query: str, customers: list[int]) -> None:
    items = client.get(f"/v1/tables/customers?{query}").raise_for_status().json()["items"]
    assert [item["customer"] for item in items] == customers


def test_keys_are_looked_up_in_their_order(client: httpx.Client) -> None:
    keys: list[dict[str, Any]] = [
        {"customer": 2},
        {"customer": 77},
        {"customer": 1, "month": "2024-01"},
        {"customer": 2},
    ]
    answer = client.post("/v1/lookup/customers", json={"keys": keys}).raise_for_status()
    assert answer.headers["cache-control"] == "no-store"
    rows = answer.json()["rows"]
    assert [row and (row["month"], row["customer"]) for row in rows] == [
        ("2024-02", 2),
        None,
        ("2024-01", 1),
        ("2024-02", 2),
    ]


@pytest.mark.parametrize(
    ("key", "parameter"),
    [
        ({"customer": "2"}, "keys[0].customer"),
        ({"customer": True}, "keys[0].customer"),
        ({"customer": 2.5}, "keys[0].customer"),
        ({"customer": 2**63}, "keys[0].customer"),
        ({"customer": 2, "month": 5}, "keys[0].month"),
        ({"customer": 2, "colour": "red"}, "keys[0]"),
        ({}, "keys[0]"),
    ],
)
def test_a_key_that_does_not_fit_is_named(client: httpx.Client, key: dict[str, Any], parameter: str) -> None:
    answer = client.post("/v1/lookup/customers", json={"keys": [key]})
    assert answer.status_code == 422
    assert [error["parameter"] for error in answer.json()["errors"]] == [parameter]


def test_rows_of_a_table_for_look_up_alone_are_found_by_whole_keys_and_in_no_other_way(client: httpx.Client) -> None:
    keys = [{"state": "NC", "person_token": PERSONS[0]}, {"state": "GA", "person_token": PERSONS[0]}]
    rows = client.post("/v1/lookup/person_features", json={"keys": keys}).raise_for_status().json()["rows"]
    assert rows == [{"state": "NC", "person_token": PERSONS[0], "age": 40, "party": "DEM"}, None]
    for path in ("person_features", "person_features?limit=1", f"person_features/NC/{PERSONS[0]}"):
        assert client.get(f"/v1/tables/{path}").status_code == 404


def test_the_tables_are_listed_with_how_they_can_be_asked(client: httpx.Client, service: Service) -> None:
    listed = {table["name"]: table for table in client.get("/v1/tables").raise_for_status().json()["tables"]}
    assert set(listed) == {"predictions", "customers", "person_features"}
    customers = listed["customers"]
    assert (customers["mode"], customers["key"], customers["latest"]) == ("list", ["month", "customer"], "month")
    assert {column["name"]: column["kind"] for column in customers["columns"]} == {
        "month": "text",
        "customer": "integer",
        "territory": "text",
        "active": "boolean",
        "churn": "number",
        "since": "date",
        "seen": "instant",
        "note": "text",
    }
    with service.client(service.token(scopes=["customers:read"])) as reader:
        assert [table["name"] for table in reader.get("/v1/tables").json()["tables"]] == ["customers"]


def test_the_exports_say_where_they_come_from(client: httpx.Client, service: Service) -> None:
    listed = {export["name"]: export for export in client.get("/v1/exports").raise_for_status().json()["exports"]}
    assert {name: export["rows"] for name, export in listed.items()} == {
        "customers": {"customers": 20},
        "person_features": {"person_features": len(PERSONS)},
        MODEL: {"models": 2},
        "predictions": {"predictions": ROWS},
    }
    kept = client.get("/v1/exports/predictions").raise_for_status().json()
    assert kept["current"] == listed["predictions"]["export_id"] == current_export_id(service.config.exports / TABLE)
    assert kept["exports"][0]["provenance"] == {"lake_snapshot": 7, "model": "v1"}
    assert client.get("/v1/exports/nothing").status_code == 404


def test_long_answers_are_compressed_where_the_client_takes_that(client: httpx.Client) -> None:
    plain = client.get("/v1/tables/predictions", headers={"Accept-Encoding": "identity"})
    packed = client.get("/v1/tables/predictions", headers={"Accept-Encoding": "gzip, br"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json() == plain.json()
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 5
    # Two encodings are two representations; either is enough for a 304.
    assert packed.headers["etag"] != plain.headers["etag"]
    for answer in (plain, packed):
        again = client.get("/v1/tables/predictions", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.headers["etag"]) == (304, answer.headers["etag"])


@pytest.mark.parametrize("accepted", ["", "gzip;q=0", "br", "gzip; q=0.0, br", "identity;q=1, gzip;q=0", "*, gzip;q=0"])
def test_who_does_not_take_gzip_does_not_get_it(client: httpx.Client, accepted: str) -> None:
    answer = client.get("/v1/tables/predictions", headers={"Accept-Encoding": accepted})
    assert "content-encoding" not in answer.headers
    assert answer.json()["items"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/tables/predictions",
        "/v1/tables/predictions?state=NC&limit=3",
        "/v1/tables/predictions/NC/12/turnout",
        "/v1/exports",
    ],
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
    paths = [
        "/v1/tables/predictions",
        "/v1/tables/predictions?limit=3",
        "/v1/tables/predictions?state=NC",
        "/v1/tables/predictions/NC/12/turnout",
    ]
    paths += [f"/v1/tables/predictions/{state}/01/turnout" for state in DISTRICTS]
    assert len({client.get(path).headers["etag"] for path in paths}) == len(paths)


def test_another_version_of_the_program_has_other_versions_of_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    principal = Principal(name="dashboard", scopes=frozenset(), limits={}, token_id=None, key_id=None, expires=0.0)
    scope: Any = {"type": "http", "path": "/v1/exports", "query_string": b"", "headers": [], "user": principal}
    request: ServiceRequest = Request(scope)
    before = versioned(request, {}, version="one").headers["ETag"]
    assert versioned(request, {}, version="one").headers["ETag"] == before
    monkeypatch.setattr(answers, "__version__", "999")
    assert versioned(request, {}, version="one").headers["ETag"] != before


def test_a_version_of_nothing_stays_not_found(client: httpx.Client) -> None:
    assert client.get("/v1/tables/predictions/NC/99/turnout", headers={"If-None-Match": "*"}).status_code == 404


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=many", "limit"),
        ("limit=1.0", "limit"),
        ("limit=%D9%A1", "limit"),
        ("cursor=%00", "cursor"),
        ("as_of=yesterday", "as_of"),
        ("customer=two", "customer"),
        ("customer=2.0", "customer"),
        ("customer=+2", "customer"),
        ("customer=02", "customer"),
        ("customer=9223372036854775808", "customer"),
        ("active=1", "active"),
        ("active=True", "active"),
        ("since=2020-02-30", "since"),
        ("since=20200101", "since"),
        ("seen=2024-01-01T12:00:00", "seen"),
        ("note=" + "a" * 1001, "note"),
        ("churn=0.5", "churn"),
        ("territor=north", "territor"),
        ("territory=north&territory=south", "territory"),
    ],
)
def test_a_parameter_that_is_not_valid_is_named(client: httpx.Client, query: str, parameter: str) -> None:
    answer = client.get(f"/v1/tables/customers?{query}")
    assert answer.status_code == 400
    assert [error["parameter"] for error in answer.json()["errors"]] == [parameter]


@pytest.mark.parametrize("cursor", ["abc", "WyJhIl0"])
def test_a_cursor_that_no_page_gave_out_is_refused(client: httpx.Client, cursor: str) -> None:
    answer = client.get("/v1/tables/predictions", params={"cursor": cursor})
    assert answer.status_code == 422
    assert [error["parameter"] for error in answer.json()["errors"]] == ["cursor"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD"])
def test_another_method_is_refused_with_what_is_allowed(client: httpx.Client, method: str) -> None:
    answer = client.request(method, "/v1/exports")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, OPTIONS"


def test_a_body_is_refused(client: httpx.Client) -> None:
    assert client.request("GET", "/v1/exports", content=b"x").status_code == 413
    assert client.request("GET", "/v1/exports", content=iter([b"x"])).status_code == 413


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nowhere"),
        ("POST", "/v1/exports"),
        ("GET", "/v1/tables/predictions?limit=x"),
        ("GET", "/v1/tables/predictions/NC/99/turnout"),
    ],
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
    for path in ("/v1/exports", "/health/live", "/nowhere", "/openapi.json"):
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

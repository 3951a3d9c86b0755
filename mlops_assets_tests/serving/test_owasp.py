"""The OWASP API Security Top 10 of 2023, item by item, against a running service.

Put here for each item the attack that names it, and keep the table whole. Where an item is tested at length elsewhere,
the test here is its shortest form.
"""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pytest

from mlops_assets.platform.security.token_keys import create_keys
from mlops_assets.platform.security.tokens import issue_token
from mlops_assets.serving.identity.scopes import Scope
from mlops_assets.serving.routes.api import API_ROUTES
from mlops_assets.serving.routes.documentation import documentation_routes, openapi_document
from mlops_assets.serving.routes.table_document import LIST, ONE
from mlops_assets.serving.routes.table_document import LOOKUP as LOOK_UP
from mlops_assets_tests.serving.sample import EVERYTHING, MODEL, PERSONS, TABLE, export_predictions
from mlops_assets_tests.serving.service_process import AUDIENCE, ISSUER, Service

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

ITEMS: Final = {
    "API1": "Broken Object Level Authorization",
    "API2": "Broken Authentication",
    "API3": "Broken Object Property Level Authorization",
    "API4": "Unrestricted Resource Consumption",
    "API5": "Broken Function Level Authorization",
    "API6": "Unrestricted Access to Sensitive Business Flows",
    "API7": "Server Side Request Forgery",
    "API8": "Security Misconfiguration",
    "API9": "Improper Inventory Management",
    "API10": "Unsafe Consumption of APIs",
}
SCORE = f"/v1/models/{MODEL}/score"
LOOKUP = "/v1/lookup/person_features"
ROW = {"age": 40, "party": "DEM"}


def test_every_item_has_a_test() -> None:
    named = {match[1].upper() for name in globals() if (match := re.match(r"test_(api\d+)_", name))}
    assert named == set(ITEMS)


def test_api1_ids_of_other_states_are_refused_whether_or_not_they_exist(nc_client: httpx.Client) -> None:
    for path in (
        "/v1/tables/predictions/GA/01/turnout",
        "/v1/tables/predictions/GA/99/turnout",
        "/v1/tables/predictions/GA/01/history",
    ):
        assert nc_client.get(path).status_code == 403
    assert nc_client.get("/v1/tables/predictions", params={"state": "GA"}).status_code == 403
    items = nc_client.get("/v1/tables/predictions", params={"limit": 500}).json()["items"]
    assert {item["state"] for item in items} == {"NC"}


def test_api1_persons_of_other_states_are_refused_by_pseudonym(service: Service) -> None:
    with service.client(service.token(scopes=EVERYTHING, states=["NC"])) as client:
        asked = {"keys": [{"state": "GA", "person_token": PERSONS[2]}]}
        assert client.post(LOOKUP, json=asked).status_code == 403


def test_api1_customers_of_other_territories_are_as_those_that_are_not_there(service: Service) -> None:
    with service.client(service.token(scopes=EVERYTHING, limits={"territory": ["north"]})) as client:
        there, nowhere = client.get("/v1/tables/customers/2"), client.get("/v1/tables/customers/99")
        assert {answer.status_code for answer in (there, nowhere)} == {404}
        assert there.json()["detail"] == nowhere.json()["detail"]
        rows = client.post("/v1/lookup/customers", json={"keys": [{"customer": 2}, {"customer": 99}]}).json()["rows"]
        assert rows == [None, None]


@pytest.mark.parametrize(
    ("issuer", "audience", "own_key"),
    [("somebody", AUDIENCE, True), (ISSUER, "another-service", True), (ISSUER, AUDIENCE, False)],
)
def test_api2_tokens_of_others_open_nothing(
    service: Service,
    stranger: httpx.Client,
    tmp_path: Path,
    issuer: str,
    audience: str,
    own_key: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    create_keys(tmp_path / "other.pem", tmp_path / "other.json")
    token = issue_token(
        "test-client",
        scopes=list(Scope),
        lifetime=timedelta(minutes=5),
        signing_key=service.signing_key if own_key else tmp_path / "other.pem",
        issuer=issuer,
        audience=audience,
    )
    answer = stranger.get("/v1/exports", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert "www-authenticate" in answer.headers


def test_api2_credentials_are_taken_from_their_header_alone(service: Service, stranger: httpx.Client) -> None:
    token = service.token()
    for path in (f"/v1/exports?access_token={token}", f"/v1/exports?token={token}"):
        assert stranger.get(path).status_code == 401
    assert stranger.get("/v1/exports", headers={"Cookie": f"token={token}"}).status_code == 401
    assert stranger.get("/v1/exports", auth=("user", token)).status_code == 401


def test_api3_answers_hold_the_declared_properties_alone(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    declared = set(document["components"]["schemas"]["predictions_row"]["properties"])
    (item,) = client.get("/v1/tables/predictions", params={"limit": 1}).json()["items"]
    assert set(item) == declared
    asked = {"keys": [{"state": "NC", "person_token": PERSONS[0]}]}
    (features,) = client.post(LOOKUP, json=asked).json()["rows"]
    assert set(features) == set(document["components"]["schemas"]["person_features_row"]["properties"])


def test_api3_properties_that_are_not_declared_cannot_be_set(client: httpx.Client) -> None:
    assert client.post(SCORE, json={"rows": [ROW], "export_id": "0" * 32}).status_code == 400
    assert client.post(SCORE, json={"rows": [{**ROW, "score": 1.0}]}).status_code == 422
    key = {"state": "NC", "person_token": PERSONS[0]}
    assert client.post(LOOKUP, json={"keys": [key], "columns": ["voted"]}).status_code == 400
    assert client.post(LOOKUP, json={"keys": [{**key, "age": 40}]}).status_code == 422


def test_api4_pages_bodies_rows_and_nesting_have_limits(client: httpx.Client) -> None:
    assert client.get("/v1/tables/predictions", params={"limit": 501}).status_code == 400
    assert client.post(SCORE, json={"rows": [ROW] * 1001}).status_code == 400
    asked = {"keys": [{"state": "NC", "person_token": PERSONS[0]}] * 101}
    assert client.post(LOOKUP, json=asked).status_code == 400
    headers = {"Content-Type": "application/json"}
    assert client.post(SCORE, content=b" " * 2_000_000, headers=headers).status_code == 413
    assert client.post(SCORE, content=b'{"rows":' + b"[" * 100_000, headers=headers).status_code == 400


def test_api4_a_principal_that_asks_too_often_is_slowed_down(tmp_path: Path) -> None:
    service = Service(tmp_path, changes={"rate_per_second": 1.0, "burst": 5})
    service.create_keys()
    export_predictions(service.config.exports)
    with service, service.client(service.token()) as client:
        answers = [client.get("/v1/exports") for _ in range(8)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert 2 <= len(refused) <= 3
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/metrics"),
        ("GET", "/health/dependencies"),
        ("GET", "/v1/models"),
        ("POST", SCORE),
        ("POST", LOOKUP),
        ("POST", f"/v2/models/{MODEL}/infer"),
    ],
)
def test_api5_a_reader_of_predictions_is_no_scorer_and_no_operator(service: Service, method: str, path: str) -> None:
    with service.client(service.token()) as reader:
        assert reader.request(method, path, json={} if method == "POST" else None).status_code == 403


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST"])
def test_api5_nothing_that_is_served_can_be_written(client: httpx.Client, method: str) -> None:
    for path in ("/v1/tables/predictions/NC/12/turnout", "/v1/exports", f"/v1/models/{MODEL}", f"/v2/models/{MODEL}"):
        answer = client.request(method, path)
        assert answer.status_code == 405
    # The server's switch for methods is not listened to either.
    answer = client.get("/v1/exports", headers={"X-HTTP-Method-Override": "DELETE"})
    assert answer.status_code == 200


def test_api6_persons_cannot_be_listed_or_searched_for(client: httpx.Client) -> None:
    for path in ("", "?state=NC", "/NC", f"/NC/{PERSONS[0]}"):
        assert client.get(f"/v1/tables/person_features{path}").status_code in (400, 404)
    for token in ("%", "*", "", "0" * 31, PERSONS[0][:8], "' OR 1=1 --"):
        asked = {"keys": [{"state": "NC", "person_token": token}]}
        assert client.post(LOOKUP, json=asked).json()["rows"] == [None]


@pytest.mark.parametrize("address", ["http://169.254.169.254/latest/", "file:///etc/passwd", "//127.0.0.1:22"])
def test_api7_no_input_is_an_address_that_the_service_would_fetch(client: httpx.Client, address: str) -> None:
    for path in (
        f"/v1/tables/predictions?as_of={address}",
        f"/v1/models/{address}",
        f"/v1/tables/predictions?cursor={address}",
    ):
        assert client.get(path).status_code in (400, 404)
    remote = {"name": "age", "shape": [1], "datatype": "FP64", "parameters": {"url": address}}
    assert client.post(f"/v2/models/{MODEL}/infer", json={"inputs": [remote]}).status_code == 422
    document = client.get("/openapi.json").text
    assert not re.search(r'"format":\s*"(uri|url)"|callback|webhook', document)


def test_api8_errors_and_headers_tell_nothing_and_no_other_site_may_read(client: httpx.Client) -> None:
    for answer in (client.get("/v1/exports"), client.get("/nowhere"), client.post(SCORE, content=b"{")):
        assert "server" not in answer.headers
        assert "x-powered-by" not in answer.headers
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "strict-transport-security" in answer.headers
        assert not re.search(r"Traceback|\.py|litestar|uvicorn|sqlite", answer.text, re.IGNORECASE)
    asked_by_a_site = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
    for method in ("GET", "OPTIONS"):
        answer = client.request(method, "/v1/exports", headers=asked_by_a_site)
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    for path in ("/debug", "/admin", "/.git/config", "/schema", "/schema/openapi.json", "/actuator", "/console"):
        assert client.get(path).status_code == 404


def test_api9_everything_that_answers_is_documented_with_its_version(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    routes = {
        re.sub(r":\w+}", "}", path)
        for handler in (*API_ROUTES, *documentation_routes(public=False))
        for path in getattr(handler, "paths", ())
    }
    told = openapi_document()
    assert set(told["paths"]) == routes
    assert set(document["paths"]) - routes == {
        "/v1/tables/predictions",
        "/v1/tables/predictions/{state}/{district}/{measure}",
        "/v1/lookup/predictions",
        "/v1/tables/customers",
        "/v1/tables/customers/{customer}",
        "/v1/lookup/customers",
        "/v1/lookup/person_features",
    }
    assert routes - set(document["paths"]) == {LIST, ONE, LOOK_UP}
    unversioned = {path for path in routes if not re.match(r"/v[12](/|$)", path)}
    assert unversioned == {"/health/live", "/health/ready", "/health/dependencies", "/metrics", "/openapi.json"}
    for old in ("/v0/predictions", "/predictions", "/v3/predictions", "/api/v1/tables/predictions"):
        assert client.get(old).status_code == 404


def test_api10_an_export_from_elsewhere_is_believed_only_after_it_was_verified(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.create_keys()
    good = export_predictions(service.config.exports).export_id
    with service, service.client(service.token()) as client:
        bad = export_predictions(tmp_path / "elsewhere", "v2").export_id
        staged = tmp_path / "elsewhere" / TABLE / bad
        data = (staged / "data.sqlite").read_bytes()
        (staged / "data.sqlite").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        exports = service.config.exports / TABLE
        staged.rename(exports / bad)
        (exports / "current").write_text(f"{bad}\n", encoding="ascii")
        service.wait_for_log("export refused")
        time.sleep(0.2)
        assert client.get("/v1/exports/predictions").json()["current"] == good

"""Tests of the service's description of itself."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]  # it has no types

from mlops_assets.platform.settings import Authentication
from mlops_assets.serving.http.bodies import decoded
from mlops_assets.serving.identity.scopes import Access
from mlops_assets.serving.routes.documentation import openapi_document
from mlops_assets.serving.routes.inference_protocol import InferenceRequest
from mlops_assets.serving.routes.outcomes import OutcomeReport
from mlops_assets.serving.routes.scoring import ScoreRequest
from mlops_assets.serving.routes.table_document import LIST, LOOKUP, ONE
from mlops_assets.serving.routes.tables import Lookup
from mlops_assets_tests.serving.service_process import Service
from mlops_assets_tests.serving.test_access_matrix import ROUTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

PUBLIC = {path for (_, path), route in ROUTES.items() if route.demands is Access.PUBLIC}
BEARER: list[dict[str, list[str]]] = [{"bearer": []}]


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for operation in item.values():
            yield path, operation


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield str(value)
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(document: dict[str, Any], reference: str) -> object:
    node: object = document
    for part in reference.removeprefix("#/").split("/"):
        assert isinstance(node, dict)
        node = node[part]
    return node


@pytest.fixture(name="served", scope="module")
def _served(client: httpx.Client) -> dict[str, Any]:
    """The document that a service gives, with the sample's tables."""
    document: dict[str, Any] = client.get("/openapi.json").raise_for_status().json()
    return document


def test_the_served_document_is_the_one_made_without_a_service_but_for_tables(served: dict[str, Any]) -> None:
    made = json.loads(json.dumps(openapi_document()))
    of_any = {LIST, ONE, LOOKUP}
    assert {path: item for path, item in served["paths"].items() if path in made["paths"]} == {
        path: item for path, item in made["paths"].items() if path not in of_any
    }
    assert of_any <= made["paths"].keys()


def test_a_table_is_told_with_its_columns_filters_limits_and_description(served: dict[str, Any]) -> None:
    listing = served["paths"]["/v1/tables/customers"]["get"]
    parameters = [parameter for parameter in listing["parameters"] if parameter["in"] == "query"]
    asked = {parameter["name"]: parameter["schema"] for parameter in parameters}
    assert asked["customer"]["type"] == "integer"
    assert asked["active"] == {"type": "boolean"}
    assert (asked["since"]["type"], asked["since"]["format"]) == ("string", "date")
    assert list(asked) == [
        "month",
        "customer",
        "territory",
        "active",
        "since",
        "seen",
        "note",
        "limit",
        "cursor",
        "as_of",
    ]
    assert "limited by territory" in listing["description"]
    row = served["components"]["schemas"]["customers_row"]
    assert row["properties"]["note"]["type"] == ["string", "null"]
    assert row["properties"]["customer"]["type"] == "integer"
    assert row["required"] == list(row["properties"])
    assert "/v1/tables/person_features" not in served["paths"]


def test_the_document_tells_of_the_tables_that_its_reader_may_read_alone(service: Service) -> None:
    with service.client(service.token(scopes=["customers:read"])) as reader:
        told = json.dumps(reader.get("/openapi.json").json())
    assert "customers_row" in told
    assert "predictions_row" not in told
    assert "person_features" not in told


def test_answers_are_as_the_document_says(client: httpx.Client, served: dict[str, Any]) -> None:
    (row,) = client.get("/v1/tables/customers", params={"limit": 1}).json()["items"]
    schema = {**served["components"]["schemas"]["customers_row"], "additionalProperties": False}
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(row)


def test_every_route_is_listed_with_what_it_demands() -> None:
    document = openapi_document()
    assert {(method.upper(), path) for path, item in document["paths"].items() for method in item} == set(ROUTES)
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for path, operation in operations(document):
        demanded = operation.get("security", document["security"])
        assert demanded == ([{}] if path in PUBLIC else BEARER), path


@pytest.mark.parametrize("tables", [True, False])
def test_the_document_is_whole(served: dict[str, Any], tables: bool) -> None:  # noqa: FBT001  a parameter of the test
    document = served if tables else openapi_document()
    assert document["openapi"].startswith("3.1")
    assert {"title", "version", "description"} <= set(document["info"])
    for reference in references(document):
        assert resolve(document, reference)
    identities = [operation["operationId"] for _, operation in operations(document)]
    assert len(identities) == len(set(identities))
    for path, operation in operations(document):
        named = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "path"}
        assert named == set(re.findall(r"\{(\w+)\}", path))
        assert operation["summary"]
        assert all(response["description"] for response in operation["responses"].values())


def test_errors_are_documented_as_problems() -> None:
    for path, operation in operations(openapi_document()):
        if path in PUBLIC:
            continue
        assert {"400", "401", "403", "422", "429", "500", "503"} <= set(operation["responses"])
        assert {"200", "202"} & set(operation["responses"])
        form = "application/json" if path.startswith("/v2") else "application/problem+json"
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert set(response["content"]) == {form}, (path, status)


def test_bodies_are_documented_with_their_limit_and_an_example_that_fits() -> None:
    document = openapi_document()
    bodies = {path: operation["requestBody"] for path, operation in operations(document) if "requestBody" in operation}
    assert set(bodies) == {path for (method, path) in ROUTES if method == "POST"}
    kinds: dict[str, type[Any]] = {
        "ScoreRequest": ScoreRequest,
        "OutcomeReport": OutcomeReport,
        "Lookup": Lookup,
        "InferenceRequest": InferenceRequest,
    }
    for body in bodies.values():
        assert re.search(r"[0-9,]+ bytes", body["description"])
        content = body["content"]["application/json"]
        kind = kinds[content["schema"]["$ref"].rsplit("/", maxsplit=1)[-1]]
        assert decoded(json.dumps(content["example"]).encode(), kind)


def test_parameters_have_examples_that_fit_and_are_never_null(served: dict[str, Any]) -> None:
    for path, operation in [*operations(openapi_document()), *operations(served)]:
        for parameter in operation.get("parameters", []):
            schema = parameter["schema"]
            assert "null" not in json.dumps(schema), path
            for example in parameter.get("examples", {}).values():
                pattern = schema.get("pattern")
                assert pattern is None or re.search(pattern, example["value"]), (path, parameter["name"])


def test_the_documentation_can_be_made_public_and_nothing_else_with_it(tmp_path: Path) -> None:
    service = Service(tmp_path, public_documentation=True)
    service.create_keys()
    with service, service.client() as client:
        document = client.get("/openapi.json").raise_for_status().json()
        assert client.get("/v1/exports").status_code == 401
    public = {path for path, operation in operations(document) if operation.get("security") == [{}]}
    assert public == PUBLIC | {"/openapi.json"}


@pytest.mark.parametrize("public", [True, False])
def test_making_the_document_twice_gives_the_same(public: bool) -> None:  # noqa: FBT001  a parameter of the test
    assert openapi_document(public=public) == openapi_document(public=public)


@pytest.mark.parametrize(
    ("authentication", "demanded"),
    [
        (Authentication.TOKEN, [{"bearer": []}]),
        (Authentication.CERTIFICATE, [{"mutualTLS": []}]),
        (Authentication.BOTH, [{"bearer": [], "mutualTLS": []}]),
    ],
)
def test_the_document_demands_what_the_service_demands(
    authentication: Authentication, demanded: list[dict[str, list[str]]]
) -> None:
    document = openapi_document(authentication=authentication)
    schemes = document["components"]["securitySchemes"]
    assert {name: scheme["type"] for name, scheme in schemes.items()} == {"bearer": "http", "mutualTLS": "mutualTLS"}
    assert document["security"] == demanded
    for path, operation in operations(document):
        assert operation.get("security", demanded) == ([{}] if path in PUBLIC else demanded)
